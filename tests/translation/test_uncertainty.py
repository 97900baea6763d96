"""Error bars on a problem whose answer is known."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from recontrast.errors import CheckpointError
from recontrast.models import MODELS
from recontrast.models.surroundings import Surroundings
from recontrast.translation.conformal import Calibration, calibrate
from recontrast.translation.description import TranslatorDescription
from recontrast.translation.engines.choice import EngineSettings
from recontrast.translation.translator import load_translator, save_translator
from recontrast.translation.uncertainty import FILE, ONLY, ErrorBars, channels_of, fit_spread, spread_of
from recontrast.volume import Volume

SHAPE, SPACING = (24, 22, 20), (2.0, 2.0, 2.0)


def noisy_head(seed: int) -> tuple[list[np.ndarray], np.ndarray, np.ndarray, np.ndarray]:
    """Sources, estimate, reference, and the standard deviation of the error, which grows with the source."""
    rng = np.random.default_rng(seed)
    source = rng.uniform(0.1, 1.0, SHAPE).astype(np.float32)
    estimate = (1 - source).astype(np.float32)
    sd = (0.02 + 0.2 * source**2).astype(np.float32)
    return [source], estimate, estimate + sd * rng.standard_normal(SHAPE).astype(np.float32), sd


def fitted() -> ErrorBars:
    parts = []
    for seed in range(2):
        sources, estimate, reference, _ = noisy_head(seed)
        parts.append((channels_of(sources, estimate, SPACING), np.abs(reference - estimate)))
    channels = [np.concatenate([c.ravel() for c in pair]) for pair in zip(*(p[0] for p in parts), strict=True)]
    spread = fit_spread(channels, np.concatenate([part[1].ravel() for part in parts]), 0.9)
    sources, estimate, reference, _ = noisy_head(2)
    wide = spread_of(spread, channels_of(sources, estimate, SPACING))
    return ErrorBars(spread, calibrate({"x": (np.abs(reference - estimate) / wide).ravel()}, "subjects"))


@pytest.fixture(scope="module")
def bars() -> ErrorBars:
    return fitted()


def test_intervals_of_a_new_head_cover_everywhere_and_are_as_wide_as_they_must_be(bars: ErrorBars) -> None:
    sources, estimate, reference, sd = noisy_head(7)
    half = bars.half_widths(sources, estimate, SPACING)
    covered = np.abs(reference - estimate) <= half
    assert covered.mean() == pytest.approx(0.9, abs=0.015)
    quiet, loud = sources[0] < 0.4, sources[0] > 0.8
    assert covered[quiet].mean() == pytest.approx(0.9, abs=0.04)
    assert covered[loud].mean() == pytest.approx(0.9, abs=0.04)
    assert np.median(half / (1.645 * sd)) == pytest.approx(1.0, abs=0.1)


@pytest.mark.slow
def test_the_same_twice_is_the_same(bars: ErrorBars) -> None:
    sources, estimate, *_ = noisy_head(3)
    again = fitted()
    assert np.array_equal(bars.half_widths(sources, estimate, SPACING), again.half_widths(sources, estimate, SPACING))


def test_channels_count_as_the_stored_spread_needs_them_and_stand_a_single_slice() -> None:
    for number in (1, 3):
        images = [np.ones((5, 6, 1), np.float32)] * number
        channels = channels_of(images, images[0], SPACING)
        assert len(channels) == 3 * (number + 1) + 3
        assert all(channel.shape == (5, 6, 1) and channel.dtype == np.float32 for channel in channels)


@pytest.fixture
def saved(bars: ErrorBars, describe: Callable[..., TranslatorDescription], tmp_path: Path) -> Path:
    about = describe(spacing_mm=SPACING)
    return save_translator(tmp_path / "translator", MODELS.build("copy", {}), about, {ONLY: bars})


def test_kept_with_the_translator_in_units_of_the_target(saved: Path, bars: ErrorBars) -> None:
    translator = load_translator(saved, EngineSettings(engine="torch", precision="fp32"))
    assert translator.error_bars is not None
    calibration = translator.description.calibration
    assert calibration is not None
    assert calibration.factor == bars.calibration.factor
    assert len(calibration.spread_sha256) == 64
    sources, *_ = noisy_head(4)
    image = Volume(900 * sources[0][:, ::-1], np.diag([2.0, -2.0, 2.0, 1.0]))
    made = translator.run({"T1w": image}, where="test")
    assert made.uncertainty is not None
    assert made.uncertainty.affine is not None
    scaled = made.scales["T1w"].apply(image.reoriented("RAS").data)
    expected = 1000 * bars.half_widths([scaled], scaled, SPACING)
    assert np.allclose(made.uncertainty.reoriented("RAS").data, expected, rtol=1e-4)
    translator = translator.with_error_bars({})
    assert translator.run({"T1w": image}, where="test").uncertainty is None


def test_exchanged_damaged_or_absent_files_are_refused(saved: Path) -> None:
    path = saved / FILE
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(CheckpointError, match=r"is not the file translator\.json was written for"):
        load_translator(saved)
    path.unlink()
    with pytest.raises(CheckpointError, match="copy the translator again"):
        load_translator(saved)


def test_a_spread_of_another_number_of_sources_or_of_nan_is_refused(
    describe: Callable[..., TranslatorDescription], tmp_path: Path
) -> None:
    calibration = Calibration(kind="slabs", subjects=("a",), factor=1.0)
    other = ErrorBars(Surroundings(channels=12, width=24, hidden=2), calibration)
    folder = save_translator(tmp_path / "other", MODELS.build("copy", {}), describe(), {ONLY: other})
    with pytest.raises(CheckpointError, match=r"has shape .*the description is of another network"):
        load_translator(folder)
    broken = ErrorBars(Surroundings(channels=9, width=24, hidden=2), calibration)
    with torch.no_grad():
        broken.spread.last.weight.fill_(float("nan"))
    folder = save_translator(tmp_path / "broken", MODELS.build("copy", {}), describe(), {ONLY: broken})
    with pytest.raises(CheckpointError, match="not finite"):
        load_translator(folder)


def test_old_translators_have_none(describe: Callable[..., TranslatorDescription], tmp_path: Path) -> None:
    folder = save_translator(tmp_path / "plain", MODELS.build("copy", {}), describe())
    assert not (folder / FILE).exists()
    description = (folder / "translator.json").read_text()
    kept = [line for line in description.splitlines() if '"calibration"' not in line and '"uncalibrated"' not in line]
    (folder / "translator.json").write_text("\n".join(kept))
    translator = load_translator(folder)
    assert translator.error_bars is None
    assert translator.description.calibration is None
