"""Parameter maps: units, refusals, calibration, smooth B1."""

from __future__ import annotations

import numpy as np
import pytest

from recontrast.errors import GeometryError, IntensityError
from recontrast.relaxometry.maps import ParameterMaps, smooth_b1

SHAPE = (4, 5, 6)


def maps(**changes) -> ParameterMaps:
    one = np.ones(SHAPE, np.float32)
    return ParameterMaps(**{"pd": 2 * one, "mask": one > 0, "r1": one, "r2": 10 * one, **changes})


def test_times_are_inverse_rates_and_zero_outside() -> None:
    mask = np.ones(SHAPE, bool)
    mask[0] = False
    rate = np.where(mask, 4.0, 0.0).astype(np.float32)
    found = maps(r1=rate, mask=mask)
    assert found.t1_s[1, 0, 0] == pytest.approx(0.25)
    assert found.t1_s[0].max() == 0
    assert found.t2_s[1, 0, 0] == pytest.approx(0.1)


def test_relaxation_lists_the_voxels_of_the_mask_and_missing_rates_relax_never() -> None:
    mask = np.zeros(SHAPE, bool)
    mask[1, 2, 3] = mask[2, 2, 2] = True
    tissue = maps(mask=mask, r2=None).relaxation()
    assert tissue.pd.tolist() == [2.0, 2.0]
    assert np.isinf(tissue.t2_s).all()


@pytest.mark.parametrize("name", ["pd", "r1", "r2", "b1"])
@pytest.mark.parametrize(("value", "problem"), [(-0.1, "negative in 1 of"), (np.nan, "not finite in 1 of")])
def test_values_that_no_matter_has_are_refused(name: str, value: float, problem: str) -> None:
    values = np.ones(SHAPE, np.float32)
    values[1, 1, 1] = value
    with pytest.raises(IntensityError, match=f"{name} is {problem}"):
        maps(**{name: values})


def test_other_shapes_are_refused() -> None:
    with pytest.raises(GeometryError, match="r1 has shape"):
        maps(r1=np.ones((2, 2, 2), np.float32))


def test_calibration_sets_the_median_density_of_a_region() -> None:
    region = np.zeros(SHAPE, bool)
    region[:2] = True
    found = maps(errors={"pd": np.full(SHAPE, 0.2, np.float32)}).calibrated(region, 0.7)
    assert found.pd[0, 0, 0] == pytest.approx(0.7)
    assert found.errors["pd"][0, 0, 0] == pytest.approx(0.07)
    with pytest.raises(IntensityError, match="no voxel with signal"):
        maps().calibrated(np.zeros(SHAPE, bool))


def test_smooth_b1_trusts_voxels_that_are_sure(rng: np.random.Generator) -> None:
    shape = (20, 20, 20)
    ramp = np.linspace(0.9, 1.1, 20, dtype=np.float32)[:, None, None] * np.ones(shape, np.float32)
    error = rng.choice([0.01, 0.5], shape).astype(np.float32)
    noisy = np.clip(ramp + error * rng.standard_normal(shape), 0.1, None).astype(np.float32)
    one = np.ones(shape, np.float32)
    found = smooth_b1(ParameterMaps(pd=one, mask=one > 0, b1=noisy, errors={"b1": error}), (2.0, 2.0, 2.0), 12.0)
    assert np.abs(found - ramp)[5:-5].max() < 0.01
    with pytest.raises(IntensityError, match="B1 was not fitted"):
        smooth_b1(maps(), (1.0, 1.0, 1.0))
