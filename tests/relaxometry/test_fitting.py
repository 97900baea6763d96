"""Relaxometry against simulated truth, without noise and with it."""

from __future__ import annotations

import numpy as np
import pytest

from recontrast.errors import ConfigError, GeometryError, IntensityError, RecontrastWarning
from recontrast.phantom.sequences import SpoiledGradientEcho, TurboSpinEcho
from recontrast.phantom.tissues import Relaxation
from recontrast.relaxometry.design import synthetic_mri_sequences
from recontrast.relaxometry.fitting import fit_maps, without_stray_signs

SERIES = synthetic_mri_sequences()


@pytest.mark.parametrize("kind", ["complex", "magnitude", "signed"])
def test_synthetic_mri_without_noise_is_exact(raw: np.ndarray, tissue: Relaxation, kind: str) -> None:
    phase = np.exp(1j * np.linspace(-3, 3, len(raw)))[:, None]
    images = {"complex": raw * phase, "magnitude": np.abs(raw), "signed": raw}[kind]
    maps = fit_maps(images, SERIES)
    np.testing.assert_allclose(maps.t1_s, tissue.t1_s, rtol=1e-4)
    np.testing.assert_allclose(maps.t2_s, tissue.t2_s, rtol=1e-4)
    np.testing.assert_allclose(maps.pd, tissue.pd, rtol=1e-4)
    assert maps.misfit is not None
    assert maps.misfit.max() < 1e-5


def test_small_negative_values_of_interpolation_make_no_signed_images(
    raw: np.ndarray, tissue: Relaxation, rng: np.random.Generator
) -> None:
    images = np.abs(np.repeat(raw, 50, axis=0))
    ringing = 0.005 * images.max()
    images += ringing * rng.standard_normal(images.shape)
    images[0, images[0].argmin()] = -ringing
    air = ringing * rng.standard_normal((500, images.shape[1]))  # as often below zero as above
    maps = fit_maps(np.concatenate([images, air]), SERIES)
    expected = fit_maps(np.abs(images), SERIES, kind="magnitude")
    np.testing.assert_allclose(maps.t1_s[: len(images)], expected.t1_s, rtol=1e-5)
    np.testing.assert_allclose(np.median(maps.t1_s[:50]), tissue.t1_s[0], rtol=0.05)
    np.testing.assert_allclose(np.median(maps.t1_s[50:100]), tissue.t1_s[1], rtol=0.05)


def test_stray_signs_are_taken_from_magnitudes_alone(raw: np.ndarray) -> None:
    magnitudes = np.abs(np.repeat(raw, 100, axis=0))
    stray = magnitudes.copy()
    stray[:4, 3] = -0.15 * magnitudes[:4].max(axis=1)  # 4 of 600: by chance several of a few that are drawn
    inside = np.ones(len(stray), bool)
    np.testing.assert_array_equal(without_stray_signs(stray, inside), np.abs(stray))
    signed = np.repeat(raw, 100, axis=0)
    for images in (signed, signed * 1j):
        assert without_stray_signs(images, inside) is images


@pytest.mark.parametrize("place", range(3), ids=["GM", "WM", "CSF"])
def test_at_snr_50_it_is_unbiased_and_its_standard_errors_are_true(
    raw: np.ndarray, tissue: Relaxation, place: int, rng: np.random.Generator
) -> None:
    sigma = np.abs(raw[1]).max() / 50  # SNR of white matter in the brightest image
    images = np.repeat(raw[place][None] * np.exp(0.4j), 4000, axis=0)
    images = images + sigma * (rng.standard_normal(images.shape) + 1j * rng.standard_normal(images.shape))
    maps = fit_maps(images, SERIES)
    assert np.median(maps.t1_s) == pytest.approx(tissue.t1_s[place], rel=0.02)
    assert np.median(maps.t2_s) == pytest.approx(tissue.t2_s[place], rel=0.02)
    assert np.median(maps.pd) == pytest.approx(tissue.pd[place], rel=0.02)
    assert np.median(maps.noise) == pytest.approx(sigma, rel=0.05)
    if place < 2:  # in CSF the echoes are too short for its T2: the rate is cut at 1/5 s
        for name in ("r1", "r2", "pd"):
            seen = getattr(maps, name).std()
            said = np.sqrt(np.mean(maps.errors[name].astype(float) ** 2))
            assert said == pytest.approx(seen, rel=0.06), name


def test_variable_flip_angles(tissue: Relaxation) -> None:
    series = [SpoiledGradientEcho(0.00385, 0.0, angle) for angle in (2.0, 5.0, 10.0, 20.0)]
    maps = fit_maps(np.stack([s.signal(tissue) for s in series], axis=-1), series)
    np.testing.assert_allclose(maps.t1_s, tissue.t1_s, rtol=1e-3)
    np.testing.assert_allclose(maps.pd, tissue.pd, rtol=1e-3)
    assert maps.r2 is None


def test_variable_flip_angles_agree_with_the_linear_form_without_noise() -> None:
    # S/sin(a) = E1 S/tan(a) + M0 (1 - E1): Gupta 1977, J Magn Reson 25:231.
    angles = np.array([3.0, 17.0])
    series = [SpoiledGradientEcho(0.005, 0.0, a) for a in angles]
    tissue = Relaxation(np.array([1.1]), np.array([0.1]), np.array([0.1]), np.array([0.9]))
    signals = np.array([s.signal(tissue)[0] for s in series])
    turn = np.deg2rad(angles)
    y, x = signals / np.sin(turn), signals / np.tan(turn)
    slope = (y[1] - y[0]) / (x[1] - x[0])
    assert fit_maps(signals[None], series).t1_s[0] == pytest.approx(-0.005 / np.log(slope), rel=1e-5)


def test_b1_map_is_used(tissue: Relaxation) -> None:
    factor = np.array([0.8, 0.91, 1.0, 1.07, 1.15, 1.2])
    angles = (2.0, 5.0, 10.0, 20.0)
    images = np.stack(
        [[SpoiledGradientEcho(0.004, 0.0, a * f).signal(tissue)[n] for n, f in enumerate(factor)] for a in angles],
        axis=-1,
    )
    series = [SpoiledGradientEcho(0.004, 0.0, a) for a in angles]
    np.testing.assert_allclose(fit_maps(images, series, b1=factor).t1_s, tissue.t1_s, rtol=1e-3)
    wrong = fit_maps(images, series).t1_s
    np.testing.assert_allclose(wrong, tissue.t1_s * factor**2, rtol=0.05)  # T1 error goes with B1 squared


def test_b1_can_be_fitted_to_saturation_recovery(tissue: Relaxation) -> None:
    from recontrast.phantom.sequences import SaturationRecovery

    for factor in (0.85, 1.1):
        scaled = [SaturationRecovery(4.0, s.delay_s, s.echo_time_s, 120 * factor, 90 * factor) for s in SERIES]
        images = np.stack([s.signal(tissue) for s in scaled], axis=-1) * np.exp(1j)
        maps = fit_maps(images, SERIES, b1="fit")
        np.testing.assert_allclose(maps.b1, factor, rtol=1e-3)
        np.testing.assert_allclose(maps.t1_s, tissue.t1_s, rtol=5e-3)


def test_inversion_times(tissue: Relaxation) -> None:
    series = [TurboSpinEcho(8.0, 0.012, 0.0, 1, inversion_time_s=ti) for ti in (0.05, 0.4, 1.1, 2.5)]
    signals = np.stack([s.signal(tissue) for s in series], axis=-1)
    for images in (signals, np.abs(signals)):
        np.testing.assert_allclose(fit_maps(images, series).t1_s, tissue.t1_s, rtol=1e-3)


def test_multi_echo_tells_t2_and_not_t1(tissue: Relaxation) -> None:
    series = [TurboSpinEcho(3.0, te, 0.0, 1) for te in (0.012, 0.036, 0.06, 0.12, 0.24)]
    maps = fit_maps(np.stack([s.signal(tissue) for s in series], axis=-1), series)
    np.testing.assert_allclose(maps.t2_s, tissue.t2_s, rtol=1e-4)
    np.testing.assert_allclose(maps.pd, tissue.pd * (1 - np.exp(-3 / tissue.t1_s)), rtol=1e-4)
    assert maps.r1 is None
    with pytest.raises(IntensityError, match="T1 is not among"):
        _ = maps.t1_s


def test_only_the_mask_is_fitted_and_chunks_do_not_matter(raw: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    images = raw.reshape(3, 2, 1, 8)
    mask = np.ones((3, 2, 1), bool)
    mask[1, 1] = False
    whole = fit_maps(images, SERIES, mask=mask)
    assert whole.pd[1, 1, 0] == 0
    assert whole.pd.shape == (3, 2, 1)
    monkeypatch.setattr("recontrast.relaxometry.fitting._CHUNK", 2)
    np.testing.assert_array_equal(fit_maps(images, SERIES, mask=mask).r1, whole.r1)


def test_too_few_images_give_no_standard_error_unless_the_noise_is_known(tissue: Relaxation) -> None:
    series = [SpoiledGradientEcho(0.004, 0.0, angle) for angle in (3.0, 15.0)]
    images = np.stack([s.signal(tissue) for s in series], axis=-1)
    assert np.isnan(fit_maps(images, series).errors["r1"]).all()
    assert np.isfinite(fit_maps(images, series, noise=0.001).errors["r1"]).all()


@pytest.mark.parametrize("count", [7, 9])
def test_seven_or_nine_channels_are_refused(raw: np.ndarray, count: int) -> None:
    images = np.concatenate([raw, raw], axis=-1)[..., :count]
    with pytest.raises(ConfigError, match=f"{count} images, but 8 sequences"):
        fit_maps(images, SERIES)


def test_images_of_the_wrong_kind_are_refused(raw: np.ndarray) -> None:
    with pytest.raises(IntensityError, match="no imaginary part"):
        fit_maps(np.abs(raw).astype(complex), SERIES)
    with pytest.raises(ConfigError, match="images are real"):
        fit_maps(raw, SERIES, kind="complex")
    with pytest.raises(ConfigError, match="images are complex"):
        fit_maps(raw * 1j, SERIES, kind="magnitude")
    with pytest.raises(IntensityError, match="negative"):
        fit_maps(raw, SERIES, kind="magnitude")


def test_damaged_images_masks_and_b1_maps_are_refused(raw: np.ndarray) -> None:
    broken = raw.copy()
    broken[0, 3] = np.nan
    with pytest.raises(IntensityError, match="1 values are NaN"):
        fit_maps(broken, SERIES)
    with pytest.raises(IntensityError, match="no voxel has signal"):
        fit_maps(np.zeros((4, 8)), SERIES)
    with pytest.raises(GeometryError, match="mask"):
        fit_maps(raw, SERIES, mask=np.ones(5, bool))
    with pytest.raises(GeometryError, match="B1"):
        fit_maps(raw, SERIES, b1=np.ones(5))
    with pytest.raises(IntensityError, match="B1"):
        fit_maps(raw, SERIES, b1=np.full(6, -1.0))
    with pytest.raises(ConfigError, match="b1 is 'map'"):
        fit_maps(raw, SERIES, b1="map")  # type: ignore[arg-type]
    with pytest.warns(RecontrastWarning, match="percent"):
        fit_maps(raw, SERIES, b1=np.full(6, 100.0))


def test_b1_that_cannot_be_told_is_refused(tissue: Relaxation) -> None:
    series = [TurboSpinEcho(3.0, te, 0.0, 1) for te in (0.012, 0.036)]
    with pytest.raises(ConfigError, match="B1 cannot be fitted"):
        fit_maps(np.ones((6, 2)), series, b1="fit")


def test_dead_voxels_inside_the_mask_do_no_harm(raw: np.ndarray) -> None:
    images = np.concatenate([raw, np.zeros((2, 8))])
    maps = fit_maps(images, SERIES, mask=np.ones(8, bool))
    assert np.isfinite(maps.r1).all()
    assert (maps.pd[-2:] == 0).all()
