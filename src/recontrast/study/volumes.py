"""Volumes that a segmentation found, as values by subject: metrics of a study called `volumes.dice`, `volumes.avd` …"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from recontrast.errors import UnknownNameError
from recontrast.evaluation.fidelity import VOLUMES
from recontrast.evaluation.volume_tables import MEASURES
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
    path = evaluation / VOLUMES
    if not path.is_file():
        return pd.Series(dtype=float)
    table = read_table(path, text_columns=("case", "subject", "session", "structure", "status"))
    found = table[table["structure"] == structure]
    found = found[found["segmenter"] == found["segmenter"].iloc[0]] if len(found) else found
    values = pd.to_numeric(found[metric.removeprefix(PREFIX)], errors="coerce").groupby(found["subject"]).mean()
    kept: pd.Series[float] = values.dropna()
    return kept
