"""Order and representation of raw channels."""

from __future__ import annotations

import numpy as np
import pytest

from recontrast.errors import ConfigError, IntensityError, UnknownNameError
from recontrast.phantom.sequences import SaturationRecovery, SpoiledGradientEcho, TurboSpinEcho
from recontrast.relaxometry.channels import check_order, series_scale, to_channels
from recontrast.relaxometry.design import synthetic_mri_sequences

SERIES = synthetic_mri_sequences()
DELAY_FASTEST = (0, 2, 4, 6, 1, 3, 5, 7)


@pytest.fixture(params=["complex", "magnitude"])
def noisy(request: pytest.FixtureRequest, raw: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The six tissues 40 times at SNR 30."""
    images = np.tile(raw, (40, 1)) * np.exp(0.7j)
    sigma = np.abs(raw[1]).max() / 30
    images = images + sigma * (rng.standard_normal(images.shape) + 1j * rng.standard_normal(images.shape))
    return images if request.param == "complex" else np.abs(images)


def test_the_right_order_passes(noisy: np.ndarray) -> None:
    found = check_order(noisy, SERIES)
    assert found.misfit < 0.08
    assert found.next_misfit > 1.25 * found.misfit
    assert found.voxels == 150


@pytest.mark.parametrize(
    "order",
    [(1, 0, 2, 3, 4, 5, 6, 7), (2, 3, 0, 1, 4, 5, 6, 7), (7, 6, 5, 4, 3, 2, 1, 0), DELAY_FASTEST],
)  # fmt: skip
def test_a_permuted_order_is_refused_and_the_right_one_named(noisy: np.ndarray, order: tuple[int, ...]) -> None:
    back = ", ".join(str(1 + int(n)) for n in np.argsort(order))
    with pytest.raises(IntensityError, match=f"not in the declared order.*in the order {back};"):
        check_order(noisy[:, list(order)], SERIES, where="sub-01")


@pytest.mark.slow
def test_images_of_other_sequences_are_refused(noisy: np.ndarray) -> None:
    with pytest.raises(IntensityError, match=r"do not follow the signal equation|not in the declared order"):
        check_order(noisy[:, [3, 1, 5, 0, 2, 7, 4, 6]], SERIES)
    other = np.random.default_rng(0).permuted(np.abs(noisy), axis=1)
    with pytest.raises(IntensityError, match="do not follow"):
        check_order(other, SERIES)


def test_csf_alone_does_not_tell(raw: np.ndarray, rng: np.random.Generator) -> None:
    images = np.repeat(raw[2][None], 200, axis=0) + 0.02 * rng.standard_normal((200, 8))
    with pytest.raises(IntensityError, match=r"cannot be checked.*several\s+tissues"):
        check_order(images, SERIES)


@pytest.mark.parametrize("count", [7, 9])
def test_seven_or_nine_channels_are_refused(raw: np.ndarray, count: int) -> None:
    with pytest.raises(ConfigError, match=f"sub-01: {count} images, but 8"):
        check_order(np.concatenate([raw, raw], axis=-1)[:, :count], SERIES, where="sub-01")


def test_too_few_voxels_are_refused(raw: np.ndarray) -> None:
    with pytest.raises(IntensityError, match="only 6 voxels"):
        check_order(raw, SERIES)


def test_flip_angles_have_an_order_too(tissue) -> None:
    series = [SpoiledGradientEcho(0.004, 0.0, angle) for angle in (2.0, 5.0, 10.0, 20.0)]
    images = np.tile(np.stack([s.signal(tissue) for s in series], axis=-1), (10, 1))
    assert check_order(images, series).misfit < 1e-3
    with pytest.raises(IntensityError, match="in the order 4, 3, 2, 1"):
        check_order(images[:, ::-1], series)


@pytest.mark.parametrize(
    "series",
    [
        [SpoiledGradientEcho(0.004, 0.0, angle) for angle in (3.0, 15.0)],
        [SpoiledGradientEcho(0.02, echo, angle) for angle in (3.0, 15.0) for echo in (0.002, 0.008)],
        [TurboSpinEcho(6.0, 0.02, 0.0, 1, inversion_time_s=time) for time in (0.3, 1.2)],
    ],
    ids=["two angles", "two angles, two echoes", "two inversion times"],
)
def test_too_few_images_are_not_judged_by_rounding(series, tissue, rng: np.random.Generator) -> None:
    images = np.tile(np.stack([np.abs(s.signal(tissue)) for s in series], axis=-1), (10, 1))
    for noise in (0.0, 0.003):
        noisy = images + noise * rng.standard_normal(images.shape)
        with pytest.raises(ConfigError, match=r"sub-01: too few images to check their order .*give --no-check"):
            check_order(noisy, series, where="sub-01")


@pytest.mark.parametrize(
    "series",
    [
        [TurboSpinEcho(3.0, echo, 0.0, 1) for echo in (0.02, 0.08)],
        [SaturationRecovery(4.0, delay, 0.017) for delay in (0.5, 2.0)],
    ],
    ids=["two echoes", "two delays"],
)
def test_two_images_whose_signal_must_fall_or_rise_are_enough(series, tissue) -> None:
    images = np.tile(np.stack([s.signal(tissue) for s in series], axis=-1), (10, 1))
    assert check_order(images, series).misfit < 1e-3
    with pytest.raises(IntensityError, match="in the order 2, 1"):
        check_order(images[:, ::-1], series)


def test_representations() -> None:
    images = np.array([[3 + 4j, -2 + 0j]])
    assert to_channels(images, "magnitude", 2.0).ravel().tolist() == [2.5, 1.0]
    assert to_channels(images, "real_imag", 2.0).ravel().tolist() == [1.5, 2.0, -1.0, 0.0]
    np.testing.assert_allclose(
        to_channels(images, "mag_phase", 2.0).ravel(), [2.5, np.arctan2(4, 3) / np.pi, 1.0, 1.0], rtol=1e-6
    )
    assert to_channels(np.ones((2, 3, 4, 8)) * 1j, "mag_phase").shape == (16, 2, 3, 4)


def test_representations_that_cannot_be_are_refused() -> None:
    with pytest.raises(UnknownNameError, match="magnitude"):
        to_channels(np.ones((1, 8)), "magnitud")
    with pytest.raises(IntensityError, match="no phase"):
        to_channels(np.ones((1, 8)), "real_imag")
    with pytest.raises(ConfigError, match="scale"):
        to_channels(np.ones((1, 8)), scale=0.0)


def test_one_scale_for_a_data_set() -> None:
    assert series_scale([np.full((3, 8), 2.0), np.full((3, 8), 8.0), np.full((3, 8), 3.0)]) == 3.0
    with pytest.raises(IntensityError, match="no scale"):
        series_scale([np.zeros((2, 8))])
