"""Read a prepared folder: which cases it has, in which split, and where each image, scale and region is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from recontrast.config import build_settings
from recontrast.contrasts import Contrast
from recontrast.errors import FormatError, LayoutError
from recontrast.io.bids import BidsImage, BidsName, Case, read_sidecar
from recontrast.io.nifti import EXTENSIONS
from recontrast.io.tables import read_table, require_columns
from recontrast.preparation.acquisition import acquisition_of
from recontrast.preparation.normalize import Scale, ScaleSettings
from recontrast.preparation.selection import standard_order
from recontrast.preparation.splits import SPLITS, read_splits
from recontrast.provenance import FILE_NAME

__all__ = [
    "PREPARED",
    "REJECTED",
    "SPLITS",
    "Preparation",
    "PreparedCase",
    "PreparedCohort",
    "prepared_settings",
    "read_cohort",
    "read_splits",
]

PREPARED = "prepared"
"""Value of the `desc` entity of a prepared image."""

REJECTED = "rejected"
"""Status in `cases.tsv` of a case that was left out because a person rejected an image of it; no failure."""


@dataclass(frozen=True, kw_only=True)
class Preparation:
    """How the images of a folder were placed: what raw input of a translator needs before the network."""

    recipe: str = "native"
    """preparation recipe"""

    grid: str = ""
    """contrast whose grid the cases got"""

    align: bool = True
    """whether contrasts were aligned"""

    size: tuple[int, ...] = ()
    """voxels along right, anterior, superior; empty: the recipe's own"""

    seed: int = 0
    """seed of the alignment"""


@dataclass(frozen=True)
class PreparedCase:
    """One prepared case: all its images and regions lie on one grid.

    Attributes:
        case: Subject and session.
        split: train, validation or test.
        images: Contrast label to file (native units, RAS axes).
        scales: Contrast label to intensity scale.
        regions: Region name (head, brain, lesion, GM, …) to mask file.
        acquired: Contrast label to what is known of its acquisition (`acquisition_of`).
    """

    case: Case
    split: str
    images: Mapping[str, Path]
    scales: Mapping[str, Scale]
    regions: Mapping[str, Path]
    acquired: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """Name of the case in tables and messages."""
        return self.case.key


@dataclass(frozen=True)
class PreparedCohort:
    """All prepared cases of a folder.

    Attributes:
        folder: The prepared folder.
        scale_settings: How its intensity scales were fitted; raw input of a translator is scaled the same way.
        cases: The cases, sorted; failed ones are not among them.
        failed: Case key to reason, for cases that could not be prepared.
        preparation: How its images were placed.
        rejected: Case key to reason, for cases that were left out because a person rejected an image of them.
    """

    folder: Path
    scale_settings: ScaleSettings
    cases: tuple[PreparedCase, ...]
    failed: Mapping[str, str]
    preparation: Preparation = Preparation()
    rejected: Mapping[str, str] = field(default_factory=dict)

    @property
    def contrasts(self) -> tuple[str, ...]:
        """Contrasts that every case has, in the order of the first case."""
        if not self.cases:
            return ()
        return tuple(label for label in self.cases[0].images if all(label in case.images for case in self.cases))

    def split(self, name: str) -> tuple[PreparedCase, ...]:
        """Cases of one split (train, validation, test); may be empty.

        Raises:
            LayoutError: There is no split of that name.
        """
        if name not in SPLITS:
            raise LayoutError(f"{self.folder}: no split is called '{name}'; there is: {', '.join(SPLITS)}")
        return tuple(case for case in self.cases if case.split == name)


def read_cohort(folder: Path) -> PreparedCohort:
    """Read what `recontrast prepare` wrote.

    Raises:
        LayoutError: Not a prepared folder, not finished, a file is missing, or a subject is in two splits.
        FormatError: A table or sidecar is damaged.

    Example:
        >>> read_cohort(Path("prepared")).split("test")  # doctest: +SKIP
        (PreparedCase(case=Case(subject='03', session=None), split='test', …),)
    """
    settings = prepared_settings(folder)
    if not (folder / "cases.tsv").is_file():
        raise LayoutError(f"{folder}: the preparation is not finished (no cases.tsv); run `recontrast prepare` again")
    table = read_table(folder / "cases.tsv", text_columns=("case", "status", "message"))
    require_columns(folder / "cases.tsv", table, ("case", "status"))
    splits = read_splits(folder / "splits.tsv")
    ready = sorted(table.loc[table["status"] == "ok", "case"])
    table["message"] = table["message"].fillna(table["status"]) if "message" in table else table["status"]
    rejected = table[table["status"] == REJECTED]
    failed = table[~table["status"].isin(["ok", REJECTED])]
    cases = tuple(_read_case(folder, Case.parse(key), splits) for key in ready)
    named = [name for name in (settings.get("grid"), *settings.get("contrasts", ())) if name]
    grid = Contrast.parse(named[0]).label if named else min(cases[0].images, key=standard_order) if cases else ""
    placing = {key: value for key, value in settings.items() if key in ("recipe", "align", "size", "seed")}
    where = str(folder / FILE_NAME)
    return PreparedCohort(
        folder,
        build_settings(ScaleSettings, settings.get("scale", {}), where),
        cases,
        dict(zip(failed["case"], failed["message"], strict=True)),
        build_settings(Preparation, {**placing, "grid": grid}, where),
        dict(zip(rejected["case"], rejected["message"], strict=True)),
    )


def prepared_settings(folder: Path) -> dict[str, Any]:
    """Settings a prepared folder was made with, from its `provenance.json`.

    Raises:
        LayoutError: The folder is absent or is not a prepared one.
        FormatError: The file is damaged.
    """
    path = folder / FILE_NAME
    try:
        provenance = json.loads(path.read_text(encoding="utf-8"))
        stage, settings = provenance.get("stage"), provenance.get("settings")
    except (FileNotFoundError, NotADirectoryError):
        raise LayoutError(
            f"{folder}: not a prepared folder (no {FILE_NAME}); make one with `recontrast prepare`"
        ) from None
    except (json.JSONDecodeError, UnicodeDecodeError, AttributeError) as error:
        raise FormatError(f"{path}: not valid JSON ({error})") from error
    if stage != "prepare" or not isinstance(settings, dict):
        raise LayoutError(f"{folder}: was made by `recontrast {stage}`, not by `recontrast prepare`")
    return settings


def _read_case(folder: Path, case: Case, splits: Mapping[str, str]) -> PreparedCase:
    if case.subject not in splits:
        raise LayoutError(f"{folder / 'splits.tsv'}: sub-{case.subject} has no row; add it, or prepare again")
    images: dict[str, Path] = {}
    scales: dict[str, Scale] = {}
    acquired: dict[str, dict[str, float]] = {}
    regions: dict[str, Path] = {}
    for image in _images_of(folder / case.folder):
        description = image.name.entities.get("desc", "")
        if image.name.suffix == "mask":
            regions[description] = image.path
        elif description == PREPARED:
            label = image.name.contrast.label
            images[label] = image.path
            sidecar = read_sidecar(image.path)
            scales[label], acquired[label] = _scale_of(image.path, sidecar), acquisition_of(sidecar)
    if not images or "head" not in regions:
        raise LayoutError(
            f"{folder}: {case.key} is listed as prepared but its files are gone; run `recontrast prepare` again"
        )
    return PreparedCase(case, splits[case.subject], images, scales, regions, acquired)


def _images_of(folder: Path) -> list[BidsImage]:
    paths = sorted(path for path in folder.glob("anat/sub-*") if path.name.endswith(EXTENSIONS))
    return [BidsImage(path, BidsName.parse(path.name)) for path in paths]


def _scale_of(path: Path, sidecar: Mapping[str, Any]) -> Scale:
    if not isinstance(sidecar.get("Scale"), Mapping):
        raise LayoutError(f"{path}: its sidecar has no Scale; run `recontrast prepare` again")
    return Scale.from_dict(sidecar["Scale"])
