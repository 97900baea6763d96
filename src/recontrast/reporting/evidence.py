"""Find what a folder holds as evidence: evaluations, runs, prepared folders, translations, cohorts, provenance.

Nothing is computed here. A file that is there and cannot be read is a problem that the report names.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd

from recontrast.atomic import PARTIAL
from recontrast.errors import FormatError, LayoutError
from recontrast.io.tables import read_table, require_columns
from recontrast.provenance import FILE_NAME as PROVENANCE

T = TypeVar("T")

TEXT_COLUMNS = (
    "case", "subject", "session", "participant_id", "estimator", "control", "region", "metric", "unit", "protocol",
    "status", "message", "synthetic", "reference", "source", "split", "test", "better", "contrast",
)  # fmt: skip
"""Columns that are words even where they look like numbers (subject `01`)."""

SCORE_COLUMNS = ("case", "subject", "estimator", "region", "metric", "value", "protocol")
STATISTICS_COLUMNS = (
    "estimator", "region", "metric", "protocol", "subjects", "undefined", "mean", "sd", "ci_low", "ci_high",
    "control", "difference", "difference_ci_low", "difference_ci_high", "p", "better",
)  # fmt: skip
CASE_COLUMNS = ("case", "status")
"""Columns without which a table cannot be used."""

READING = "reading.json"
"""What `readers analyse` writes: title, readers, names of its tables."""

_NOT_ENTERED = ("checkpoints",)


@dataclass(frozen=True)
class Evaluation:
    """An evaluation folder. Tables are empty where their file is absent; `facts` is `evaluation.json`."""

    folder: Path
    facts: dict[str, Any]
    scores: pd.DataFrame
    statistics: pd.DataFrame
    cases: pd.DataFrame


@dataclass(frozen=True)
class Run:
    """A training run, or a translator folder alone.

    Attributes:
        folder: The run's folder.
        config: Text of `config.toml`; empty when absent.
        events: The lines of `log.jsonl`, in order.
        torn: Whether the last line of the log was cut in the middle (a killed run).
        validation: Validation by subject at the best step; empty when absent.
        translator: Content of `translator.json`; empty when absent.
        card: Text of the translator's model card; empty when absent.
    """

    folder: Path
    config: str
    events: list[dict[str, Any]]
    torn: bool
    validation: pd.DataFrame
    translator: dict[str, Any]
    card: str


@dataclass(frozen=True)
class Prepared:
    """A prepared folder; tables are empty where their file is absent."""

    folder: Path
    splits: pd.DataFrame
    quality: pd.DataFrame
    cases: pd.DataFrame


@dataclass(frozen=True)
class Translation:
    """A folder of synthetic images, or of maps that were fitted: which cases were made, and which failed."""

    folder: Path
    cases: pd.DataFrame


@dataclass(frozen=True)
class Cohort:
    """A raw data set and its table of participants."""

    folder: Path
    participants: pd.DataFrame


@dataclass(frozen=True)
class Evidence:
    """All that was found below `folder`, each kind sorted by path.

    Attributes:
        folder: Where was looked.
        evaluations: Evaluation folders.
        runs: Training runs and translators.
        prepared: Prepared folders.
        translations: Folders of synthetic images.
        cohorts: Raw data sets.
        comparisons: Folders of comparisons of translators.
        readings: Folders of analysed reader studies.
        provenance: Folder to the content of its `provenance.json`.
        problems: Path, relative to `folder`, to why it could not be used.
    """

    folder: Path
    evaluations: list[Evaluation] = field(default_factory=list)
    runs: list[Run] = field(default_factory=list)
    prepared: list[Prepared] = field(default_factory=list)
    translations: list[Translation] = field(default_factory=list)
    cohorts: list[Cohort] = field(default_factory=list)
    comparisons: list[Path] = field(default_factory=list)
    readings: list[Path] = field(default_factory=list)
    provenance: dict[Path, dict[str, Any]] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)

    def name_of(self, folder: Path) -> str:
        """Path of a folder as the report names it: relative to the folder that was searched."""
        relative = os.path.relpath(folder, self.folder)
        return "this folder" if relative == "." else f"{relative}/"


def find_evidence(folder: Path) -> Evidence:
    """Search `folder` and all below it.

    Raises:
        LayoutError: The folder does not exist.

    Example:
        >>> find_evidence(Path("out")).evaluations  # doctest: +SKIP
        [Evaluation(folder=PosixPath('out/evaluation'), …)]
    """
    if not folder.is_dir():
        raise LayoutError(f"{folder}: no such folder; name the folder that holds the run or the evaluation")
    evidence = Evidence(folder)
    for place, names in _folders(folder):
        reader = _Reader(evidence, place, names)
        if PROVENANCE in names:
            evidence.provenance[place] = reader.json(PROVENANCE)
        if "evaluation.json" in names or {"scores.tsv", "statistics.tsv"} <= names:
            evidence.evaluations.append(_evaluation(reader))
        elif "comparison.json" in names:
            evidence.comparisons.append(place)
        elif READING in names:
            evidence.readings.append(place)
        elif "log.jsonl" in names or _is_lone_translator(place, names, folder) or _holds_translator(place):
            evidence.runs.append(_run(reader))
        elif names & {"splits.tsv", "quality.tsv"}:
            evidence.prepared.append(_prepared(reader))
        elif "cases.tsv" in names:
            evidence.translations.append(Translation(place, reader.table("cases.tsv", CASE_COLUMNS)))
        elif "participants.tsv" in names:
            evidence.cohorts.append(Cohort(place, reader.table("participants.tsv")))
    return evidence


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a table as dictionaries."""
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]


def _folders(root: Path) -> Iterator[tuple[Path, set[str]]]:
    for place, inner, files in os.walk(root):
        inner[:] = sorted(name for name in inner if not name.startswith(".") and name not in _NOT_ENTERED)
        yield Path(place), {name for name in files if not name.startswith(PARTIAL)}


def _is_lone_translator(place: Path, names: set[str], root: Path) -> bool:
    inside_a_run = place != root and place.name == "translator" and _is_run(place.parent)
    return "translator.json" in names and not inside_a_run


def _holds_translator(place: Path) -> bool:
    return _is_run(place) and (place / "translator" / "translator.json").is_file()


def _is_run(place: Path) -> bool:
    return (place / "log.jsonl").is_file() or (place / "config.toml").is_file()


class _Reader:
    """Reads the files of one folder; notes in the evidence what cannot be read."""

    def __init__(self, evidence: Evidence, place: Path, names: set[str]) -> None:
        self._evidence = evidence
        self.place = place
        self.names = names

    def table(self, name: str, required: tuple[str, ...] = ()) -> pd.DataFrame:
        path = self.place / name

        def read() -> pd.DataFrame:
            table = read_table(path, TEXT_COLUMNS)
            require_columns(path, table, required)
            return table

        return self._attempt(path, read, pd.DataFrame()) if path.is_file() else pd.DataFrame()

    def text(self, *parts: str) -> str:
        path = self.place.joinpath(*parts)
        return self._attempt(path, lambda: _text_of(path), "") if path.is_file() else ""

    def json(self, *parts: str) -> dict[str, Any]:
        path = self.place.joinpath(*parts)
        return self._attempt(path, lambda: _object_of(path), {}) if path.is_file() else {}

    def log(self) -> tuple[list[dict[str, Any]], bool]:
        path = self.place / "log.jsonl"
        nothing: tuple[list[dict[str, Any]], bool] = ([], False)
        return self._attempt(path, lambda: _events_of(path), nothing) if path.is_file() else nothing

    def _attempt(self, path: Path, read: Callable[[], T], otherwise: T) -> T:
        try:
            return read()
        except (FormatError, OSError) as error:
            self._evidence.problems[os.path.relpath(path, self._evidence.folder)] = str(error)
            return otherwise


def _evaluation(reader: _Reader) -> Evaluation:
    return Evaluation(
        reader.place,
        reader.json("evaluation.json"),
        reader.table("scores.tsv", SCORE_COLUMNS),
        reader.table("statistics.tsv", STATISTICS_COLUMNS),
        reader.table("cases.tsv", CASE_COLUMNS),
    )


def _run(reader: _Reader) -> Run:
    events, torn = reader.log()
    inside = () if "translator.json" in reader.names else ("translator",)
    return Run(
        reader.place,
        reader.text("config.toml"),
        events,
        torn,
        reader.table("validation.tsv"),
        reader.json(*inside, "translator.json"),
        reader.text(*inside, "README.md"),
    )


def _prepared(reader: _Reader) -> Prepared:
    return Prepared(
        reader.place,
        reader.table("splits.tsv", ("subject", "split")),
        reader.table("quality.tsv"),
        reader.table("cases.tsv", CASE_COLUMNS),
    )


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise FormatError(f"{path}: not UTF-8 text ({error})") from error


def _object_of(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(_text_of(path))
    except json.JSONDecodeError as error:
        raise FormatError(f"{path}: not valid JSON ({error})") from error
    if not isinstance(content, dict):
        raise FormatError(f"{path}: must hold a JSON object, got {type(content).__name__}")
    return content


def _events_of(path: Path) -> tuple[list[dict[str, Any]], bool]:
    lines = [(number, line) for number, line in enumerate(_text_of(path).splitlines(), 1) if line.strip()]
    events: list[dict[str, Any]] = []
    for number, line in lines:
        try:
            event = json.loads(line)
        except json.JSONDecodeError as error:
            if number == lines[-1][0]:
                return events, True  # a killed run leaves half a line; what stands before it is whole
            raise FormatError(f"{path}: line {number} is not valid JSON ({error})") from error
        if not isinstance(event, dict):
            raise FormatError(f"{path}: line {number} must hold a JSON object")
        events.append(event)
    return events, False
