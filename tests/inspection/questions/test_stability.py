"""A table does not care for shifts and flips; it follows noise, bias and gain by its slope."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest

from recontrast.inspection import NotAsked
from recontrast.inspection.bench import Bench
from recontrast.inspection.questions.stability import Stability
from recontrast.preparation.level import signal_level


def test_a_table_is_stable_where_it_must_be(make_bench: Callable[..., Bench]) -> None:
    values = {f.name: f.value for f in Stability().ask(make_bench("table", cases=1)).findings}
    assert values["left-right flip"] == pytest.approx(0, abs=1e-4)
    assert values["shift by one voxel along R"] < 0.3  # only the edge voxels that are pushed out
    assert values["another plane"] == pytest.approx(0, abs=1e-4)
    assert values["intensity times 1.1"] > 1


def test_noise_passes_by_the_slope_of_the_identity(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench("identity", cases=1)
    values = {f.name: f.value for f in Stability().ask(bench).findings}
    assert values["noise of 0.02 of the range"] == pytest.approx(100 * 0.02 * 0.798, rel=0.1)  # mean of |normal|


def test_images_alone_cannot_be_disturbed(make_bench: Callable[..., Bench]) -> None:
    with pytest.raises(NotAsked):
        Stability().ask(make_bench(cases=1, images_only=True))


def test_a_translator_that_levels_its_sources_does_not_care_for_gain(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench("table", cases=1)
    translator = bench.require_translator()
    levels = {"T1w": signal_level(bench.cases[0].sources["T1w"])}
    translator.description = dataclasses.replace(translator.description, source_levels=levels)
    values = {f.name: f.value for f in Stability().ask(bench).findings}
    assert values["intensity times 1.1"] == pytest.approx(0, abs=1e-3)
