"""Volumes that a segmentation found, as values by subject: metrics of a study called `volumes.dice`, `volumes.avd` …"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from recontrast.errors import UnknownNameError
from recontrast.evaluation.fidelity import VOLUMES
from recontrast.evaluation.volume_tables import MEASURES, SCALED_BY_HEAD, VOLUME_COLUMNS, relative_heads
from recontrast.io.tables import read_table
from recontrast.reporting.volumes import TITLES

PREFIX = "volumes."


def is_volume(metric: str) -> bool:
    """Whether a metric's label names a measure of volumes.

    Raises:
        UnknownNameError: It does, and there is no such measure.

    Example:
        >>> is_volume("volumes.avd"), is_volume("psnr")
        (True, False)
    """
    if not metric.startswith(PREFIX):
        return False
    measure = metric.removeprefix(PREFIX)
    if measure not in MEASURES:
        raise UnknownNameError.among("measure of volumes", measure, MEASURES)
    return True


def higher_is_better(metric: str) -> bool:
    """Whether more of a measure is better: Dice alone.

    >>> higher_is_better("volumes.dice"), higher_is_better("volumes.avd")
    (True, False)
    """
    return metric == f"{PREFIX}dice"


def bounds(metric: str) -> tuple[float, float]:
    """Lowest and highest value of a measure.

    >>> bounds("volumes.avd")
    (0.0, inf)
    """
    return MEASURES[metric.removeprefix(PREFIX)]


def is_scaled_by_head(metric: str) -> bool:
    """Whether a measure is scaled by the mean head of an evaluation's cases.

    >>> is_scaled_by_head("volumes.avd"), is_scaled_by_head("volumes.dice"), is_scaled_by_head("psnr")
    (True, False, False)
    """
    return metric.startswith(PREFIX) and metric.removeprefix(PREFIX) in SCALED_BY_HEAD


def title(metric: str) -> str:
    """Name, unit and direction of a measure.

    >>> title("volumes.avd")
    'AVD (cm³) ↓'
    """
    return TITLES[metric.removeprefix(PREFIX)]


def volume_values(evaluation: Path, metric: str, structure: str) -> pd.Series[float]:
    """One value a subject, sessions averaged; empty where no segmenter was asked or the structure was not found.

    Where several segmenters found the structure, the first one's values are taken: they do not measure the same.

    Args:
        evaluation: Evaluation folder.
        metric: Label like `volumes.avd`.
        structure: GM, WM, CSF …
    """
    found = _of_structure(_table(evaluation), structure)
    values = pd.to_numeric(found[metric.removeprefix(PREFIX)], errors="coerce").groupby(found["subject"]).mean()
    kept: pd.Series[float] = values.dropna()
    return kept


def heads_of_subjects(evaluation: Path, structure: str) -> pd.Series[float]:
    """Head of each value in `volume_values`, its sessions averaged, over the mean head that scales the evaluation.

    Args:
        evaluation: Evaluation folder.
        structure: GM, WM, CSF …
    """
    table = _table(evaluation)
    found = _of_structure(table.assign(head=relative_heads(table)), structure)
    heads: pd.Series[float] = found.groupby("subject")["head"].mean()
    return heads.dropna()


def _table(evaluation: Path) -> pd.DataFrame:
    path = evaluation / VOLUMES
    if not path.is_file():
        return pd.DataFrame(columns=list(VOLUME_COLUMNS))
    return read_table(path, text_columns=("case", "subject", "session", "structure", "status"))


def _of_structure(table: pd.DataFrame, structure: str) -> pd.DataFrame:
    found = table[table["structure"] == structure]
    return found[found["segmenter"] == found["segmenter"].iloc[0]] if len(found) else found
