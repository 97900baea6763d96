"""Verdicts and sentences."""

from __future__ import annotations

import math

import numpy as np
import pytest

from recontrast.evaluation.statistics import (
    Friedman,
    Interval,
    Margin,
    Pair,
    equivalence,
    friedman,
    margin_in_words,
    needed_in_words,
    no_interval,
    non_inferiority,
    paired_test,
    post_hoc,
    sample_in_words,
    several_in_words,
    verdict,
    verdict_in_words,
)

SMALL = [-0.1, 0.2, 0.0, -0.2, 0.1, 0.1]
PLACE = {"control": "ridge", "metric": "psnr", "region": "brain"}


@pytest.mark.parametrize(
    ("low", "high", "higher", "said"),
    [
        (0.1, 0.5, True, "synthetic"),
        (0.1, 0.5, False, "control"),
        (-0.5, -0.1, True, "control"),
        (-0.5, -0.1, False, "synthetic"),
        (-0.1, 0.5, True, "undecided"),
        (0.0, 0.5, True, "undecided"),
        (math.nan, math.nan, True, "undecided"),
    ],
)
def test_only_an_interval_that_excludes_zero_decides(low: float, high: float, higher: bool, said: str) -> None:
    assert verdict(Interval(low, high, ""), higher_is_better=higher) == said


def test_the_words_say_no_more_than_the_numbers() -> None:
    arguments = {"control": "ridge", "metric": "psnr", "region": "brain"}
    better = verdict_in_words(
        "synthetic", difference=0.5, interval=Interval(0.1, 0.9, "BCa bootstrap over 12 subjects"), **arguments
    )
    assert "is better than ridge (difference +0.5" in better
    worse = verdict_in_words("control", difference=-0.5, interval=Interval(-0.9, -0.1, ""), **arguments)
    assert "is worse than ridge" in worse
    open_question = verdict_in_words("undecided", difference=0.5, interval=no_interval("1 subject"), **arguments)
    assert "it is not shown" in open_question
    assert "none: 1 subject" in open_question
    nothing = verdict_in_words("undecided", difference=math.nan, interval=no_interval("0 subjects"), **arguments)
    assert "cannot be compared" in nothing
    assert "does not show that they are equal" in open_question
    one = Interval(4.0, 9.0, "WITHIN ONE SUBJECT: bootstrap over 12 slabs of axial slices of sub-01")
    assert "in this one subject" in verdict_in_words("synthetic", difference=6.0, interval=one, **arguments)


def test_where_interval_and_test_disagree_it_is_said() -> None:
    arguments = {"difference": 0.5, "interval": Interval(0.1, 0.9, "t over 7 subjects"), **PLACE}
    assert verdict_in_words("synthetic", p=0.04, **arguments) == verdict_in_words("synthetic", **arguments)
    hint = verdict_in_words("synthetic", p=0.078, **arguments)
    assert "The interval excludes zero, but p is 0.078" in hint
    assert hint.endswith("take it as a hint, not as shown.")
    other = verdict_in_words("undecided", p=0.02, **arguments)
    assert "The interval holds zero, but p is 0.020" in other
    assert verdict_in_words("undecided", p=0.2, **arguments).endswith("This does not show that they are equal.")


def test_margins_are_named_and_absence_of_proof_is_not_proof() -> None:
    wide, narrow = Margin(0.5, "seed noise"), Margin(0.01, "rounding")
    shown = margin_in_words(equivalence(SMALL, wide), **PLACE)
    assert "is equivalent to ridge within 0.5 (seed noise)" in shown
    assert "90 % interval" in shown
    inferior = margin_in_words(non_inferiority(SMALL, wide, higher_is_better=True), **PLACE)
    assert "is not worse than ridge by more than 0.5 (seed noise)" in inferior
    assert "95 % interval" in inferior
    assert "it is not shown" in margin_in_words(equivalence(SMALL, narrow), **PLACE)
    assert "cannot be tested (1 subject(s))" in margin_in_words(equivalence([0.1], wide), **PLACE)


@pytest.mark.parametrize(("n", "smallest"), [(3, "0.25"), (5, "0.0625")])
def test_too_few_subjects_are_told_what_they_cannot_show(n: int, smallest: str) -> None:
    said = sample_in_words(n)
    assert f"n = {n} cannot give p < 0.05 by Wilcoxon" in said
    assert smallest in said


def test_enough_subjects_are_told_what_they_can_find() -> None:
    assert "n = 1 allows no statement" in sample_in_words(1)
    assert sample_in_words(34).startswith("A paired t test of 34 subjects finds an effect of 0.5 SD or more")
    assert needed_in_words(-0.5).startswith("If the true effect is 0.5 SD, 34 subjects")
    assert "no effect to plan for" in needed_in_words(0.0)


def test_several_models_in_words() -> None:
    found = Friedman(9.0, 0.002, 0.5, (1.0, 2.0, 3.0), 9, "Friedman, 9999 permutations")
    pairs = [Pair(0, 1, 1.0, 0.2, "T"), Pair(0, 2, 2.0, 0.004, "T"), Pair(1, 2, 1.0, 0.03, "T")]
    names = {"names": ["a", "b", "c"], "metric": "mae", "region": "brain"}
    lower = several_in_words(found, pairs, higher_is_better=False, **names)
    assert lower[0].startswith("mae in brain: the 3 models differ (Friedman, 9999 permutations, p 0.002")
    assert "a is better than c" in lower[1]
    assert "not shown to differ: a and b." in lower[-1]
    higher = several_in_words(found, pairs, higher_is_better=True, **names)
    assert "c is better than a" in higher[1]
    nothing = Friedman(1.0, 0.5, 0.1, (2.0, 2.0, 2.0), 9, "Friedman, 9999 permutations")
    assert several_in_words(nothing, pairs, higher_is_better=True, **names)[0].endswith("pairs are not compared.")


def test_the_better_of_a_pair_is_better_by_the_test_that_found_it() -> None:
    """The third lies between the two where the second gains, so mean ranks prefer the second; signed ranks do not."""
    rng = np.random.default_rng(3)
    first = 20 + rng.random(40)
    gain = np.where(np.arange(40) < 21, 0.2, -3.0)  # the second gains a little in 21 subjects, and loses much in 19
    between = np.where(gain > 0, first + 0.1, first + 5)
    table = np.stack([first, first + gain, between], axis=1)
    pairs = post_hoc(table)
    pair = pairs[0]
    assert pair.rank_difference > 0
    assert pair.p < 0.05
    assert paired_test(table[:, 1] - table[:, 0], alternative="less").p < 0.05
    said = several_in_words(
        friedman(table), pairs, ["a", "b", "c"], metric="psnr", region="brain", higher_is_better=True
    )
    assert any("a is better than b" in sentence for sentence in said)
    assert not any("b is better than a" in sentence for sentence in said)
