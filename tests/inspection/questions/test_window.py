"""The window test finds a known receptive field exactly."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest

from recontrast.inspection import NotAsked
from recontrast.inspection.bench import Bench
from recontrast.inspection.questions.filters import Filters
from recontrast.inspection.questions.window import (
    Window,
    converged_width,
    draw_points,
    gradient_reach,
    widths_up_to,
    window_outputs,
)


def test_two_means_of_five_look_nine_voxels_far(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench("blur")
    widths = list(range(1, 21, 2))
    for slab in ((2, 0), None):
        outputs = window_outputs(bench.network_output, bench.cases[0].sources, (24, 28, 10), widths, [0, 1], slab)
        assert converged_width(widths, outputs, 1e-6) == 9


def test_a_strip_is_cut_along_one_axis_only(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench("blur")
    outputs = window_outputs(bench.network_output, bench.cases[0].sources, (24, 28, 10), [1, 9], [0], (2, 0))
    kept = bench.cases[0].sources["T1w"][24, 24:33, 10]
    weights = np.convolve(np.ones(5), np.ones(5)) / 25
    assert outputs[0] == pytest.approx(float(weights[4] * (kept * weights).sum()), rel=1e-5)  # the middle column alone
    assert outputs[1] == pytest.approx(outputs[2], rel=1e-6)


def test_in_three_dimensions_a_cube_is_cut() -> None:
    source = np.random.default_rng(0).random((11, 12, 13)).astype(np.float32)

    def mean_of_three(sources: dict[str, np.ndarray]) -> np.ndarray:
        padded = np.pad(sources["T1w"], 1)
        shifts = [(a, b, c) for a in range(3) for b in range(3) for c in range(3)]
        return sum(padded[a : a + 11, b : b + 12, c : c + 13] for a, b, c in shifts) / 27

    outputs = window_outputs(mean_of_three, {"T1w": source}, (5, 6, 6), [1, 3, 5], [0, 1, 2])
    assert converged_width([1, 3, 5], outputs, 1e-6) == 3


def test_the_gradient_ends_where_the_network_ends(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench("blur")
    energy = gradient_reach(bench, draw_points(bench, 4))
    assert np.flatnonzero(energy > 0)[-1] == 4
    assert energy.sum() == pytest.approx(1)


def test_what_never_converges_is_infinite() -> None:
    assert converged_width([1, 3], np.array([0.0, 0.5, 1.0]), 0.1) == np.inf


def test_widths_are_odd_and_reach_the_end() -> None:
    widths = widths_up_to(300)
    assert all(width % 2 for width in widths)
    assert widths[-1] >= 300


def test_a_table_looks_at_one_voxel(make_bench: Callable[..., Bench]) -> None:
    answer = Window().ask(make_bench("table", shape=(24, 28, 6)))
    assert {f.value for f in answer.findings if f.name == "window that decides (square)" and f.unit == "voxels"} == {
        1.0
    }
    assert answer.sentence.startswith("The voxel of the source alone decides")


def test_millimetres_are_those_of_the_axis(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench("table", shape=(24, 28, 6))
    cases = tuple(dataclasses.replace(case, spacing=(1.0, 3.0, 2.0)) for case in bench.cases)
    answer = Window().ask(dataclasses.replace(bench, cases=cases))
    mm = {f.name: f.value for f in answer.findings if f.unit == "mm"}
    assert mm == {
        "window that decides (strip along R)": 1.0,
        "window that decides (strip along A)": 3.0,
        "window that decides (square)": 3.0,
    }


def test_images_alone_have_no_window(make_bench: Callable[..., Bench]) -> None:
    with pytest.raises(NotAsked, match="only images"):
        Window().ask(make_bench(images_only=True))


def test_a_translator_that_sees_the_whole_head_has_no_window(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench("table", shape=(24, 28, 6))
    translator = bench.require_translator()
    translator.description = dataclasses.replace(translator.description, context_voxels=((4.0, 4.0, 4.0),))
    for question in (Window(), Filters()):
        with pytest.raises(NotAsked, match="blurred over the whole head"):
            question.ask(bench)
