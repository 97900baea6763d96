"""Lesions that vanish and spots that appear are counted; a pixel-wise translator invents nothing."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt

from recontrast.inspection import NotAsked
from recontrast.inspection.bench import Bench, InspectedCase
from recontrast.inspection.planting import Plant, draw_plants, put_into, white_matter
from recontrast.inspection.questions.turnover import Turnover, fill


def with_lesions(bench: Bench) -> tuple[Bench, list[Plant]]:
    """A bench whose only case has three lesions, in the sources, in the target and in the mask."""
    case = bench.cases[0]
    plants = draw_plants(case, white_matter(case), [("MS", 8.0, 1.0)] * 3, np.random.default_rng(3))
    share = np.zeros(case.shape, np.float32)
    for plant in plants:
        share[plant.box] = np.maximum(share[plant.box], plant.share)
    sources = {"T1w": put_into(case.sources["T1w"], plants, "T1w")}
    reference = None if case.reference is None else put_into(case.reference, plants, "FLAIR")
    white = case.regions["WM"] & (share < 0.5)
    made = dataclasses.replace(
        case, sources=sources, reference=reference, synthetic=bench.predict(sources, case.zeros),
        regions={**case.regions, "lesion": share > 0.5, "WM": white},
    )  # fmt: skip
    return dataclasses.replace(bench, cases=(made,)), plants


def numbers(bench: Bench) -> dict[str, float]:
    return {f.name: f.value for f in Turnover().ask(bench).findings if not f.case}


def test_a_pixel_wise_translator_keeps_lesions_and_invents_nothing(make_bench: Callable[..., Bench]) -> None:
    bench, plants = with_lesions(make_bench("table", shape=(60, 70, 28), cases=1))
    found = numbers(bench)
    assert 60 < found["contrast that survives at the lesions of the mask"] < 160
    assert found["inventions"] == 0
    assert "no invention, by construction" in Turnover().ask(bench).sentence
    assert found["lesions seen on the acquired image only"] == 0
    assert found["lesions seen on both"] == len(plants)
    assert abs(found["contrast brought back after removal from the sources"]) < 20


def test_what_was_painted_in_is_an_invention_and_what_was_wiped_out_is_lost(make_bench: Callable[..., Bench]) -> None:
    bench, plants = with_lesions(make_bench("table", shape=(60, 70, 28), cases=1))
    case: InspectedCase = bench.cases[0]
    clean = white_matter(case)
    (spot,) = draw_plants(case, clean, [("MS", 9.0, 1.0)], np.random.default_rng(5))
    wiped = fill(case.synthetic, case.regions["lesion"], clean, case.spacing)
    painted = put_into(wiped, [spot], "FLAIR")
    found = numbers(dataclasses.replace(bench, cases=(dataclasses.replace(case, synthetic=painted),)))
    assert found["inventions"] == 1
    assert found["lesions seen on both"] == 0
    assert found["lesions seen on the acquired image only"] == len(plants)
    assert abs(found["contrast that survives at the lesions of the mask"]) < 40


def test_filling_takes_a_lesion_away(make_bench: Callable[..., Bench]) -> None:
    bench, plants = with_lesions(make_bench("table", shape=(60, 70, 28), cases=1))
    case = bench.cases[0]
    filled = fill(case.sources["T1w"], case.regions["lesion"], white_matter(case), case.spacing)
    core = plants[0].share > 0.9
    assert filled[plants[0].box][core].mean() == pytest.approx(0.7, abs=0.05)
    far = distance_transform_edt(~case.regions["lesion"]) > 6
    assert np.array_equal(filled[far], case.sources["T1w"][far])


def test_without_lesions_it_is_not_asked(make_bench: Callable[..., Bench]) -> None:
    with pytest.raises(NotAsked):
        Turnover().ask(make_bench("table", cases=1))
