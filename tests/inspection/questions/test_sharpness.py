"""A blur of known width is measured; the image itself is as sharp as itself."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from recontrast.inspection.bench import Bench
from recontrast.inspection.planting import draw_plants, white_matter
from recontrast.inspection.questions.sharpness import (
    Sharpness,
    disk,
    edge_places,
    edge_spread,
    frequency_at,
    modulation_transfer,
    radial_power,
    smallest_kept,
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


@pytest.mark.slow
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


@pytest.mark.parametrize("shape", ["sphere", "disk"])
def test_a_table_keeps_the_smallest_and_a_blur_does_not(make_bench: Callable[..., Bench], shape: str) -> None:
    found = {}
    for network in ("identity", "blur"):
        bench = make_bench(network, cases=1, shape=(80, 90, 40))
        found[network] = dict(smallest_kept(bench, bench.cases[0], shape))
    small = min(found["blur"])
    assert small <= 4
    assert min(found["identity"].values()) > 0.6
    assert found["blur"][small] < 0.7 * found["identity"][small]


def test_a_disk_lies_in_one_slice_and_has_its_area(make_bench: Callable[..., Bench]) -> None:
    case = make_bench(cases=1).cases[0]
    (plant,) = draw_plants(case, white_matter(case), [("MS", 8.0, 1.0)], np.random.default_rng(0))
    for normal in (0, 1, 2):
        share = disk(case, plant, normal)
        assert share.shape == plant.share.shape
        assert np.count_nonzero(share.any(axis=tuple(a for a in range(3) if a != normal))) == 1
        assert share.sum() * 4 == pytest.approx(np.pi * 16, rel=0.02)


def test_why_no_small_structure_was_put_in_is_said(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench("table", cases=1)
    case = dataclasses.replace(bench.cases[0], regions={"head": bench.cases[0].regions["head"]})
    findings = Sharpness().ask(dataclasses.replace(bench, cases=(case,))).findings
    notes = {f.name: f.note for f in findings if np.isnan(f.value)}
    assert set(notes) == {"smallest sphere kept", "smallest disk kept"}
    assert all("no white-matter mask" in note for note in notes.values())
