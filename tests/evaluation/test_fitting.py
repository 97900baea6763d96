"""Fitting controls on training voxels and applying them to a head."""

from __future__ import annotations

import numpy as np
import pytest

from recontrast.errors import DataError, UnknownNameError
from recontrast.evaluation.fitting import BRAIN, HEAD, REST, compartments, fingerprint, fit_controls, sample_case

SHAPE = (14, 12, 10)


@pytest.fixture
def case(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Source, target that is brighter by other rules inside the brain and outside, compartments."""
    source = rng.random(SHAPE).astype(np.float32)
    head, brain = np.zeros(SHAPE, bool), np.zeros(SHAPE, bool)
    head[1:13, 1:11, 1:9] = True
    brain[4:10, 3:9, 2:8] = True
    target = np.where(brain, 1 - source, np.where(head, 0.5 * source, 0))
    return source, target, compartments(head, brain)


def test_brain_and_rest_are_fitted_apart(case) -> None:
    source, target, masks = case
    fitted, absent = fit_controls(["affine"], {"sub-01": sample_case([source], target, masks, 10_000, (0, 0))}, 0)
    assert absent == {}
    made = fitted["affine"].predict([source], masks)
    assert made == pytest.approx(target, abs=1e-5)
    assert set(fitted["affine"].facts["fit"]) == {BRAIN, REST}
    assert "216 training voxels" in fitted["affine"].facts["fit"][BRAIN]
    assert fitted["affine"].facts["training_cases"] == ["sub-01"]


def test_identity_shows_the_background_too(case) -> None:
    source, _, masks = case
    fitted, _ = fit_controls(["identity"], {}, 0)
    assert np.array_equal(fitted["identity"].predict([source], masks), source)


def test_without_training_subjects_the_learners_are_absent_with_a_reason() -> None:
    fitted, absent = fit_controls(["identity", "ridge", "boosting"], {}, 0)
    assert set(fitted) == {"identity"}
    assert set(absent) == {"ridge", "boosting"}
    assert "no training subjects" in absent["ridge"]


def test_cases_with_and_without_a_brain_are_pooled_over_the_head(case) -> None:
    source, target, masks = case
    head = {HEAD: masks[BRAIN] | masks[REST]}
    samples = {
        "sub-01": sample_case([source], target, masks, 10_000, (0, 0)),
        "sub-02": sample_case([source], target, head, 10_000, (0, 1)),
    }
    fitted, _ = fit_controls(["affine"], samples, 0)
    assert set(fitted["affine"].models) == {HEAD}
    assert "whole head" in fitted["affine"].facts["note"]


def test_a_case_without_a_brain_mask_gets_the_model_of_the_whole_head(case) -> None:
    source, target, masks = case
    whole = {HEAD: masks[BRAIN] | masks[REST]}
    samples = {"sub-01": sample_case([source], target, masks, 10_000, (0, 0))}
    apart = fit_controls(["affine", "identity", "lut-oracle"], samples, 0)[0]
    with pytest.raises(DataError, match="control 'affine' was fitted for brain and rest of the head apart"):
        apart["affine"].predict([source], whole)
    apart["identity"].predict([source], whole)
    apart["lut-oracle"].predict([source], whole, target)
    fitted = fit_controls(["affine"], samples, 0, whole_head=True)[0]["affine"]
    assert set(fitted.facts["fit"]) == {BRAIN, REST, HEAD}
    assert fitted.predict([source], masks) == pytest.approx(target, abs=1e-5)
    merged = {"sub-01": sample_case([source], target, whole, 10_000, (0, 0))}
    alone = fit_controls(["affine"], merged, 0, whole_head=True)[0]["affine"]
    assert set(alone.models) == {HEAD}
    assert fitted.predict([source], whole) == pytest.approx(alone.predict([source], whole), abs=1e-5)


def test_voxels_are_drawn_repeatably_without_replacement(case) -> None:
    source, target, masks = case
    first, second, other = (sample_case([source], target, masks, 50, (0, n)) for n in (1, 1, 2))
    assert first[BRAIN].sources.shape == (50, 1)
    assert np.array_equal(first[BRAIN].target, second[BRAIN].target)
    assert not np.array_equal(first[BRAIN].target, other[BRAIN].target)
    assert len(np.unique(first[REST].sources)) == 50
    assert fingerprint({"a": first}) == fingerprint({"a": second}) != fingerprint({"a": other})


def test_an_unknown_control_is_named() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'ridge'"):
        fit_controls(["rigde"], {}, 0)


def test_too_few_voxels_are_not_called_no_subjects(case) -> None:
    source, target, masks = case
    few = {"sub-01": sample_case([source], target, masks, 20, (0, 0))}
    assert fit_controls(["ridge"], few, 0)[1] == {"ridge": "fewer than 200 training voxels in the head"}


def test_an_oracle_is_marked_for_evaluation_json() -> None:
    fitted, _ = fit_controls(["identity", "lut-oracle"], {}, 0)
    assert {name: control.facts["oracle"] for name, control in fitted.items()} == {
        "identity": False, "lut-oracle": True,
    }  # fmt: skip
