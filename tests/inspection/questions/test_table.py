"""A translator that is a table is found to be one; entropies are those computed by hand."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from recontrast.inspection import BAD
from recontrast.inspection.bench import Bench
from recontrast.inspection.questions import table
from recontrast.inspection.questions.table import LookUpTable, conditional_entropy, explained_by_table


@pytest.fixture
def source(rng: np.random.Generator) -> np.ndarray:
    return rng.random(20_000)


@pytest.mark.parametrize("curve", [np.square, np.sin, lambda v: np.where(v < 0.5, 1 - v, v)])
def test_any_curve_is_a_table(source: np.ndarray, rng: np.random.Generator, curve: Callable[..., np.ndarray]) -> None:
    assert explained_by_table(source[:, None], curve(source), rng) > 0.999


def test_a_table_of_integers_is_found_exactly(rng: np.random.Generator) -> None:
    source = rng.integers(0, 256, 20_000).astype(float)
    table = rng.random(256)
    assert explained_by_table(source[:, None], table[source.astype(int)], rng) == 1.0


def test_noise_beside_a_table_lowers_its_share_by_what_it_adds(source: np.ndarray, rng: np.random.Generator) -> None:
    made = source + np.sqrt(1 / 12) * rng.standard_normal(len(source))  # as much variance as the source has
    assert explained_by_table(source[:, None], made, rng) == pytest.approx(0.5, abs=0.05)


def test_a_table_of_two_sources_is_seen_only_with_both(rng: np.random.Generator) -> None:
    sources = rng.random((60_000, 2))
    made = sources[:, 0] * sources[:, 1]
    assert explained_by_table(sources, made, rng) > 0.98
    assert explained_by_table(sources[:, :1], made, rng) < 0.7


def test_a_constant_image_has_nothing_to_explain(source: np.ndarray, rng: np.random.Generator) -> None:
    assert np.isnan(explained_by_table(source[:, None], np.ones(len(source)), rng))


def test_entropy_of_what_is_unrelated_is_that_of_the_image_itself(rng: np.random.Generator) -> None:
    source, made = rng.integers(0, 4, (2, 200_000))
    assert conditional_entropy(source.astype(float), made.astype(float), levels=4) == pytest.approx(2, abs=0.01)
    assert conditional_entropy(source.astype(float), source.astype(float) ** 2, levels=16) == 0


def test_the_question_gives_all_of_it_to_a_table(make_bench: Callable[..., Bench]) -> None:
    answer = LookUpTable().ask(make_bench("table"))
    assert answer.findings[0].value == pytest.approx(100, abs=0.1)
    assert answer.tone == BAD
    assert "look-up table" in answer.sentence


def test_a_function_of_single_voxels_is_a_table_even_where_the_steps_are_too_coarse(
    make_bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table, "TABLE_SHARE", 1.1)
    assert "a table with finer steps" in LookUpTable().ask(make_bench("table", cases=1)).sentence
    assert "comes from the neighbourhood" in LookUpTable().ask(make_bench("blur", cases=1)).sentence


def test_a_blur_is_more_than_a_table_and_images_are_enough(make_bench: Callable[..., Bench]) -> None:
    answer = LookUpTable().ask(make_bench("blur", images_only=True, reference=False))
    assert answer.findings[0].value < 99
