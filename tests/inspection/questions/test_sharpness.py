"""A blur of known width is measured; the image itself is as sharp as itself."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from recontrast.inspection.bench import Bench
from recontrast.inspection.questions.sharpness import (
    Sharpness,
    edge_places,
    edge_spread,
    frequency_at,
    modulation_transfer,
    radial_power,
)


def test_the_transfer_of_a_gaussian_edge_is_that_of_the_gaussian() -> None:
    step = (np.arange(40)[:, None, None] >= 20) * np.ones((40, 30, 6))
    image = gaussian_filter(step, [1.0, 0, 0]).astype(np.float32)
    spread = edge_spread(image, *edge_places(image, np.ones(image.shape, bool), 50))
    expected = np.sqrt(np.log(2) / 2) / (np.pi * 1.0)  # exp(-2 (pi f s)^2) = 1/2
    assert frequency_at(*modulation_transfer(spread)) == pytest.approx(
        expected, rel=0.25
    )  # the window and the voxels widen it a little


def test_power_of_a_wave_lies_at_its_frequency() -> None:
    wave = np.cos(2 * np.pi * np.arange(64) / 8)[:, None, None] * np.ones((64, 64, 8))
    frequency, power = radial_power(wave.astype(np.float32), np.ones(wave.shape, bool))
    assert frequency[np.argmax(power)] == pytest.approx(1 / 8, abs=0.02)


def test_the_image_itself_is_as_sharp_as_itself_and_a_blur_is_not(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench("table", cases=1)
    case = bench.cases[0]
    assert case.reference is not None
    same = Sharpness().ask(dataclasses.replace(bench, cases=(dataclasses.replace(case, synthetic=case.reference),)))
    assert same.findings[0].value == 1.0
    soft = gaussian_filter(case.reference, [1.5, 1.5, 0]).astype(np.float32)
    blurred = Sharpness().ask(dataclasses.replace(bench, cases=(dataclasses.replace(case, synthetic=soft),)))
    assert blurred.findings[0].value < 0.7
    assert blurred.findings[2].value < 0.3
