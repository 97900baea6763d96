"""Raw images in memory are prepared as files are."""

from __future__ import annotations

import numpy as np
import pytest

from recontrast.io.bids import read_sidecar
from recontrast.io.nifti import read_volume
from recontrast.preparation.cohort import read_cohort
from recontrast.preparation.pipeline import PrepareSettings, prepare
from recontrast.preparation.placement import Placement
from recontrast.preparation.raw import prepare_raw
from recontrast.preparation.recipes import RecipeOptions


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["native", "fixed-scale"])
def test_the_same_as_prepare_writes(raw, tmp_path, recipe):
    root = raw(1)
    prepare(PrepareSettings(
        bids=root, out=tmp_path / "out", recipe=recipe, splits=_one(tmp_path), workers=1,
    ))  # fmt: skip
    cohort = read_cohort(tmp_path / "out")
    (case,) = cohort.cases
    images = {c: read_volume(root / "sub-01" / "anat" / f"sub-01_{c}.nii.gz") for c in ("T1w", "T2w")}
    made = prepare_raw(images, recipe, RecipeOptions(grid="T1w"), cohort.scale_settings, "sub-01")
    for label, path in case.images.items():
        np.testing.assert_array_equal(made[label].volume.data, read_volume(path).data)
        assert made[label].scale == case.scales[label]
        stored = Placement.from_dict(read_sidecar(path))
        np.testing.assert_array_equal(made[label].placement.transform, stored.transform)


def _one(tmp_path):
    path = tmp_path / "splits.tsv"
    path.write_text("subject\tsplit\n01\ttrain\n")
    return path
