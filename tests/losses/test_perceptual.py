"""Perceptual losses with random weights of the real networks, against references written apart from them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from recontrast.errors import ConfigError, FormatError, UnknownNameError
from recontrast.losses.perceptual import PERCEPTUAL, PerceptualLoss, expected_weights, weights_of_perceptual

VGG16 = (64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512, "M")
VGG19 = (64, 64, "M", 128, 128, "M", *[256] * 4, "M", *[512] * 4, "M", *[512] * 4, "M")
"""The published tables: width of each convolution, M for a pooling."""

NAMES = PERCEPTUAL[1:]


def trunk(table: tuple[int | str, ...]) -> nn.Sequential:
    """torchvision's `features`, from the table."""
    layers: list[nn.Module] = []
    before = 3
    for entry in table:
        if isinstance(entry, str):
            layers.append(nn.MaxPool2d(2, 2))
        else:
            layers += [nn.Conv2d(before, entry, 3, padding=1), nn.ReLU()]
            before = entry
    return nn.Sequential(*layers)


def random_weights(name: str, thin: bool = False) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        key: torch.rand(shape, generator=generator) * 0.1
        if key.startswith("lin")
        else torch.randn(shape, generator=generator) * (math.sqrt(2 / math.prod(shape[1:])) if len(shape) > 1 else 0.1)
        for key, shape in expected_weights(name).items()
    }


@pytest.fixture(scope="module", params=NAMES)
def given(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """Name of a loss, and a file with random weights of its real network."""
    path = tmp_path_factory.mktemp("weights") / f"{request.param}.safetensors"
    save_file(random_weights(request.param), path)
    yield request.param, path
    path.unlink()


def by_the_book(name: str, reference: Tensor, estimate: Tensor) -> float:
    weights = {key: value.double() for key, value in random_weights(name).items()}
    features = trunk(VGG16 if name == "lpips_vgg" else VGG19).double()
    features.load_state_dict({**features.state_dict(), **{
        key.removeprefix("features."): value for key, value in weights.items() if key.startswith("features")
    }})  # fmt: skip
    images = torch.cat([reference, estimate]).double().repeat(1, 3, 1, 1)
    if name != "lpips_vgg":
        mean, deviation = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
        images = ((images + 1) / 2 - images.new_tensor(mean).view(3, 1, 1)) / images.new_tensor(deviation).view(3, 1, 1)
        one, other = features[: 36 if name == "vgg19_54" else 9](images).chunk(2)
        return float((one - other).pow(2).mean())
    images = (images - images.new_tensor([-0.030, -0.088, -0.188]).view(3, 1, 1)) / images.new_tensor(
        [0.458, 0.448, 0.450]
    ).view(3, 1, 1)
    total, start = 0.0, 0
    for number, stop in enumerate((4, 9, 16, 23, 30)):
        images = features[start:stop](images)
        one, other = (images / (images.norm(dim=1, keepdim=True) + 1e-10)).chunk(2)
        head = weights[f"lin{number}.model.1.weight"].view(-1, 1, 1)
        total += float((head * (one - other) ** 2).sum(dim=1).mean())
        start = stop
    return total


@pytest.mark.slow
def test_equal_to_the_reference(given: tuple[str, Path]) -> None:
    name, path = given
    torch.manual_seed(1)
    reference, estimate = 2 * torch.rand(2, 2, 1, 32, 48) - 1
    with torch.no_grad():
        loss = PerceptualLoss(name, path)
        found = loss(reference, estimate).item()
        assert found == pytest.approx(by_the_book(name, reference, estimate), rel=1e-5)
        assert loss(reference, reference).item() == 0
        volumes = (image.permute(1, 2, 3, 0)[None] for image in (reference, estimate))  # two slices along K
        assert loss(*volumes).item() == pytest.approx(found, rel=1e-5)


@pytest.mark.parametrize("given", ["lpips_vgg"], indirect=True)
def test_lpips_equals_the_metric_of_the_evaluation(given: tuple[str, Path]) -> None:
    metrics = pytest.importorskip("recontrast.metrics.perceptual")
    torch.manual_seed(2)
    reference, estimate = torch.rand(2, 1, 1, 32, 32)
    expected = metrics.lpips(reference[0, 0].numpy(), estimate[0, 0].numpy(), data_range=1.0, network="vgg",
                             weights=given[1])  # fmt: skip
    found = PerceptualLoss("lpips_vgg", given[1])(2 * reference - 1, 2 * estimate - 1).item()
    assert found == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("given", ["vgg19_22"], indirect=True)
def test_gradient_reaches_the_estimate_and_no_weight(given: tuple[str, Path]) -> None:
    loss = PerceptualLoss("vgg19_22", given[1])
    estimate = torch.zeros(1, 1, 16, 16, requires_grad=True)
    loss(torch.rand(1, 1, 16, 16), estimate).backward()
    assert estimate.grad is not None
    assert estimate.grad.abs().sum() > 0
    assert not isinstance(loss, nn.Module)


@pytest.mark.parametrize("suffix", ["npz", "pth"])
@pytest.mark.parametrize("given", ["vgg19_22"], indirect=True)
def test_other_kinds_of_files_and_several_of_them(given: tuple[str, Path], suffix: str, tmp_path: Path) -> None:
    weights = list(random_weights("vgg19_22").items())
    paths = [tmp_path / f"{n}.{suffix}" for n in range(2)]
    for path, part in zip(paths, (dict(weights[:3]), dict(weights[3:])), strict=True):
        if suffix == "npz":
            np.savez(path, **{key: value.numpy() for key, value in part.items()})
        else:
            torch.save(part, path)
    images = torch.rand(2, 1, 1, 16, 16)
    expected = PerceptualLoss("vgg19_22", given[1])(*images)
    assert torch.equal(PerceptualLoss("vgg19_22", [str(path) for path in paths])(*images), expected)


def test_a_recipe_tells_what_its_loss_was_read_from_wherever_it_lies(tmp_path: Path) -> None:
    recipe = nn.Identity()
    assert weights_of_perceptual(recipe) == []
    told = []
    for number, name in enumerate(("a", "moved", "other")):
        weights = random_weights("vgg19_22")
        save_file({key: value + (number == 2) for key, value in weights.items()}, tmp_path / f"{name}.safetensors")
        recipe.perceptual = PerceptualLoss("vgg19_22", tmp_path / f"{name}.safetensors")
        told.append(weights_of_perceptual(recipe))
    assert told[0] == told[1] != told[2]


def test_absent_weights_are_one_clear_line(tmp_path: Path) -> None:
    for files in ((), [tmp_path / "nosuch.pth"]):
        with pytest.raises(ConfigError, match="nothing is downloaded: name the files") as error:
            PerceptualLoss("lpips_vgg", files)
        assert "\n" not in str(error.value)


def test_damaged_and_foreign_files(tmp_path: Path) -> None:
    for suffix in ("safetensors", "npz", "pth"):
        damaged = tmp_path / f"damaged.{suffix}"
        damaged.write_bytes(b"this is no weights file at all")
        with pytest.raises(FormatError, match="cannot be read as weights"):
            PerceptualLoss("vgg19_22", damaged)
    foreign = tmp_path / "foreign.safetensors"
    save_file({"features.0.weight": torch.zeros(64, 1, 3, 3)}, foreign)
    with pytest.raises(FormatError, match=r"features\.0\.weight has shape \(64, 1, 3, 3\)"):
        PerceptualLoss("vgg19_22", foreign)


@pytest.mark.parametrize("given", ["vgg19_22"], indirect=True)
def test_wrong_use(given: tuple[str, Path]) -> None:
    with pytest.raises(UnknownNameError, match="there is"):
        PerceptualLoss("vgg16", given[1])
    loss = PerceptualLoss("vgg19_22", given[1])
    with pytest.raises(ConfigError, match="too small"):
        loss(*torch.rand(2, 1, 1, 1, 8))
    with pytest.raises(ValueError, match="differ in shape"):
        loss(torch.rand(1, 1, 8, 8), torch.rand(1, 1, 8, 9))
