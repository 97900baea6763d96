"""What may be said: sentences that say no more than the numbers do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from recontrast.evaluation.statistics.intervals import WITHIN, Interval
from recontrast.evaluation.statistics.margins import MarginResult
from recontrast.evaluation.statistics.paired import smallest_wilcoxon_p
from recontrast.evaluation.statistics.power import POWER, smallest_effect, subjects_needed
from recontrast.evaluation.statistics.several import Friedman, Pair

LEVEL = 0.05


def verdict(difference: Interval, *, higher_is_better: bool) -> Literal["synthetic", "control", "undecided"]:
    """Which is better; only an interval that excludes zero decides.

    Args:
        difference: Interval of synthetic - control.
        higher_is_better: Direction of the metric.

    Example:
        >>> verdict(Interval(0.1, 0.4, ""), higher_is_better=True)
        'synthetic'
    """
    if not difference.exists or difference.low <= 0 <= difference.high:
        return "undecided"
    return "synthetic" if (difference.low > 0) == higher_is_better else "control"


def at_odds(better: str, p: float) -> bool:
    """Whether the p of the test, adjusted or not, and the interval, which is not adjusted, say different things.

    Args:
        better: What `verdict` said of the interval.
        p: P of the same differences; nan where nothing was tested.

    Example:
        >>> at_odds("synthetic", 0.08), at_odds("synthetic", 0.01), at_odds("undecided", float("nan"))
        (True, False, False)
    """
    return bool(np.isfinite(p)) and (better == "undecided") == (p < LEVEL)


def odds_in_words(better: str, p: float, *, adjusted: bool = True) -> str:
    """A sentence where test and interval disagree; empty where they agree.

    Args:
        better: As for `at_odds`.
        p: As for `at_odds`.
        adjusted: Whether p is adjusted for the controls.

    Example:
        >>> odds_in_words("synthetic", 0.078)[:51]
        'The interval excludes zero, but p is 0.078 (adjuste'
    """
    if not at_odds(better, p):
        return ""
    if better == "undecided":
        how = " (adjusted)" if adjusted else ""
        return f"The interval holds zero, but p is {_p(p)}{how}: take it as a hint, not as shown."
    how = " (adjusted for the controls, as the interval is not)" if adjusted else ""
    return f"The interval excludes zero, but p is {_p(p)}{how}, not below {LEVEL:g}: take it as a hint, not as shown."


def verdict_in_words(
    better: str, *, control: str, metric: str, region: str, difference: float, interval: Interval, p: float = np.nan,
    adjusted: bool = True,
) -> str:  # fmt: skip
    """A sentence about the synthetic image and one control.

    Args:
        better: What `verdict` said.
        control: Name of the control.
        metric: Label of the metric.
        region: Name of the region.
        difference: Mean of synthetic - control.
        interval: Its interval.
        p: P of the test beside it; where they disagree it is said.
        adjusted: Whether p is adjusted for the controls.

    Example:
        >>> verdict_in_words("synthetic", control="ridge", metric="psnr", region="brain", difference=0.5,
        ...                  interval=Interval(0.1, 0.9, "Student t over 5 subjects"))[:49]
        'psnr in brain: the synthetic image is better than'
    """
    where = f"{metric} in {region}"
    if not np.isfinite(difference):
        return f"{where}: synthetic and {control} cannot be compared ({interval.over})."
    numbers = f"difference {difference:+.4g}"
    if interval.exists:
        numbers += f", 95 % interval {interval.low:+.4g} to {interval.high:+.4g}"
    numbers += f"; {interval.over}"
    odds = odds_in_words(better, p, adjusted=adjusted)
    if better == "undecided":
        return (
            f"{where}: it is not shown that the synthetic image is better or worse than {control} ({numbers}). "
            f"This does not show that they are equal. {odds}"
        ).rstrip()
    best = "better" if better == "synthetic" else "worse"
    scope = ", in this one subject" if interval.over.startswith(WITHIN) else ""
    return f"{where}: the synthetic image is {best} than {control}{scope} ({numbers}). {odds}".rstrip()


def margin_in_words(result: MarginResult, *, control: str, metric: str, region: str) -> str:
    """A sentence about non-inferiority or equivalence.

    Example:
        >>> from recontrast.evaluation.statistics import Margin, equivalence
        >>> found = equivalence([-0.1, 0.2, 0.0, -0.2, 0.1, 0.1], Margin(0.5, "seed noise"))
        >>> margin_in_words(found, control="ridge", metric="psnr", region="brain")[:60]
        'psnr in brain: the synthetic image is equivalent to ridge wi'
    """
    margin = f"{result.margin.value:g} ({result.margin.name})"
    claim = (
        f"equivalent to {control} within"
        if result.question == "equivalent"
        else f"not worse than {control} by more than"
    )
    start = f"{metric} in {region}:"
    if not np.isfinite(result.p):
        reason = result.test.removeprefix("none: ")
        return f"{start} whether the synthetic image is {claim} {margin} cannot be tested ({reason})."
    numbers = f"{result.test}, p {_p(result.p)}, one-sided level {result.level:g}"
    if result.interval.exists:
        share = 100 * (1 - 2 * result.level)
        numbers += f"; {share:g} % interval {result.interval.low:+.4g} to {result.interval.high:+.4g}"
    if result.shown:
        return f"{start} the synthetic image is {claim} {margin} ({numbers})."
    if result.p < result.level:
        numbers += ", which reaches beyond the margin"
    return f"{start} it is not shown that the synthetic image is {claim} {margin} ({numbers})."


def sample_in_words(subjects: int) -> str:
    """What this number of subjects can show at all, whatever the values are.

    Example:
        >>> sample_in_words(3)[:68]
        'Too few subjects: n = 3 cannot give p < 0.05 by Wilcoxon (the smalle'
    """
    if subjects < 2:
        return f"Too few subjects: n = {subjects} allows no statement about other people."
    effect = smallest_effect(subjects)
    chance = f"{100 * POWER:g} % chance"
    reach = f"A paired t test of {subjects} subjects finds an effect of {effect:.2g} SD or more with {chance}"
    smallest = smallest_wilcoxon_p(subjects)
    if smallest >= LEVEL:
        return (
            f"Too few subjects: n = {subjects} cannot give p < {LEVEL:g} by Wilcoxon (the smallest possible p is "
            f"{smallest:.3g}; 6 subjects are needed). {reach}."
        )
    return f"{reach}; smaller ones may be there and stay unseen."


def needed_in_words(effect: float) -> str:
    """How many subjects a new study would need if the true effect were this one.

    Example:
        >>> needed_in_words(0.5)
        'If the true effect is 0.5 SD, 34 subjects find it with 80 % chance (paired t, two-sided 0.05).'
    """
    number = subjects_needed(effect)
    if number is None:
        return "How many subjects would be needed cannot be said: there is no effect to plan for."
    return (
        f"If the true effect is {abs(effect):.2g} SD, {number} subjects find it with {100 * POWER:g} % chance "
        f"(paired t, two-sided {LEVEL:g})."
    )


def several_in_words(
    found: Friedman, pairs: Sequence[Pair], names: Sequence[str], *, metric: str, region: str, higher_is_better: bool
) -> list[str]:
    """Sentences about several models: whether they differ at all, then the pairs that do.

    Args:
        found: Friedman's test.
        pairs: Its post-hoc comparisons.
        names: Name of each model, in the order of the columns.
        metric: Label of the metric.
        region: Name of the region.
        higher_is_better: Direction of the metric.

    Example:
        >>> from recontrast.evaluation.statistics import friedman, post_hoc
        >>> table = [[1.0, 2, 3], [2, 3, 5], [1, 4, 6]]
        >>> several_in_words(friedman(table), post_hoc(table), ["a", "b", "c"], metric="psnr", region="brain",
        ...                  higher_is_better=True)[0][:60]
        'psnr in brain: the 3 models differ (Friedman, 9999 permutati'
    """
    start = f"{metric} in {region}:"
    test = f"{found.test}, p {_p(found.p)}, Kendall's W {found.concordance:.2f}, {found.subjects} subjects"
    if not found.p < LEVEL:
        return [f"{start} it is not shown that the {len(names)} models differ ({test}); pairs are not compared."]
    sentences = [f"{start} the {len(names)} models differ ({test})."]
    for pair in pairs:
        if pair.p < LEVEL:
            better, worse = (
                (pair.second, pair.first) if pair.second_larger == higher_is_better else (pair.first, pair.second)
            )
            sentences.append(f"{start} {names[better]} is better than {names[worse]} ({pair.test}, p {_p(pair.p)}).")
    open_pairs = [f"{names[pair.first]} and {names[pair.second]}" for pair in pairs if not pair.p < LEVEL]
    if open_pairs:
        sentences.append(
            f"{start} not shown to differ: {'; '.join(open_pairs)}. This does not show that they are equal."
        )
    return sentences


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"
