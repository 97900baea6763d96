"""Each metric of each paper's table on images whose values can be worked out on paper."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

SHAPE = (14, 14, 14)
FLAT = {"head": np.ones(SHAPE, bool), "brain": np.ones(SHAPE, bool)}


def ssim_of_flat_images(first: float, second: float, data_range: float) -> float:
    """No variance: only the luminance term is left."""
    constant = (0.01 * data_range) ** 2
    return (2 * first * second + constant) / (first**2 + second**2 + constant)


def test_osman_half_against_six_tenths(score: Callable[..., dict[str, float]]) -> None:
    found = score("osman2022", np.full(SHAPE, 0.5), np.full(SHAPE, 0.6), masks=FLAT)
    assert found["mae"] == pytest.approx(0.1)
    assert found["mse"] == pytest.approx(0.01)
    assert found["psnr"] == pytest.approx(20.0)  # 10 log10(1 / 0.01)
    assert found["ssim"] == pytest.approx(0.6001 / 0.6101, abs=1e-6)
    assert ssim_of_flat_images(0.5, 0.6, 1) == pytest.approx(0.6001 / 0.6101)


def test_bottani_in_percent_of_the_range(score: Callable[..., dict[str, float]]) -> None:
    found = score("bottani2024", np.full(SHAPE, 0.5), np.full(SHAPE, 0.6), "brain", FLAT)
    assert found["mae_percent"] == pytest.approx(10.0)
    assert found["psnr"] == pytest.approx(20.0)
    assert found["ssim"] == pytest.approx(0.6001 / 0.6101, abs=1e-6)


def test_bottani_what_lies_outside_the_brain_does_not_count(score: Callable[..., dict[str, float]]) -> None:
    brain = np.zeros(SHAPE, bool)
    brain[:7] = True
    reference = np.full(SHAPE, 0.5)
    estimate = np.where(brain, 0.6, 0.0)
    found = score("bottani2024", reference, estimate, "brain", {"head": np.ones(SHAPE, bool), "brain": brain})
    assert found["mae_percent"] == pytest.approx(10.0)
    both = {"head": np.ones(SHAPE, bool), "brain": brain, "brainUnion": np.ones(SHAPE, bool)}
    union = score("bottani2024", reference, estimate, "brainUnion", both)
    assert union["mae_percent"] == pytest.approx((10.0 + 50.0) / 2)


def test_tagawa_fifth_against_two_fifths_on_minus_one_to_one(score: Callable[..., dict[str, float]]) -> None:
    # 51/255 and 102/255 are -0.6 and -0.2 on the network's scale.
    found = score("tagawa2025", np.full(SHAPE, 0.2), np.full(SHAPE, 0.4), masks=FLAT)
    assert found["mae"] == pytest.approx(0.4)
    assert found["rmse"] == pytest.approx(0.4)
    assert found["mse"] == pytest.approx(0.16)
    assert found["psnr"] == pytest.approx(10 * math.log10(2**2 / 0.16))
    assert found["ssim"] == pytest.approx((2 * 0.12 + 4e-4) / (0.36 + 0.04 + 4e-4), abs=1e-6)


@pytest.mark.parametrize("plane", ["coronal", "sagittal", "axial"])
def test_grant_jacob_black_and_white_against_a_dim_copy(score: Callable[..., dict[str, float]], plane: str) -> None:
    # A checkerboard of 0 and 255 against 0 and 204: half the voxels are 51 off.
    reference = (np.indices(SHAPE).sum(axis=0) % 2).astype(float)
    found = score("grantjacob2021", reference, 0.8 * reference, masks=FLAT)
    error = 51**2 / 2
    assert found[f"nrmse_{plane}"] == pytest.approx(math.sqrt(error) / 255)
    assert found[f"psnr_{plane}"] == pytest.approx(10 * math.log10(255**2 / error))


def test_grant_jacob_the_peak_is_of_both_images(score: Callable[..., dict[str, float]]) -> None:
    reference = 0.4 * (np.indices(SHAPE).sum(axis=0) % 2)
    found = score("grantjacob2021", reference, 2 * reference, masks=FLAT)
    # 102 against 204 in half the voxels; the peak is 204, the range of the actual image 102.
    assert found["psnr_axial"] == pytest.approx(10 * math.log10(204**2 / (102**2 / 2)))
    assert found["nrmse_axial"] == pytest.approx(math.sqrt(0.5))
