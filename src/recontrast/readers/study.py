"""The design of a reader study: what is shown to whom, what is asked, in which order. Read from a TOML file."""

from __future__ import annotations

import datetime
import importlib.resources
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from recontrast.config import build_settings, merge, read_toml
from recontrast.errors import ConfigError, UnknownNameError

Kind = Literal["choice", "grade", "marks", "text", "origin", "which"]
Mode = Literal["single", "side-by-side", "overlay", "sheet"]

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
"""What readers, arms, cases and questions may be called: these names stand in tables and file names."""

ORIGINS = ("acquired", "computed")

PAGE_KEYS = frozenset("bcfhlmnpuvwx")
"""Letters that mean something to the page itself."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """One question asked of every item."""

    name: str
    """name in the tables"""
    text: str
    """what the reader sees"""
    kind: Kind = "choice"
    """choice: one of `choices`; grade: like choice, but the first stands until a key raises it; marks: clicks into the
    image, in one question of a study at most; text: free words; origin: acquired or computed; which: one of the two
    images of an item"""
    choices: tuple[str, ...] = ()
    """labels of the values, the lowest first; of kind which: the first image, the second image, and, where there is a
    third, neither"""
    first: int = 0
    """value of the first choice"""
    sides: tuple[str, ...] = ()
    """the question is asked once for each side, for example right and left"""
    key: str = ""
    """small letter that raises a grade by one, and from the last one back to the first"""
    required: bool = True
    """an item cannot be stored without this answer (text and marks may always be empty)"""
    within_mm: float = 10.0
    """marks nearer to each other than this are one lesion, mm"""

    @property
    def values(self) -> tuple[int, ...]:
        """Numbers of the choices."""
        return tuple(range(self.first, self.first + len(self.choices)))

    @property
    def fields(self) -> tuple[str, ...]:
        """Names under which the answers are stored: one, or one for each side."""
        return tuple(f"{self.name}.{side}" for side in self.sides) or (self.name,)


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One kind of image of the same cases: acquired, or computed by one translator."""

    name: str
    """name in the tables; readers never see it"""
    files: str = ""
    """path with {case}, or {subject} and {session}, and * for the rest; relative to the design file"""


@dataclass(frozen=True, kw_only=True)
class Study:
    """A reader study."""

    title: str
    """title on the page; readers see it"""
    readers: tuple[str, ...]
    """names of the readers"""
    arms: tuple[Arm, ...]
    """kinds of images that are compared; one arm is a rating of quality"""
    reference: str = ""
    """name of the acquired arm; it gives each case its grid and its mask; empty: the first arm"""
    design: str = ""
    """ready design that fills what is not given here"""
    cases: tuple[str, ...] = ()
    """cases; empty: all that the table or the paths of the first arm hold"""
    table: str = ""
    """TSV with a column `case` and one column of paths for each arm, instead of the arms' `files`"""
    questions: tuple[Question, ...] = ()
    """what is asked"""
    instructions: str = ""
    """what readers are told before the first item; must not tell an arm"""
    mode: Mode = "single"
    """single: one image an item; side-by-side, overlay: two arms of a case; sheet: eight axial slices"""
    plane: Literal["axial", "coronal", "sagittal"] = "axial"
    """plane that is large at the start"""
    convention: Literal["radiological", "neurological"] = "radiological"
    """side of the picture on which the patient's left is"""
    order: Literal["mixed", "blocks"] = "mixed"
    """mixed: each session holds images of all arms; blocks: one arm a session, as in Tagawa 2025"""
    block_order: tuple[str, ...] = ()
    """arms in the order of their sessions (`order = "blocks"`); empty: random for each reader"""
    washout_days: float = 0.0
    """days between the sessions that show the arms of one case; 0: all in one session"""
    gap: int = 3
    """at least so many other items lie between two images of one case"""
    duplicates: int = 0
    """items that each reader sees twice, for intra-reader agreement"""
    training: tuple[str, ...] = ()
    """cases shown first for practice; their answers do not count"""
    seed: int = 0
    """same seed, same orders; 0: drawn by chance, so that nobody can guess the order, and recorded with the key"""
    scale: Literal["own", "reference"] = "own"
    """own: each image by its own percentiles; reference: all images of a case by those of the reference"""
    mask_background: bool = True
    """black outside the head, by one mask for all arms of a case: noise of air does not tell"""
    opens: str = ""
    """first day on which readers may answer, YYYY-MM-DD; empty: at once"""
    closes: str = ""
    """last day; empty: none"""

    @property
    def paired(self) -> bool:
        """Whether an item shows two images."""
        return self.mode in ("side-by-side", "overlay")

    @property
    def acquired(self) -> str:
        """Name of the reference arm."""
        return self.reference or self.arms[0].name

    def question(self, name: str) -> Question:
        """The question of this name."""
        return next(question for question in self.questions if question.name == name)


def design_paths() -> dict[str, Path]:
    """Files of the ready designs by name."""
    with importlib.resources.as_file(importlib.resources.files("recontrast.readers") / "designs") as folder:
        return {file.stem: file for file in sorted(folder.glob("*.toml"))}


def design_summary(path: Path) -> str:
    """The line that says what a ready design is: its first comment."""
    return path.read_text(encoding="utf-8").partition("\n")[0].lstrip("# ")


def designs() -> dict[str, dict[str, Any]]:
    """Ready designs by name."""
    return {name: read_toml(file) for name, file in design_paths().items()}


def read_study(path: Path) -> Study:
    """Read a design; what it does not say comes from the ready design it names.

    Raises:
        ConfigError: A setting is unknown, of the wrong type, or does not fit the others; the message says which.
    """
    values = read_toml(path)
    name = values.get("design", "")
    if name:
        ready = designs()
        if name not in ready:
            raise UnknownNameError.among(f"ready design in {path}:", str(name), ready)
        values = merge(ready[name], values)
    return check_study(build_settings(Study, values, str(path)), str(path))


def study_from(values: Mapping[str, Any], where: str) -> Study:
    """A study from plain values, as `to_plain` made them."""
    return check_study(build_settings(Study, values, where), where)


def check_study(study: Study, where: str) -> Study:
    """Raise `ConfigError` where settings do not fit each other; return the study."""
    arms = [arm.name for arm in study.arms]
    groups = (
        ("reader", study.readers), ("arm", arms), ("case", study.cases), ("question", [q.name for q in study.questions])
    )  # fmt: skip
    for kind, names in groups:
        _check_names(kind, names, where)
    if not study.readers or not arms or not study.questions:
        raise ConfigError(f"{where}: a study needs at least one reader, one arm and one question")
    for name in (*([study.reference] if study.reference else []), *study.block_order):
        if name not in arms:
            raise UnknownNameError.among(f"arm in {where}:", name, arms)
    if study.block_order and sorted(study.block_order) != sorted(arms):
        raise ConfigError(f"{where}: block_order must name each arm once ({', '.join(arms)})")
    if study.paired and len(arms) < 2:
        raise ConfigError(f"{where}: mode '{study.mode}' shows two arms of a case, {len(arms)} is given")
    if study.gap < 1 or study.duplicates < 0 or not 0 <= study.washout_days <= 3650:
        raise ConfigError(f"{where}: gap is at least 1, duplicates at least 0, washout_days 0 to 3650")
    for day in (study.opens, study.closes):
        _check_day(day, where)
    for question in study.questions:
        _check_question(question, study, where)
    marked = [f"'{question.name}'" for question in study.questions if question.kind == "marks"]
    if len(marked) > 1:
        raise ConfigError(
            f"{where}: {' and '.join(marked)} are of kind 'marks', and a mark does not tell to which it belongs; "
            "keep one, and make a study for each other"
        )
    keys = [question.key for question in study.questions if question.key]
    twice = next((key for key in keys if keys.count(key) > 1), "")
    if twice:
        raise ConfigError(f"{where}: the key '{twice}' is that of two questions")
    return study


def _check_names(kind: str, names: Any, where: str) -> None:
    for name in names:
        if not NAME.fullmatch(name):
            raise ConfigError(f"{where}: {kind} '{name}': use letters, digits, '_', '-', '.', at most 64")
    twice = {name for name in names if list(names).count(name) > 1}
    if twice:
        raise ConfigError(f"{where}: {kind} '{sorted(twice)[0]}' stands there twice")


def _check_day(day: str, where: str) -> None:
    try:
        if day:
            datetime.date.fromisoformat(day)
    except ValueError:
        raise ConfigError(f"{where}: '{day}' is not a day; write YYYY-MM-DD") from None


def _check_question(question: Question, study: Study, where: str) -> None:
    place = f"{where}: question '{question.name}'"
    _check_names("side", question.sides, place)
    most = {"choice": 10, "grade": 10, "which": 3}.get(question.kind)
    if most is not None and not 2 <= len(question.choices) <= most:
        told = " (the first image, the second, neither)" if question.kind == "which" else ""
        raise ConfigError(
            f"{place}: kind '{question.kind}' needs 2 to {most} choices{told}, {len(question.choices)} are given"
        )
    if (question.kind == "which") != study.paired and question.kind in ("which", "origin", "marks"):
        raise ConfigError(f"{place}: kind '{question.kind}' does not fit mode '{study.mode}'")
    if question.kind == "marks" and (study.mode == "sheet" or question.sides):
        raise ConfigError(f"{place}: marks need mode 'single' and have no sides")
    if question.key and (question.kind != "grade" or question.sides):
        raise ConfigError(f"{place}: only a question of kind 'grade' without sides has a key")
    if question.key and (not re.fullmatch("[a-z]", question.key) or question.key in PAGE_KEYS):
        raise ConfigError(
            f"{place}: key '{question.key}' must be one small letter, and not one of the page's own: "
            + " ".join(sorted(PAGE_KEYS))
        )
    if most is not None and not 0 <= question.first <= 10 - len(question.choices):
        raise ConfigError(f"{place}: values must lie within 0 to 9, so that each has a digit; lower `first`")
