"""Calibration by subject, on errors whose distribution is known."""

from __future__ import annotations

import json

import numpy as np
import pytest

from recontrast.config import build_settings, to_plain
from recontrast.errors import CheckpointError
from recontrast.translation.conformal import Calibration, calibrate, conformal_factor, left_out_coverage


def subjects(number: int, differ: float, seed: int = 0, voxels: int = 4000) -> list[np.ndarray]:
    """|error| / spread: halves of normal distributions whose widths differ between subjects."""
    rng = np.random.default_rng(seed)
    return [np.exp(differ * rng.standard_normal()) * np.abs(rng.standard_normal(voxels)) for _ in range(number)]


def test_alike_subjects_give_the_known_quantile_and_new_ones_are_covered() -> None:
    factor = conformal_factor(subjects(5, 0.0))
    assert factor == pytest.approx(1.645, abs=0.03)  # 90 % of |N(0, 1)|
    assert np.mean(np.concatenate(subjects(5, 0.0, seed=1)) <= factor) == pytest.approx(0.9, abs=0.01)


def test_every_subject_counts_the_same_however_many_voxels_it_has() -> None:
    small, large = np.full(10, 1.0), np.full(10_000, 2.0)
    assert conformal_factor([small, small, large], 0.6) == 1.0
    assert conformal_factor([small, small, large], 0.9) == 2.0
    assert conformal_factor([np.arange(1.0, 11.0)], 0.9) == 9.0


@pytest.mark.parametrize("number", [1, 2, 4, 10])
def test_the_promise_holds_on_average_where_subjects_differ_much(number: int) -> None:
    """The lower bound is level * n / (n + 1); with subjects this different the coverage itself is well below 90 %."""
    covered = []
    for seed in range(300):
        *known, new = subjects(number + 1, 1.0, seed, voxels=300)
        covered.append(np.mean(new <= conformal_factor(known)))
    promised = calibrate({str(n): part for n, part in enumerate(known)}, "subjects").guaranteed
    assert promised == pytest.approx(0.9 * number / (number + 1))
    assert promised < np.mean(covered) < 0.9


def test_subjects_left_out_show_how_much_they_differ() -> None:
    alike, unlike = left_out_coverage(subjects(4, 0.0)), left_out_coverage(subjects(4, 1.0))
    assert max(alike) - min(alike) < 0.02
    assert max(unlike) - min(unlike) > 0.1
    assert left_out_coverage(subjects(1, 0.0)) == ()


def test_words_say_what_is_not_known() -> None:
    parts = {str(n): part for n, part in enumerate(subjects(3, 0.0))}
    three, slabs = calibrate(parts, "subjects"), calibrate(parts, "slabs")
    one = calibrate({"0": parts["0"]}, "subjects")
    assert "at least 67 % of a head's voxels" in three.words()
    assert "left out one by one, 89." in three.words() or "left out one by one, 9" in three.words()
    assert "at least 45 %" in one.words()
    assert "how subjects differ is not known" in one.words()
    assert "nothing is promised" in slabs.words()
    assert slabs.guaranteed == 0
    assert slabs.left_out == ()
    facts = three.to_sidecar()
    assert (facts["Level"], facts["CalibrationSubjects"], facts["CalibratedOn"]) == (0.9, 3, "subjects")
    assert json.loads(json.dumps(facts))["GuaranteedMeanCoverage"] == pytest.approx(0.675)


def test_comes_back_from_a_file_and_nonsense_does_not() -> None:
    made = calibrate({"a": np.arange(1.0, 9.0), "b": np.arange(2.0, 9.0)}, "subjects")
    assert build_settings(Calibration, json.loads(json.dumps(to_plain(made))), "file") == made
    for wrong in ({"kind": "guess"}, {"factor": 0.0}, {"factor": float("nan")}, {"level": 1.0}, {"subjects": ()}):
        with pytest.raises(CheckpointError, match="cannot be"):
            Calibration(**{"kind": "subjects", "subjects": ("a",), "factor": 1.0, **wrong})
    with pytest.raises(ValueError, match="without voxels"):
        conformal_factor([np.zeros(0)])
