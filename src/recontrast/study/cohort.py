"""The prepared folder of a study: there already, simulated, or made from a folder of real scans."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from pathlib import Path

from recontrast.config import build_settings
from recontrast.errors import LayoutError
from recontrast.io.bids import Case
from recontrast.io.tables import read_table
from recontrast.phantom.cohort import GRADES, SimulateSettings, simulate
from recontrast.preparation.cohort import PreparedCase, PreparedCohort, read_cohort
from recontrast.preparation.pipeline import FREE_TO_CHANGE, PrepareSettings, prepare
from recontrast.provenance import FILE_NAME
from recontrast.relaxometry.derived import add_synthetic
from recontrast.study.settings import DataSource, Direction

log = logging.getLogger(__name__)

_SEEN_ELSEWHERE = (*FREE_TO_CHANGE, "bids", "out", "regions", "splits", "slices", "grades")
"""Paths among the settings of `prepare`: what they hold shows in the hashes of the raw files and in the tables."""


def make_cohort(data: DataSource, prepared: Path, out: Path, bids: Path | None, workers: int) -> PreparedCohort:
    """Read the prepared folder, and make it first where it is absent or unfinished.

    Args:
        data: What the study file says of its data; the true grades of a simulated warehouse are used as people's.
        prepared: The prepared folder.
        out: Folder of the study; a simulated data set is written to `cohort` in it.
        bids: Folder of real scans; None when the data are simulated.
        workers: Subjects worked on at the same time.

    Raises:
        LayoutError: It is not there and cannot be made.

    Example:
        >>> make_cohort(study.source(""), Path("prepared"), Path("out"), None, 2)  # doctest: +SKIP
        PreparedCohort(folder=PosixPath('prepared'), …)
    """
    if (prepared / "cases.tsv").is_file() and bids is None:
        return read_cohort(prepared)
    if bids is not None and data.simulate:
        raise LayoutError(f"--bids {bids}: these data of the study are simulated; name real ones with --data")
    if bids is None and not data.simulate:
        raise LayoutError(
            f"{prepared}: not a prepared folder; the study simulates nothing here: prepare your data first, or give "
            "the folder of raw scans with --bids"
        )
    raw = bids or out / "cohort"
    if data.simulate:
        log.info("simulating …")
        wanted = {"workers": workers, **data.simulate, "out": raw}
        simulate(build_settings(SimulateSettings, wanted, "the study's data, simulate"))
    if data.synthetic_mri:
        log.info("fitting maps …")
        for case, reason in add_synthetic(raw, workers).failed.items():
            log.warning("%s: %s", case, reason)
    log.info("preparing …")
    graded = raw / "derivatives" / "truth" / GRADES
    given = {"grades": graded} if data.simulate and graded.is_file() else {}
    settings = {"workers": workers, **given, **data.prepare, "bids": raw, "out": prepared}
    prepare(build_settings(PrepareSettings, settings, "the study's data, prepare"))
    return read_cohort(prepared)


def complete_cases(cases: Sequence[PreparedCase], direction: Direction) -> list[PreparedCase]:
    """Cases that have the sources and the target of a direction.

    Args:
        cases: Cases of a prepared folder.
        direction: What is made from what.

    Example:
        >>> complete_cases((), Direction(source=("T1w",), target="T2w"))
        []
    """
    return [case for case in cases if {*direction.source, direction.target} <= case.images.keys()]


def incomplete_cases(cases: Sequence[PreparedCase], direction: Direction) -> frozenset[str]:
    """Keys of the cases that lack a source or the target of a direction.

    Args:
        cases: Cases of a prepared folder.
        direction: What is made from what.

    Example:
        >>> incomplete_cases((), Direction(source=("T1w",), target="T2w"))
        frozenset()
    """
    return frozenset(case.key for case in cases) - {case.key for case in complete_cases(cases, direction)}


def prepared_id(folder: Path) -> str:
    """Hash of what tells one prepared folder from another: settings, raw files, splits, and figures of each image.

    Prepared again with the same outcome, a folder keeps it; where it lies does not matter. Images are not read.

    Args:
        folder: Prepared folder.

    Example:
        >>> prepared_id(Path("none")) == prepared_id(Path("nothing"))
        True
    """
    path = folder / FILE_NAME
    made = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    settings = {name: value for name, value in made.get("settings", {}).items() if name not in _SEEN_ELSEWHERE}
    tables = [folder / name for name in ("splits.tsv", "quality.tsv")]
    content = [settings, made.get("inputs"), *(table.read_text("utf-8") if table.is_file() else "" for table in tables)]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def source_tiers(prepared: Path, contrast: str) -> dict[str, str]:
    """Quality of each subject's image of a contrast, by the subject as in scores (`sub-01`): low if any session's is.

    Args:
        prepared: Prepared folder, with its `quality.tsv`.
        contrast: Label of the source.
    """
    path = prepared / "quality.tsv"
    if not path.is_file():
        return {}
    table = read_table(path, text_columns=("case", "contrast", "tier"))
    tiers: dict[str, str] = {}
    for row in table[table["contrast"] == contrast].to_dict("records"):
        subject = f"sub-{Case.parse(row['case']).subject}"
        tiers[subject] = "low" if "low" in (row["tier"], tiers.get(subject)) else "good"
    return tiers
