"""A planted grid is found, real scans are left in peace."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from recontrast.inspection import BAD, GOOD
from recontrast.inspection.bench import Bench
from recontrast.inspection.questions.grid import (
    GridPattern,
    called,
    find_peaks,
    find_seams,
    fine_axes,
    pattern_map,
    slice_jumps,
)
from recontrast.io.nifti import read_volume
from recontrast.preparation.mask import head_mask


@pytest.fixture
def bench(make_bench: Callable[..., Bench]) -> Bench:
    return make_bench("table", shape=(96, 104, 40), cases=1)


def cosine(shape: tuple[int, ...], axis: int, period: int) -> np.ndarray:
    wave = np.cos(2 * np.pi * np.arange(shape[axis]) / period + 0.3)
    return wave.reshape([-1 if a == axis else 1 for a in range(3)])


@pytest.mark.parametrize("period", [2, 4, 8])
@pytest.mark.parametrize("axis", [0, 1])
def test_half_a_percent_is_found_with_its_period_axis_and_amplitude(bench: Bench, period: int, axis: int) -> None:
    case = bench.cases[0]
    peaks = find_peaks((case.synthetic + 0.005 * cosine(case.shape, axis, period)).astype(np.float32), case.inside)
    found = [peak for peak in peaks if called(peak)]
    assert [(peak.period, peak.axis) for peak in found] == [(period, axis)]
    expected = 0.005 * (abs(np.cos(0.3)) if period == 2 else 1)
    assert found[0].amplitude == pytest.approx(expected, rel=0.35)


def test_a_clean_image_has_no_peak(bench: Bench) -> None:
    assert not any(called(peak) for peak in find_peaks(bench.cases[0].synthetic, bench.cases[0].inside))


def test_the_map_shows_where_the_grid_is(bench: Bench) -> None:
    case = bench.cases[0]
    half = np.arange(case.shape[1])[None, :, None] < case.shape[1] // 2
    image = (0.5 + 0.02 * cosine(case.shape, 0, 8) * half) * np.ones(case.shape)
    where = pattern_map(image.astype(np.float32), case.inside, 8, 0, reach_voxels=4)
    assert where[48, 26, 20] > 5 * where[48, 80, 20]


def test_a_seam_is_found_and_noise_is_not() -> None:
    rng = np.random.default_rng(0)
    image = (0.5 + 0.01 * rng.standard_normal((40, 30, 30))).astype(np.float32)
    mask = np.ones(image.shape, bool)
    assert abs(find_seams(image, mask, 0)[1]) < 0.004
    image[17:] += 0.03
    plane, step = find_seams(image, mask, 0)
    assert (plane, round(step, 2)) == (16, 0.03)


def test_jumps_of_a_slice_are_counted() -> None:
    image = np.zeros((12, 12, 21), np.float32)
    image[:, :, ::2] = 0.1
    assert slice_jumps(image, np.ones(image.shape, bool), 2) == pytest.approx(0.1)
    assert slice_jumps(image, np.ones(image.shape, bool), 0) == 0


def test_the_question_says_in_how_many_cases(bench: Bench) -> None:
    assert GridPattern().ask(bench).tone == GOOD
    case = bench.cases[0]
    raster = (case.synthetic + 0.005 * cosine(case.shape, 1, 8)).astype(np.float32)
    answer = GridPattern().ask(dataclasses.replace(bench, cases=(dataclasses.replace(case, synthetic=raster),)))
    assert answer.tone == BAD
    assert "every 8 voxels along A" in answer.sentence


def test_a_seam_is_named_where_the_verdict_comes_from_it(bench: Bench) -> None:
    case = bench.cases[0]
    broken = case.synthetic.copy()
    broken[:, 50:] += 0.05
    answer = GridPattern().ask(dataclasses.replace(bench, cases=(dataclasses.replace(case, synthetic=broken),)))
    assert answer.tone == BAD
    assert answer.sentence.startswith("No grid in 1 case; a seam in 1 of 1 case, the largest a step of ")
    assert f" % of the range after plane 49 along A ({case.key})" in answer.sentence
    assert "seam" not in GridPattern().ask(bench).sentence


@pytest.mark.realdata
@pytest.mark.slow
def test_real_scans_have_none(realdata: Path) -> None:
    for name in ("sub-C07/anat/sub-C07_space-MNI_T2w.nii.gz", "sub-L12/ses-1/anat/sub-L12_ses-1_FLAIR.nii.gz"):
        volume = read_volume(realdata / name).reoriented("RAS")
        inside = head_mask(volume).data > 0
        image = (volume.data / np.percentile(volume.data[inside], 99.9)).astype(np.float32)
        axes = fine_axes(volume.spacing)
        assert not any(called(peak) for peak in find_peaks(image, inside, axes)), name
        for axis in axes:
            planted = (image + 0.005 * cosine(image.shape, axis, 8) * inside).astype(np.float32)
            assert [p.period for p in find_peaks(planted, inside, [axis]) if called(p)] == [8], f"{name} along {axis}"
