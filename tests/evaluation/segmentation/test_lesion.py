"""Lesions of a made brain."""

from __future__ import annotations

import numpy as np
import pytest
from tests.evaluation.segmentation.conftest import MadeBrain

from recontrast.errors import DataError
from recontrast.evaluation.segmentation import SegmentationInput
from recontrast.evaluation.segmentation.lesion import Lesions, Rules, find_lesions, z_score
from recontrast.evaluation.volumetry import count_lesions, match_lesions
from recontrast.metrics.overlap import dice

SMALL_HEAD = Rules(surface_mm=2.0)
"""The made brain is 4 cm wide."""


def given(made: MadeBrain, /, **changes: object) -> SegmentationInput:
    return SegmentationInput(**{"image": made.flair, "contrast": "FLAIR", "brain": made.brain, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize("with_tissues", [False, True])
def test_three_lesions_are_found(made_brain: MadeBrain, with_tissues: bool) -> None:
    tissues = np.where(made_brain.lesions, 1, made_brain.tissues) if with_tissues else None
    found = find_lesions(given(made_brain), SMALL_HEAD, tissues)
    assert dice(made_brain.lesions, found) > 0.6
    counts = count_lesions(match_lesions(made_brain.lesions, found, made_brain.flair.spacing))
    assert (counts.both, counts.only_reference, counts.only_synthetic) == (3, 0, 0)


def test_clusters_at_the_surface_are_dropped(made_brain: MadeBrain) -> None:
    data = made_brain.flair.data.copy()
    radius_edge = made_brain.brain & ~np.roll(made_brain.brain, 2, axis=0)
    data[radius_edge] = 900
    image = made_brain.flair.with_data(data)
    found = find_lesions(given(made_brain, image=image), SMALL_HEAD)
    assert not (found & radius_edge).any()


def test_a_healthy_brain_has_none(made_brain: MadeBrain) -> None:
    rng = np.random.default_rng(1)
    data = np.where(made_brain.lesions, 360 + 18 * rng.standard_normal(made_brain.brain.shape), made_brain.flair.data)
    found = find_lesions(given(made_brain, image=made_brain.flair.with_data(data.astype(np.float32))), SMALL_HEAD)
    assert found.sum() < 0.1 * made_brain.lesions.sum()


def test_the_t1w_beside_it_is_used_and_named(made_brain: MadeBrain) -> None:
    assert Lesions().segment(given(made_brain)).notes == "FLAIR alone"
    context = {"T1w": made_brain.t1w}
    assert Lesions().segment(given(made_brain, context=context)).notes == "with tissues of the acquired T1w"


def test_z_is_in_deviations_of_the_brain() -> None:
    rng = np.random.default_rng(2)
    data = (500 + 20 * rng.standard_normal((24, 24, 24))).astype(np.float32)
    data[10:14, 10:14, 10:14] = 700
    z = z_score(data, np.ones(data.shape, bool), (4.0, 4.0, 4.0), "image")
    assert abs(np.median(z)) < 0.3
    assert np.std(z[:8]) == pytest.approx(1, abs=0.25)
    assert z[11:13, 11:13, 11:13].min() > 5


def test_what_it_is_not_made_for_is_refused(made_brain: MadeBrain) -> None:
    with pytest.raises(DataError, match="made for FLAIR"):
        Lesions().segment(given(made_brain, contrast="T1w"))
    flat = made_brain.flair.with_data(np.full(made_brain.brain.shape, 5, np.float32))
    with pytest.raises(DataError, match="constant"):
        Lesions().segment(given(made_brain, image=flat))
