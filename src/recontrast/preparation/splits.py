"""Which subject is learned from, chosen by, and tested on. Subjects, never images, are split."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from recontrast.errors import ConfigError, LayoutError, RecontrastWarning, UnknownNameError
from recontrast.io.tables import read_table, require_columns, write_table

SPLITS = ("train", "validation", "test")
"""Names of the splits."""

TEST_SHARE = 0.20
"""Part of the subjects that is tested on."""

VALIDATION_SHARE = 0.16
"""Part of the subjects that the best checkpoint is chosen by; 0.64 is left for training."""

_FEWEST = 3


def bare(subject: str) -> str:
    """A subject label without `sub-`.

    >>> bare("sub-01"), bare("01")
    ('01', '01')
    """
    return subject.removeprefix("sub-")


def choose_splits(
    subjects: Iterable[str],
    *,
    test: Sequence[str] = (),
    validation: Sequence[str] = (),
    table: Path | None = None,
    seed: int = 0,
    previous: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Give every subject its split.

    Named subjects go where they are named. Of the others, at random, 20 % of all subjects become test (only when no
    test subject is named) and 16 % validation (only when none is named), each at least one; the rest is for training.
    When test subjects are named and fewer than five others are left, all of these are for training.

    Args:
        subjects: Labels, with or without `sub-`.
        test: Subjects to test on.
        validation: Subjects to validate with.
        table: A TSV file with columns subject and split; decides alone.
        seed: Of the random choice.
        previous: Splits of an earlier run on the same folder; they stay, only new subjects are placed.

    Returns:
        Subject label to train, validation or test, sorted by subject.

    Raises:
        LayoutError: A subject is in two splits, or the table does not have every subject.
        UnknownNameError: A named subject does not exist.
        ConfigError: Fewer than three subjects and none named.

    Example:
        >>> choose_splits(["01", "02"], test=["02"])
        {'01': 'train', '02': 'test'}
    """
    labels = sorted({bare(subject) for subject in subjects})
    if table is not None:
        return _from_table(labels, table, named=bool(test or validation))
    chosen = _named(labels, test, validation)
    if not chosen and len(labels) < _FEWEST:
        raise ConfigError(
            f"{len(labels)} subject{'s' * (len(labels) != 1)} ({', '.join(labels)}): too few to split at random; "
            f"name who is tested on with --test {labels[-1] if labels else '<subject>'}"
        )
    chosen = {**{s: split for s, split in (previous or {}).items() if s in labels and s not in chosen}, **chosen}
    wanted = _wanted(len(labels), len(labels) - len(set(map(bare, test))), bool(test), bool(validation))
    free = [label for label in labels if label not in chosen]
    for index in np.random.default_rng(seed).permutation(len(free)):
        have = list(chosen.values())
        short = [split for split in ("test", "validation") if have.count(split) < wanted[split]]
        chosen[free[index]] = short[0] if short else "train"
    return {label: chosen[label] for label in labels}


def read_splits(path: Path) -> dict[str, str]:
    """Read a table with columns subject and split: subject label (without `sub-`) to split, in its order.

    Raises:
        LayoutError: A subject is in two splits, or a split is not train, validation or test.
        FormatError: The table cannot be read or a column is missing.
    """
    table = read_table(path, text_columns=("subject", "split"))
    require_columns(path, table, ("subject", "split"))
    splits: dict[str, str] = {}
    for subject, split in zip(table["subject"], table["split"], strict=True):
        label = bare(str(subject))
        if split not in SPLITS:
            raise LayoutError(f"{path}: sub-{label} is in split '{split}'; there is: {', '.join(SPLITS)}")
        if splits.setdefault(label, split) != split:
            raise LayoutError(
                f"{path}: sub-{label} is in two splits ({splits[label]} and {split}); keep one row a subject, "
                "for images of one person must not be both learned from and tested on"
            )
    return splits


def write_splits(path: Path, splits: Mapping[str, str]) -> None:
    """Write a table with columns subject and split, one row a subject."""
    import pandas as pd  # every worker imports this module, only the command writes

    write_table(path, pd.DataFrame({"subject": list(splits), "split": list(splits.values())}, dtype=str))


def known_subjects(asked: Sequence[str], subjects: Iterable[str], option: str) -> list[str]:
    """The labels asked for, without `sub-`.

    Raises:
        UnknownNameError: One of them is not among `subjects`; the message names the option and the nearest.
    """
    known = [bare(subject) for subject in subjects]
    for label in map(bare, asked):
        if label not in known:
            raise UnknownNameError.among(f"subject in --{option}:", label, known)
    return [bare(subject) for subject in asked]


def _named(labels: Sequence[str], test: Sequence[str], validation: Sequence[str]) -> dict[str, str]:
    chosen = dict.fromkeys(known_subjects(test, labels, "test"), "test")
    for label in known_subjects(validation, labels, "validation"):
        if label in chosen:
            raise LayoutError(f"sub-{label} is in two splits (test and validation); name it in one of them")
        chosen[label] = "validation"
    return chosen


def _wanted(count: int, others: int, test_named: bool, validation_named: bool) -> dict[str, int]:
    """How many subjects the random choice brings each split to."""
    test = 0 if test_named else max(1, round(TEST_SHARE * count))
    validation = 0 if validation_named else max(1, round(VALIDATION_SHARE * count))
    if test_named and others < 5:
        validation = 0
    return {"test": test, "validation": validation}


def _from_table(labels: Sequence[str], path: Path, named: bool) -> dict[str, str]:
    if named:
        raise ConfigError(f"subjects are named (--test, --validation) and {path} is given too; use one of the two")
    splits = read_splits(path)
    missing = [label for label in labels if label not in splits]
    if missing:
        raise LayoutError(
            f"{path}: has no row for {', '.join(f'sub-{m}' for m in missing)}; give every subject a split"
        )
    absent = sorted(set(splits) - set(labels))
    if absent:
        names = ", ".join(f"sub-{label}" for label in absent)
        warnings.warn(
            f"{path}: {names} not among the subjects that are prepared; ignored", RecontrastWarning, stacklevel=3
        )
    return {label: splits[label] for label in labels}
