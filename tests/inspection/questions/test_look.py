"""Slices, renderings, and how much slices change."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest

from recontrast.inspection import BAD, GOOD
from recontrast.inspection.bench import Bench
from recontrast.inspection.questions.look import Look, opened, slice_change
from recontrast.reporting import rendering


@pytest.fixture(autouse=True)
def coarse(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rendering, "SAMPLES", 24)


def test_a_ramp_changes_by_its_slope() -> None:
    image = 0.1 * np.arange(6, dtype=np.float32)[None, None, :] * np.ones((4, 4, 6), np.float32)
    inside = np.ones(image.shape, bool)
    assert slice_change(image, inside, 2) == pytest.approx(0.1)
    assert slice_change(image, inside, 0) == 0
    assert np.isnan(slice_change(image, np.zeros(image.shape, bool), 2))


def test_the_acquired_image_changes_as_much_as_itself_and_flicker_shows(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench("table", cases=1)
    case = bench.cases[0]
    assert case.reference is not None
    same = Look().ask(dataclasses.replace(bench, cases=(dataclasses.replace(case, synthetic=case.reference),)))
    assert same.findings[0].value == pytest.approx(1.0)
    assert same.tone == GOOD
    assert [plate.name for plate in same.plates] == ["slices", "renderings"]
    flicker = case.synthetic + 0.2 * (np.arange(case.shape[2]) % 2)
    odd = Look().ask(dataclasses.replace(bench, cases=(dataclasses.replace(case, synthetic=flicker.astype("f4")),)))
    assert odd.findings[0].value > 1.5
    assert odd.tone == BAD


def test_images_alone_can_be_looked_at(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench("table", cases=1, reference=False, images_only=True)
    assert "source" in Look().ask(bench).sentence
    case = dataclasses.replace(bench.cases[0], sources={})
    assert "nothing to hold them against" in Look().ask(dataclasses.replace(bench, cases=(case,))).sentence


@pytest.mark.slow
def test_ratios_over_other_images_are_not_mixed_in(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench("table", cases=2)
    first = dataclasses.replace(bench.cases[0], reference=bench.cases[0].synthetic)
    second = dataclasses.replace(bench.cases[1], reference=None)
    answer = Look().ask(dataclasses.replace(bench, cases=(first, second)))
    assert answer.findings[0].value == pytest.approx(1.0)
    assert answer.findings[0].note == "median of 1 case, over the acquired FLAIR"
    flat = dataclasses.replace(first, reference=np.ones_like(first.synthetic))
    assert "nothing to hold them against" in Look().ask(dataclasses.replace(bench, cases=(flat,))).sentence


def test_the_upper_front_right_part_is_cut_away(make_bench: Callable[..., Bench]) -> None:
    case = make_bench(cases=1).cases[0]
    opacity = opened(case)
    i, j, k = (int(v) for v in np.argwhere(case.inside).mean(axis=0))
    assert opacity[i + 2, j + 2, k + 2] == 0
    assert opacity[i - 2, j - 2, k - 2] > 0.9
