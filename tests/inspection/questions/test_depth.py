"""What lies with the training cases is accepted, what does not is named."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest

from recontrast.inspection import BAD, GOOD, NotAsked
from recontrast.inspection.bench import Bench
from recontrast.inspection.questions.depth import Depth
from recontrast.translation.distance import describe, distribution_of


@pytest.fixture
def bench(make_bench: Callable[..., Bench]) -> Bench:
    """Two cases of a translator that knows six like them."""
    made = make_bench("blur", cases=8)
    translator = made.require_translator()
    rows = [describe(translator.description, c.sources, c.spacing, translator.network) for c in made.cases[2:]]
    translator.training = distribution_of(rows, [case.key for case in made.cases[2:]])
    return dataclasses.replace(made, cases=made.cases[:2])


def test_cases_like_the_training_cases_are_within(bench: Bench) -> None:
    answer = Depth().ask(bench)
    assert answer.tone == GOOD
    assert "All 2 cases" in answer.sentence
    assert answer.findings[0].note == "from 6 training subjects"
    assert {f.name for f in answer.findings} >= {"distance, left half", "distance, network"}


def test_a_noisy_case_is_named_with_what_is_odd(bench: Bench, rng: np.random.Generator) -> None:
    case = bench.cases[1]
    noisy = (case.sources["T1w"] + 0.15 * rng.standard_normal(case.shape)).astype(np.float32)
    answer = Depth().ask(
        dataclasses.replace(bench, cases=(bench.cases[0], dataclasses.replace(case, sources={"T1w": noisy})))
    )
    assert answer.tone == BAD
    assert answer.sentence.startswith("Outside what was learned: 1 of 2 cases: sub-1 (")


def test_without_training_cases_there_is_no_threshold(make_bench: Callable[..., Bench]) -> None:
    with pytest.raises(NotAsked, match="0 training cases"):
        Depth().ask(make_bench(cases=1))
