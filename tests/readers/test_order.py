"""Orders: every item once, one case never beside itself, washout, balance, seeds."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

import pytest

from recontrast.errors import ConfigError
from recontrast.readers.order import Showing, plan_reader, reader_seed
from recontrast.readers.study import Study, study_from

CASES = [f"c{i}" for i in range(10)]


def study(arms: int = 2, **more: Any) -> Study:
    question = {"name": "q", "text": "?", "choices": ["no", "yes"]}
    names = ["acquired", "one", "two"][:arms]
    values = {"title": "t", "readers": ["A"], "arms": [{"name": n} for n in names], "questions": [question], **more}
    return study_from(values, "test")


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("arms", [2, 3])
def test_one_sitting_shows_everything_once_with_the_gap(seed: int, arms: int) -> None:
    order = plan_reader(study(arms, gap=4, duplicates=3), CASES, seed)
    once = [(s.case, s.arms) for s in order if not s.repeat]
    assert sorted(set(once)) == sorted(once)
    assert len(once) == 10 * arms
    assert sum(s.repeat for s in order) == 3
    for place, showing in enumerate(order):
        assert showing.case not in {other.case for other in order[place + 1 : place + 5]}


def test_washout_shows_each_case_once_a_session_and_is_balanced() -> None:
    order = plan_reader(study(washout_days=28.0), CASES, 3)
    for session in (0, 1):
        own = [s for s in order if s.session == session]
        assert sorted(s.case for s in own) == CASES
        assert Counter(s.arms[0] for s in own) == {"acquired": 5, "one": 5}
    assert [s.session for s in order] == [0] * 10 + [1] * 10


def test_blocks_show_one_arm_a_session() -> None:
    order = plan_reader(study(order="blocks", washout_days=28.0, block_order=["one", "acquired"]), CASES, 0)
    assert [s.arms[0] for s in order] == ["one"] * 10 + ["acquired"] * 10


@pytest.mark.parametrize("seed", range(10))
def test_without_washout_the_gap_also_holds_from_one_session_to_the_next(seed: int) -> None:
    order = plan_reader(study(order="blocks", gap=3), CASES, seed)
    assert [s.session for s in order] == [0] * 10 + [1] * 10
    for place, showing in enumerate(order):
        assert showing.case not in {other.case for other in order[place + 1 : place + 4]}


@pytest.mark.slow
def test_images_of_one_case_for_practice_are_kept_apart_where_there_are_others() -> None:
    for seed in range(20):
        practice = [s.case for s in plan_reader(study(training=["p", "q", "r"]), CASES, seed) if s.training]
        assert sorted(practice) == ["p", "p", "q", "q", "r", "r"]
        assert all(a != b for a, b in itertools.pairwise(practice))


def test_pairs_show_both_arms_in_either_place() -> None:
    firsts: Counter[str] = Counter()
    for seed in range(40):
        order = plan_reader(study(mode="side-by-side", duplicates=2, gap=1), CASES, seed)
        assert all(sorted(s.arms) == ["acquired", "one"] for s in order)
        firsts.update(s.arms[0] for s in order)
    assert 0.4 < firsts["one"] / firsts.total() < 0.6


def test_practice_comes_first_and_shows_every_arm() -> None:
    order = plan_reader(study(training=["p"]), CASES, 0)
    assert [s.training for s in order[:3]] == [True, True, False]
    assert {s.arms[0] for s in order[:2]} == {"acquired", "one"}


def test_which_arm_comes_first_cannot_be_told_from_the_place() -> None:
    # Over many seeds the first showing of a case is of either arm equally often.
    firsts: Counter[str] = Counter()
    for seed in range(150):
        seen: set[str] = set()
        for showing in plan_reader(study(), CASES[:4], seed):
            if showing.case not in seen:
                firsts[showing.arms[0]] += 1
                seen.add(showing.case)
    assert abs(firsts["acquired"] / firsts.total() - 0.5) < 0.05


def test_seeds_decide_and_readers_differ() -> None:
    assert plan_reader(study(), CASES, 5) == plan_reader(study(), CASES, 5)
    assert plan_reader(study(), CASES, reader_seed(0, "A")) != plan_reader(study(), CASES, reader_seed(0, "B"))


def test_what_cannot_be_ordered_is_said() -> None:
    with pytest.raises(ConfigError, match="cannot be ordered"):
        plan_reader(study(gap=3), CASES[:2], 0)
    with pytest.raises(ConfigError, match="duplicates is 99"):
        plan_reader(study(duplicates=99), CASES, 0)
    assert Showing(0, "c", ("a",)).repeat is False
