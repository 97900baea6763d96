"""Cases in the cache, made by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from recontrast.datasets.patches import SliceBatches
from recontrast.io.bids import Case
from recontrast.io.nifti import write_volume
from recontrast.preparation.cohort import PreparedCase
from recontrast.preparation.normalize import Scale
from recontrast.volume import Volume

AFFINE = np.diag([1.0, 1.5, 3.0, 1.0])
SCALES = {"T1w": Scale("fixed", 100.0, 200.0), "T2w": Scale("fixed", 0.0, 1000.0)}


@pytest.fixture
def same_masks_outside_training() -> Callable[[SliceBatches, SliceBatches], None]:
    """Check that controls and held-out data of two batches count the same voxels."""

    def check(one: SliceBatches, other: SliceBatches) -> None:
        assert torch.equal(one.as_they_are(9).mask, other.as_they_are(9).mask)
        pairs = zip(one.held_out(), other.held_out(), strict=True)
        assert all(torch.equal(first.mask, second.mask) for first, second in pairs)

    return check


@pytest.fixture
def make_case(tmp_path: Path) -> Callable[..., PreparedCase]:
    """A prepared case of random voxels with a box-shaped head."""

    def make(subject: str = "01", shape: tuple[int, int, int] = (10, 12, 7), brain: bool = True) -> PreparedCase:
        rng = np.random.default_rng(int(subject))
        images, regions = {}, {}
        for label in SCALES:
            images[label] = tmp_path / f"sub-{subject}_{label}.nii.gz"
            write_volume(images[label], Volume((1000 * rng.random(shape)).astype(np.float32), AFFINE))
        head = np.zeros(shape, np.uint8)
        head[2:-1, 3:-2, 1:-1] = 1
        inner = np.zeros(shape, np.uint8)
        inner[4:-3, 5:-4, 2:-2] = 1
        for name, mask in {"head": head, **({"brain": inner} if brain else {})}.items():
            regions[name] = tmp_path / f"sub-{subject}_desc-{name}_mask.nii.gz"
            write_volume(regions[name], Volume(mask, AFFINE), np.uint8)
        return PreparedCase(Case(subject), "train", images, SCALES, regions)

    return make
