"""What the bench refuses, and what it says of its material."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.evaluation.conftest import head, write_prepared
from torch import nn

from recontrast.errors import ConfigError
from recontrast.inspection import NotAsked
from recontrast.inspection.bench import Bench, Material, load_bench
from recontrast.io.bids import write_sidecar
from recontrast.io.nifti import write_volume
from recontrast.preparation.normalize import Scale, fit_scale
from recontrast.volume import Volume


def test_random_numbers_depend_on_purpose_and_seed_only(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(cases=1)
    assert bench.rng("a").random() == bench.rng("a").random()
    assert bench.rng("a").random() != bench.rng("b").random()


def test_what_is_not_there_is_said(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(cases=1, reference=False, images_only=True)
    for need, word in (("translator", "only images"), ("reference", "no acquired FLAIR"), ("lesion", "lesion mask")):
        with pytest.raises(NotAsked, match=word):
            bench.require(need)
    bench.require("sources")


def test_the_brain_is_looked_at_where_it_is_known(make_bench: Callable[..., Bench]) -> None:
    case = make_bench(cases=1).cases[0]
    assert case.region_name == "brain"
    assert case.inside is case.regions["brain"]


class Centred(nn.Module):
    """Sees no other voxel, but takes the mean over the slice away: shuffled voxels give the shuffled output."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x - x.mean(dim=(2, 3), keepdim=True)


@pytest.mark.parametrize(
    ("network", "voxelwise"), [("table", True), ("blind", True), ("blur", False), (Centred(), False)]
)
def test_whether_it_works_voxel_by_voxel_is_tried_out(
    make_bench: Callable[..., Bench], network: str | nn.Module, voxelwise: bool
) -> None:
    assert make_bench(network, cases=1).voxelwise is voxelwise
    assert not make_bench(network, cases=1, images_only=True).voxelwise


DECLARED = Scale("percentile", 0.0, 2000.0)


@pytest.fixture
def images(tmp_path: Path) -> Material:
    """Prepared heads, and images that are half as bright as they should be, with the scale they declare."""
    write_prepared(tmp_path / "prepared", {"04": "test", "05": "test", "06": "test", "01": "train"})
    for subject in ("04", "05", "06"):
        t2w = head(int(subject))[1]
        path = image_of(tmp_path, subject)
        write_volume(path, t2w.with_data(DECLARED.invert(0.5 * fit_scale(t2w).apply(t2w.data))))
        write_sidecar(path, {"Synthetic": True, "Scale": DECLARED.to_dict()})
    return Material(run=tmp_path / "made", prepared=tmp_path / "prepared", source=("T1w",))


def image_of(folder: Path, subject: str) -> Path:
    return folder / "made" / f"sub-{subject}" / "anat" / f"sub-{subject}_desc-synthetic_T2w.nii.gz"


def test_an_image_is_looked_at_on_the_scale_that_it_declares(images: Material) -> None:
    bench = load_bench(images)
    assert len(bench.remarks) == 1  # only images were given
    for case in bench.cases:
        assert case.reference is not None
        np.testing.assert_allclose(case.synthetic, 0.5 * case.reference, atol=1e-5)


def test_an_image_that_declares_no_scale_is_remarked(images: Material, tmp_path: Path) -> None:
    for subject in ("04", "06"):
        write_sidecar(image_of(tmp_path, subject), {"Synthetic": True})
    bench = load_bench(images)
    (remark,) = bench.remarks[1:]
    assert remark == (
        "sub-04, sub-06: the synthetic image declares no scale in its sidecar: it was scaled by its own intensities, "
        "which forgives a wrong brightness."
    )
    first, second, _ = bench.cases
    assert first.synthetic.max() > 1.5 * second.synthetic.max()


def test_an_image_that_cannot_be_read_does_not_stop_the_others(images: Material, tmp_path: Path) -> None:
    image_of(tmp_path, "04").write_bytes(b"no image")
    t2w = head(5)[1]
    write_volume(image_of(tmp_path, "05"), Volume(t2w.data, np.diag([2.0, 2.0, 5.0, 1.0])))
    bench = load_bench(images)
    assert [case.key for case in bench.cases] == ["sub-06"]
    assert set(bench.failed) == {"sub-04", "sub-05"}
    assert "head mask and the image given" in bench.failed["sub-05"]
    t2w = head(6)[1]
    write_volume(image_of(tmp_path, "06"), t2w.with_data(np.full(t2w.shape, np.nan, np.float32)))
    with pytest.raises(ConfigError, match="no image for the cases"):
        load_bench(images)
