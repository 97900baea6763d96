"""Signals inside and outside the training distribution."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest

from recontrast.errors import FormatError, GeometryError, IntensityError, RecontrastWarning
from recontrast.relaxometry.coverage import RARE, SignalCoverage, check_coverage, fit_coverage


@pytest.fixture(scope="module")
def training() -> np.ndarray:
    """Two tissues in three channels."""
    rng = np.random.default_rng(3)
    first = rng.normal((0.2, 0.5, 0.8), 0.03, (6000, 3))
    second = rng.normal((0.9, 0.4, 0.1), 0.05, (6000, 3))
    return np.concatenate([first, second])


@pytest.fixture(scope="module")
def coverage(training: np.ndarray) -> SignalCoverage:
    return fit_coverage(training, gaussians=3)


def test_signals_of_training_are_inside(coverage: SignalCoverage) -> None:
    rng = np.random.default_rng(4)
    rarity = coverage.rarity(rng.normal((0.2, 0.5, 0.8), 0.03, (4000, 3)))
    assert (rarity < RARE).mean() < 0.005
    assert 0.2 < np.median(rarity) < 0.9


def test_rarity_is_a_share(coverage: SignalCoverage, training: np.ndarray) -> None:
    rarity = coverage.rarity(training)
    for share in (0.05, 0.5, 0.9):
        assert (rarity <= share).mean() == pytest.approx(share, abs=0.02)


def test_each_channel_may_be_usual_and_the_whole_unseen(coverage: SignalCoverage) -> None:
    mixed = np.array([[0.2, 0.4, 0.1], [0.9, 0.5, 0.8]])
    assert (coverage.rarity(mixed) < RARE).all()


def test_a_file_keeps_it(coverage: SignalCoverage, training: np.ndarray) -> None:
    again = SignalCoverage.from_dict(json.loads(json.dumps(coverage.to_dict())))
    np.testing.assert_array_equal(again.rarity(training[:50]), coverage.rarity(training[:50]))
    with pytest.raises(FormatError, match="not a signal distribution"):
        SignalCoverage.from_dict({"weights": [1.0]})
    with pytest.raises(FormatError, match="belong together"):
        SignalCoverage.from_dict({**coverage.to_dict(), "weights": [1.0]})


def test_a_scan_is_warned_of_where_it_is_outside(coverage: SignalCoverage, training: np.ndarray) -> None:
    inside = training[:5000].T.reshape(3, 10, 20, 25)
    mask = np.ones((10, 20, 25), bool)
    mask[0] = False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = check_coverage(coverage, inside, mask, "sub-01")
    assert (found[0] == 1).all()
    scan = inside.copy()
    scan[:, 5:] *= 1.5
    with pytest.warns(RecontrastWarning, match="sub-02: 5.* % of the voxels"):
        found = check_coverage(coverage, scan, mask, "sub-02")
    assert (found[5:] < RARE).mean() > 0.95


def test_what_does_not_fit_is_refused(coverage: SignalCoverage) -> None:
    with pytest.raises(GeometryError, match="expected \\(voxels, 3\\)"):
        coverage.rarity(np.zeros((5, 2)))
    with pytest.raises(GeometryError, match="mask"):
        check_coverage(coverage, np.zeros((3, 2, 2, 2)), np.ones((3, 2, 2), bool), "sub-01")
    with pytest.raises(IntensityError, match="too few"):
        fit_coverage(np.zeros((10, 2)))
    with pytest.raises(IntensityError, match="not finite"):
        fit_coverage(np.full((1000, 2), np.nan))
