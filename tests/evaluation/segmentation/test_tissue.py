"""Tissues of made brains, and of simulated heads to the Dice that is promised."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.evaluation.segmentation.conftest import MadeBrain

from recontrast.errors import DataError
from recontrast.evaluation.segmentation import SegmentationInput
from recontrast.evaluation.segmentation.tissue import LABELS, Tissue, fractions_of
from recontrast.io.nifti import read_volume
from recontrast.metrics.overlap import dice
from recontrast.phantom.cohort import SimulateSettings, simulate


def given(made: MadeBrain, /, **changes: object) -> SegmentationInput:
    return SegmentationInput(**{"image": made.t1w, "contrast": "T1w", "brain": made.brain, **changes})  # type: ignore[arg-type]


def test_tissues_of_a_made_brain(made_brain: MadeBrain) -> None:
    found = Tissue().segment(given(made_brain))
    truth = np.where(made_brain.lesions, 0, made_brain.tissues)
    labels = np.where(made_brain.lesions, 0, found.labels.data)
    for name, number in LABELS.items():
        assert dice(truth, labels, label=number) > 0.9, name
    assert not found.labels.data[~made_brain.brain].any()
    assert found.mask("WM").sum() == (found.labels.data == 2).sum()


def test_the_scale_of_the_image_does_not_matter(made_brain: MadeBrain) -> None:
    plain = Tissue().segment(given(made_brain)).labels.data
    scaled = made_brain.t1w.with_data(made_brain.t1w.data / 1000)
    assert (Tissue().segment(given(made_brain, image=scaled)).labels.data == plain).mean() > 0.999


def test_fractions_add_up(made_brain: MadeBrain) -> None:
    shares = fractions_of(given(made_brain))
    total = sum(shares[name].data for name in ("GM", "WM", "CSF"))
    np.testing.assert_allclose(total[made_brain.brain & (made_brain.t1w.data > 0)], 1, atol=1e-4)


def test_what_it_is_not_made_for_is_refused(made_brain: MadeBrain) -> None:
    with pytest.raises(DataError, match="made for T1w and T2w, not for FLAIR"):
        Tissue().segment(given(made_brain, contrast="FLAIR"))
    with pytest.raises(DataError, match="no brain mask"):
        Tissue().segment(given(made_brain, brain=None))
    with pytest.raises(DataError, match="shape"):
        Tissue().segment(given(made_brain, brain=np.ones((2, 2, 2), bool)))
    few = np.zeros(made_brain.brain.shape, bool)
    with pytest.raises(DataError, match="empty"):
        Tissue().segment(given(made_brain, brain=few))
    few[20, 20, 8:12] = True
    with pytest.raises(DataError, match="4 voxels"):
        Tissue().segment(given(made_brain, brain=few))
    flat = made_brain.t1w.with_data(np.full(made_brain.t1w.shape, 7, np.float32))
    with pytest.raises(DataError, match="constant"):
        Tissue().segment(given(made_brain, image=flat))
    flat.data[20, 20, 12] = np.nan
    with pytest.raises(DataError, match="not finite"):
        Tissue().segment(given(made_brain, image=flat))


def test_enhanced_t1w_and_t2w_are_taken(made_brain: MadeBrain) -> None:
    assert set(np.unique(Tissue().segment(given(made_brain, contrast="ce-gadolinium_T1w")).labels.data)) == {0, 1, 2, 3}
    turned = made_brain.t1w.with_data(np.where(made_brain.brain, 1500 - made_brain.t1w.data, 0).astype(np.float32))
    labels = Tissue().segment(given(made_brain, image=turned, contrast="T2w")).labels.data
    assert dice(made_brain.tissues, labels, label=2) > 0.85


@pytest.mark.slow
def test_simulated_heads_with_noise_and_bias(tmp_path: Path) -> None:
    simulate(
        SimulateSettings(
            out=tmp_path, subjects=2, spacing_mm=1.5, contrasts=("T1w",), pathology="none", seed=3, workers=1
        )
    )
    scores = []
    for subject in ("sub-01", "sub-02"):
        truth = tmp_path / "derivatives" / "truth" / subject / "anat"
        image = read_volume(tmp_path / subject / "anat" / f"{subject}_T1w.nii.gz")
        brain = read_volume(truth / f"{subject}_desc-brain_mask.nii.gz", np.int16).data > 0
        tissue = read_volume(truth / f"{subject}_desc-tissue_dseg.nii.gz", np.int16).data
        labels = Tissue().segment(SegmentationInput(image, "T1w", brain)).labels.data
        wanted = {"GM": np.isin(tissue, (1, 4, 5)), "WM": tissue == 2, "CSF": tissue == 3}
        scores.append([dice(wanted[name] & brain, labels == LABELS[name]) for name in ("GM", "WM", "CSF")])
    grey, white, fluid = np.mean(scores, axis=0)
    assert grey >= 0.85
    assert white >= 0.90
    assert fluid >= 0.80
