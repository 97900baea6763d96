"""The loss on features of a segmenter: what it is 0 for, what it counts, and segmenters that do not fit."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from recontrast.errors import CheckpointError, ConfigError
from recontrast.losses.segmentation import (
    DESCRIPTION,
    WEIGHTS,
    SegmentationLoss,
    SegmenterDescription,
    load_segmenter,
    save_segmenter,
    subjects_of_segmenters,
)
from recontrast.recipes.supervised import Supervised
from recontrast.training.memory import training_memory
from recontrast.training.plan import read_plan

CLASSES = ("other", "CSF", "GM", "WM")


def segmenter(folder: Path, plane: str = "axial", contrast: str = "FLAIR") -> Path:
    """A segmenter with random weights and batch statistics that are not those it is born with."""
    about = SegmenterDescription(
        contrast=contrast, plane=plane, classes=CLASSES, width=4, depth=2, training_subjects=("one",)
    )
    torch.manual_seed(0)
    network = about.build()
    network.train()
    network(torch.rand(2, 1, *[8] * (3 if plane == "volume" else 2)))
    folder.mkdir()
    save_segmenter(folder, network, about)
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return segmenter(tmp_path / "segmenter")


def images(*size: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.rand(2, 1, *size, generator=generator), torch.rand(2, 1, *size, generator=generator)


def by_the_book(folder: Path, reference: Tensor, estimate: Tensor, mask: Tensor) -> float:
    """The equation, weights made by counting voxels; sizes must be multiples of 4."""
    network = load_segmenter(folder)[0]
    kept: list[Tensor] = []
    for level in (*network.down, *network.up):
        level.register_forward_hook(lambda _module, _given, features: kept.append(features.double()))
    network(torch.cat([reference, torch.where(mask, estimate, reference)]))
    distances = []
    for features in kept:
        wanted, found = features.chunk(2)
        step = mask.shape[-1] // wanted.shape[-1]
        blocks = mask.double().unfold(2, step, step).unfold(3, step, step)
        weight = blocks.sum(dim=(-1, -2)) / step**2
        distances.append((weight * (found - wanted).abs()).sum() / (weight * wanted.abs()).sum())
    return float(torch.stack(distances).mean())


def test_it_is_the_equation(folder: Path) -> None:
    reference, estimate = images(16, 12)
    mask = torch.rand(2, 1, 16, 12, generator=torch.Generator().manual_seed(2)) > 0.4
    found = SegmentationLoss(segmenter=str(folder))(reference, estimate, mask)
    assert found.dtype == torch.float32
    assert found.item() == pytest.approx(by_the_book(folder, reference, estimate, mask), rel=1e-4)


@pytest.mark.parametrize("size", [(16, 16), (15, 17), (10, 9, 11)])
@pytest.mark.parametrize("plane", ["axial", "volume"])
def test_the_same_image_is_at_distance_zero_and_another_is_not(
    tmp_path: Path, size: tuple[int, ...], plane: str
) -> None:
    if plane == "volume" and len(size) == 2:
        size = (8, 9, 10)
    loss = SegmentationLoss(segmenter=str(segmenter(tmp_path / "s", plane)))
    reference, estimate = images(*size)
    assert loss(reference, reference.clone()).item() == 0
    estimate.requires_grad_(True)
    distance = loss(reference, estimate)
    distance.backward()
    assert distance.item() > 0.01
    assert estimate.grad is not None
    assert torch.isfinite(estimate.grad).all()
    assert estimate.grad.abs().max() > 0


def test_what_lies_outside_the_mask_counts_nothing(folder: Path) -> None:
    loss = SegmentationLoss(segmenter=str(folder))
    reference, estimate = images(16, 16)
    mask = torch.zeros(2, 1, 16, 16, dtype=torch.bool)
    mask[:, :, 4:9, 3:12] = True
    other = torch.where(mask, estimate, torch.rand_like(estimate)).requires_grad_(True)
    value = loss(reference, other, mask)
    value.backward()
    assert value.item() == loss(reference, estimate, mask).item() > 0
    assert other.grad is not None
    assert other.grad[~mask].abs().max() == 0
    assert loss(reference, estimate, torch.zeros_like(mask)).item() == 0


def test_volumes_are_read_slice_by_slice_by_a_segmenter_of_slices(folder: Path) -> None:
    loss = SegmentationLoss(segmenter=str(folder))
    reference, estimate = images(12, 16, 3)
    one = loss(reference, estimate)
    slices = [image.movedim(-1, 1).reshape(6, 1, 12, 16) for image in (reference, estimate)]
    assert one.item() == pytest.approx(loss(*slices).item(), rel=1e-5)


def test_a_segmenter_of_volumes_refuses_slices(tmp_path: Path) -> None:
    loss = SegmentationLoss(segmenter=str(segmenter(tmp_path / "s", "volume")))
    with pytest.raises(ConfigError, match="reads volumes, not slices"):
        loss(*images(8, 8))


def test_the_network_is_neither_trained_nor_saved(folder: Path) -> None:
    before = load_segmenter(folder)[0].state_dict()
    recipe = Supervised(
        network=torch.nn.Conv2d(1, 1, 1), loss="l1", terms={"segmentation": {"weight": 0.5, "segmenter": str(folder)}}
    )
    assert set(recipe.state_dict()) == {"network.weight", "network.bias"}
    recipe.train()
    (term,) = recipe.terms
    reference, estimate = images(8, 8)
    term.loss(reference, recipe.network(estimate)).backward()
    held = term.loss._fixed[0]
    assert not held.training
    assert all(parameter.grad is None for parameter in held.parameters())
    assert all(torch.equal(value, before[name]) for name, value in held.state_dict().items())


def test_it_stays_float32_under_autocast(folder: Path) -> None:
    loss = SegmentationLoss(segmenter=str(folder))
    reference, estimate = images(16, 16)
    with torch.autocast("cpu", torch.bfloat16):
        rough = loss(reference, estimate)
    assert rough.item() == loss(reference, estimate).item()


def test_shapes_are_not_broadcast(folder: Path) -> None:
    with pytest.raises(ValueError, match="differ in shape"):
        SegmentationLoss(segmenter=str(folder))(torch.rand(1, 1, 8, 8), torch.rand(1, 1, 8, 9))


def test_no_segmenter_is_one_line_that_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"train-segmenter PREPARED SEGMENTER.*segmenter=SEGMENTER"):
        SegmentationLoss()
    with pytest.raises(ConfigError, match=r"finds no segmenter there .*train-segmenter"):
        SegmentationLoss(segmenter=str(tmp_path))


def test_a_damaged_segmenter_is_one_line(folder: Path) -> None:
    weights = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(weights[:-40])
    with pytest.raises(CheckpointError, match="damaged segmenter"):
        load_segmenter(folder)
    (folder / WEIGHTS).write_bytes(weights)
    (folder / DESCRIPTION).write_text((folder / DESCRIPTION).read_text().replace('"width": 4', '"width": 5'))
    with pytest.raises(CheckpointError, match="damaged segmenter"):
        load_segmenter(folder)


def test_the_memory_of_a_training_with_it_is_counted(folder: Path) -> None:
    plan = ["loop.precision=fp32", "data.batch=2", "data.size=[64,64]", "loop.ema=0"]
    term = [f"recipe.options.terms.segmentation.segmenter={folder}", "recipe.options.terms.segmentation.weight=1"]
    bare, more = (training_memory(read_plan("osman2022", "cpu", [*plan, *extra])).most for extra in ([], term))
    assert more > bare


def test_the_segmenter_must_read_what_is_made(folder: Path) -> None:
    recipe = Supervised(network=torch.nn.Identity(), terms={"segmentation": {"weight": 1.0, "segmenter": str(folder)}})
    assert subjects_of_segmenters(recipe, "FLAIR", ["axial"]) == {"one"}
    assert subjects_of_segmenters(recipe, "FLAIR", ["volume"]) == {"one"}
    assert subjects_of_segmenters(torch.nn.Identity(), "T2w", ["axial"]) == set()
    for target in ("T2w", ""):
        with pytest.raises(ConfigError, match="reads FLAIR, and the target is"):
            subjects_of_segmenters(recipe, target, ["axial"])
    for planes in (["coronal"], ["axial", "coronal"]):
        with pytest.raises(ConfigError, match="reads images axial"):
            subjects_of_segmenters(recipe, "FLAIR", planes)


def test_a_small_lesion_counts_more_than_its_share_of_voxels_once_the_network_looks_for_it(tmp_path: Path) -> None:
    """A network that answers only to bright blobs: a missed blob outweighs the same error spread over the image."""
    about = SegmenterDescription(contrast="FLAIR", plane="axial", classes=("other", "lesion"), width=1, depth=1)
    network = about.build()
    with torch.no_grad():
        for name, value in network.named_parameters():
            value.zero_()
            if name.endswith("weight") and value.ndim == 4:
                value[:, 0, value.shape[2] // 2, value.shape[3] // 2] = 1.0
            elif "norm.weight" in name:
                value.fill_(1.0)
        network.down[0].first.bias.fill_(-0.8)  # nothing below 0.8 is answered
    folder = tmp_path / "s"
    folder.mkdir()
    save_segmenter(folder, network, about)
    loss = SegmentationLoss(segmenter=str(folder))
    target = torch.full((1, 1, 16, 16), 0.5)
    target[..., 4:6, 4:6] = 1.0
    missed = torch.full_like(target, 0.5)
    spread = target - 2.0 / 256  # the same mean absolute error
    assert functional.l1_loss(missed, target).item() == pytest.approx(functional.l1_loss(spread, target).item())
    assert loss(target, missed).item() > 5 * loss(target, spread).item()
