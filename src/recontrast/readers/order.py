"""Who sees what in which order: random for each reader, sessions for washout, images of one case kept apart."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from recontrast.errors import ConfigError
from recontrast.readers.study import Study

_TRIES = 200


@dataclass(frozen=True)
class Showing:
    """One item of one reader.

    Attributes:
        session: Number of the session, from 0.
        case: Case.
        arms: The arm shown; two arms, first and second, where an item shows two images.
        training: For practice; does not count.
        repeat: Second showing of an item, for intra-reader agreement.
    """

    session: int
    case: str
    arms: tuple[str, ...]
    training: bool = False
    repeat: bool = field(default=False)


def reader_seed(seed: int, reader: str) -> int:
    """The seed of a reader's order; it does not depend on who else reads.

    >>> reader_seed(0, "A") != reader_seed(0, "B")
    True
    """
    return int.from_bytes(hashlib.sha256(f"{seed}/{reader}".encode()).digest()[:6], "big")


def plan_reader(study: Study, cases: Sequence[str], seed: int) -> list[Showing]:
    """All items of a reader in order.

    Practice comes first in each session. With a washout each session shows each case once at most, and which arm comes
    first is balanced over cases (`mixed`) or the same for all (`blocks`).

    Args:
        study: The design.
        cases: Cases, without those for practice.
        seed: Of this reader.

    Raises:
        ConfigError: The gap between images of one case cannot be kept with so few cases.
    """
    rng = np.random.default_rng(seed)
    sessions = _sessions(study, list(cases), rng)
    repeated = _repeats(study, sessions, rng)
    planned: list[Showing] = []
    for number, showings in enumerate(sessions):
        practice = [
            Showing(number, case, arms, training=True)
            for case in study.training
            for arms in _practice(study, number, len(sessions), rng)
        ]
        planned += _apart(practice, study.gap, rng)
        shown_before = [showing.case for showing in planned] if study.washout_days == 0 else []
        planned += spread(showings, repeated[number], study.gap, rng, shown_before)
    return planned


def _apart(practice: list[Showing], gap: int, rng: np.random.Generator) -> list[Showing]:
    """Practice in random order, images of a case as far apart as so few items allow."""
    for wanted in range(gap, 0, -1):
        for _ in range(_TRIES):
            order = _one_order(list(practice), wanted, rng, [])
            if order is not None:
                return order
    rng.shuffle(practice)
    return practice


def spread(
    showings: Sequence[Showing],
    repeats: Sequence[Showing],
    gap: int,
    rng: np.random.Generator,
    shown_before: Sequence[str] = (),
) -> list[Showing]:
    """A random order in which at least `gap` other items lie between two of one case.

    `shown_before` are the cases of the items that come before, the last one last.

    Raises:
        ConfigError: There is none, or none was found.
    """
    for _ in range(_TRIES):
        order = _one_order(list(showings) + list(repeats), gap, rng, shown_before)
        if order is not None:
            seen: set[tuple[str, tuple[str, ...]]] = set()
            marked = []
            for showing in order:  # whichever comes second is the repeat
                key = showing.case, tuple(sorted(showing.arms))
                marked.append(Showing(showing.session, showing.case, showing.arms, showing.training, key in seen))
                seen.add(key)
            return marked
    raise ConfigError(
        f"{len(showings)} items and {len(repeats)} repeats cannot be ordered with {gap} others between two of one "
        "case: add cases, lower `gap` or `duplicates`, or set `washout_days`"
    )


def _one_order(
    left: list[Showing], gap: int, rng: np.random.Generator, shown_before: Sequence[str]
) -> list[Showing] | None:
    """Draw item after item among those whose case was not shown lately; cases with much left come more often."""
    cases = list(dict.fromkeys(showing.case for showing in left))
    number = {case: place for place, case in enumerate(cases)}
    case_of = np.array([number[showing.case] for showing in left], dtype=np.int64)
    counts = np.bincount(case_of, minlength=len(cases))
    undrawn = np.ones(len(left), dtype=bool)
    recent = [number.get(case, -1) for case in shown_before][-gap:]
    order: list[Showing] = []
    while len(order) < len(left):
        free = np.flatnonzero(undrawn & ~np.isin(case_of, recent))
        if not free.size:
            return None
        # What must be begun now, or it can no longer be kept apart.
        urgent = free[(counts[case_of[free]] - 1) * (gap + 1) + 1 >= len(left) - len(order)]
        chosen = int(rng.choice(urgent if urgent.size else free))
        undrawn[chosen] = False
        counts[case_of[chosen]] -= 1
        recent = [*recent, int(case_of[chosen])][-gap:]
        order.append(left[chosen])
    return order


def _sessions(study: Study, cases: list[str], rng: np.random.Generator) -> list[list[Showing]]:
    """Items by session, not yet in order."""
    arms = [arm.name for arm in study.arms]
    if study.paired:
        others = [arm for arm in arms if arm != study.acquired]
        sides = {(case, arm): rng.permutation([study.acquired, arm]) for case in cases for arm in others}
        pairs = [Showing(0, case, (str(a), str(b))) for (case, _), (a, b) in sides.items()]
        return [pairs]
    if study.order == "blocks":
        chosen = list(study.block_order) or [str(arm) for arm in rng.permutation(arms)]
        return [[Showing(number, case, (arm,)) for case in cases] for number, arm in enumerate(chosen)]
    if study.washout_days == 0:
        return [[Showing(0, case, (arm,)) for case in cases for arm in arms]]
    # A Latin square over shuffled cases: each arm comes first for as many cases, give or take one.
    sessions: list[list[Showing]] = [[] for _ in arms]
    first = int(rng.integers(len(arms)))
    for place, case in enumerate(rng.permutation(cases)):
        for number in range(len(arms)):
            arm = arms[(place + first + number) % len(arms)]
            sessions[number].append(Showing(number, str(case), (arm,)))
    return sessions


def _repeats(study: Study, sessions: list[list[Showing]], rng: np.random.Generator) -> list[list[Showing]]:
    every = [showing for session in sessions for showing in session]
    if study.duplicates > len(every):
        raise ConfigError(f"duplicates is {study.duplicates}, a reader has {len(every)} items")
    chosen = {int(i) for i in rng.choice(len(every), study.duplicates, replace=False)} if study.duplicates else set()
    again = [showing for i, showing in enumerate(every) if i in chosen]
    return [[showing for showing in again if showing.session == number] for number in range(len(sessions))]


def _practice(study: Study, session: int, sessions: int, rng: np.random.Generator) -> list[tuple[str, ...]]:
    """What is shown of a case for practice: every arm, so that the arms of practice tell nothing."""
    arms = [arm.name for arm in study.arms]
    if study.paired:
        first, second = rng.permutation([study.acquired, next(arm for arm in arms if arm != study.acquired)])
        return [(str(first), str(second))]
    return [(arm,) for arm in arms] if session == 0 else []
