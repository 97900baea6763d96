"""How far a scan is from those a translator was trained on: intensities, detail, noise, network features.

The training scans are described when a run ends; each is then held against the others, which sets the threshold. The
description lies with the translator and is asked at every translation: two dozen slices are looked at, the network sees
three of them once more. A scan beyond the threshold is translated all the same, with a warning.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from torch import nn

from recontrast.atomic import write_json
from recontrast.errors import RecontrastError, RecontrastWarning
from recontrast.io.nifti import read_volume
from recontrast.preparation.cohort import PreparedCase
from recontrast.translation.description import TranslatorDescription, read_beside
from recontrast.translation.inside import as_tensor, levels_of, shown_at
from recontrast.translation.slices import AXES, ras_spacing, to_ras

FILE = "distance.json"
"""The training scans in numbers, in a translator's folder."""

FORMAT = 1

MARGIN = 1.5
"""The threshold is this many times the largest distance that one training subject has from the others."""

LEAST = 3.0
"""The threshold is never below this: training scans that are all alike must not make a warning of every trifle."""

FEWEST, MOST = 4, 16
"""Fewest training subjects with which there is a threshold; most training cases that are read."""

SIGNAL = 0.05
"""Voxels count in which some source exceeds zero by this on its scale: the rest is air."""

SLICES, NETWORK_SLICES = 24, 3
"""Axial slices that are looked at, evenly over the head; of these, so many by the network."""

REGIONS = ("whole", "lower third", "middle third", "upper third", "left half", "right half")

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
FEATURES = (
    *(f"{100 * q:.0f} % quantile" for q in QUANTILES), "detail finer than 2 mm", "detail of 2 to 4 mm",
    "detail of 4 to 8 mm", "noise",
)  # fmt: skip

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Distance:
    """How far one scan is from the training scans.

    Attributes:
        value: Largest deviation over everything that is looked at, in standard deviations of the training subjects.
        what: What deviates most.
        threshold: Beyond it the scan is out of the translator's depth.
        regions: Largest deviation in each region, and of the network's features.
    """

    value: float
    what: str
    threshold: float
    regions: Mapping[str, float]

    @property
    def beyond(self) -> bool:
        """Whether the scan is out of the translator's depth."""
        return self.value > self.threshold

    def warning(self, where: str) -> str:
        """What the user is told of a scan beyond the threshold."""
        return (
            f"{where}: is unlike the scans the translator was trained on ({self.what}: {self.value:.1f} standard "
            f"deviations away, threshold {self.threshold:.1f}); what it makes of it may be wrong in a way that does "
            "not show. Look at the scan, and at `recontrast inspect`"
        )

    def to_dict(self) -> dict[str, Any]:
        """For sidecars."""
        return {
            "StandardDeviations": round(self.value, 3),
            "Threshold": round(self.threshold, 3),
            "Furthest": self.what,
        }


@dataclass(frozen=True, eq=False)
class TrainingDistribution:
    """The training scans in numbers.

    Attributes:
        names: What each number is: `REGION / SOURCE / FEATURE`.
        middle: Median of each over the training cases.
        spread: Its standard deviation over them.
        threshold: See `MARGIN` and `LEAST`.
        subjects: Number of training subjects it was set on.
    """

    names: tuple[str, ...]
    middle: NDArray[np.float64]
    spread: NDArray[np.float64]
    threshold: float
    subjects: int

    def distance(self, row: Mapping[str, float]) -> Distance:
        """Hold a scan, described by `describe`, against the training scans."""
        away = np.array([abs(row.get(name, np.nan) - m) for name, m in zip(self.names, self.middle, strict=True)])
        away = np.where(np.isfinite(away), away / self.spread, 0.0)
        regions: dict[str, float] = {}
        for name, value in zip(self.names, away, strict=True):
            region = name.split(" / ")[0]
            regions[region] = max(regions.get(region, 0.0), float(value))
        worst = int(np.argmax(away))
        return Distance(float(away[worst]), self.names[worst].replace(" / ", ", "), self.threshold, regions)

    def to_dict(self) -> dict[str, Any]:
        """As it is stored."""
        return {
            "format": FORMAT, "threshold": self.threshold, "subjects": self.subjects,
            "numbers": {n: [float(m), float(s)] for n, m, s in zip(self.names, self.middle, self.spread, strict=True)},
        }  # fmt: skip

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> TrainingDistribution:
        """Read what `to_dict` made.

        Raises:
            ValueError: It is something else.
        """
        if content.get("format") != FORMAT:
            raise ValueError(f"format {content.get('format')!r} instead of {FORMAT}")
        numbers = content["numbers"]
        table = np.array(list(numbers.values()), np.float64).reshape(-1, 2)
        threshold = float(content["threshold"])
        if not len(table) or not np.isfinite(table).all() or not (table[:, 1] > 0).all() or not threshold > 0:
            raise ValueError("numbers are missing or not finite")
        return cls(tuple(numbers), table[:, 0], table[:, 1], threshold, int(content["subjects"]))


def describe(
    about: TranslatorDescription,
    sources: Mapping[str, Array],
    spacing: Sequence[float],
    network: nn.Module | None = None,
) -> dict[str, float]:
    """A scan in numbers: quantiles, detail at three scales and noise by region, and the network's levels.

    Args:
        about: The translator; its sources are looked at.
        sources: Contrast label to array (I, J, K), axes along R, A, S, scaled and at the translator's level.
        spacing: mm.
        network: Its network; None: without the network's features.

    Returns:
        `REGION / SOURCE / FEATURE` to value; empty where nothing has signal.
    """
    images = {label: sources[label] for label in about.sources}
    signal = np.zeros(next(iter(images.values())).shape, bool)
    for label, image in images.items():
        scale = about.source_scales.get(label)
        signal |= image > (0.0 if scale is None else scale.zero) + SIGNAL
    filled = np.flatnonzero(np.count_nonzero(signal, axis=(0, 1)) >= 50)
    if not filled.size:
        return {}
    chosen = np.unique(np.linspace(filled[0], filled[-1], min(SLICES, len(filled))).round().astype(int))
    inside = signal[:, :, chosen]
    third = np.searchsorted(np.linspace(filled[0], filled[-1] + 1, 4)[1:-1], chosen, side="right")
    middle = float(np.argwhere(inside)[:, 0].mean())
    right = np.arange(inside.shape[0]) > middle
    masks = {
        "whole": inside,
        **{name: inside & (third == n)[None, None] for n, name in enumerate(REGIONS[1:4])},
        "left half": inside & ~right[:, None, None],
        "right half": inside & right[:, None, None],
    }
    row = {"whole / all / share with signal": float(signal.mean())}
    for label, image in images.items():
        part = np.ascontiguousarray(image[:, :, chosen])
        widths = [[w / s for s in spacing[:2]] + [0.0] for w in (1.0, 2.0, 4.0)]
        blurred = [part, *(gaussian_filter(part, w) for w in widths)]
        bands = [np.square(a - b) for a, b in itertools.pairwise(blurred)]
        bent = np.zeros_like(part)
        bent[1:-1] = np.abs(part[1:-1] - 0.5 * (part[:-2] + part[2:]))
        for region, mask in masks.items():
            if np.count_nonzero(mask) < 50:
                continue
            values = [*np.quantile(part[mask], QUANTILES)]
            values += [np.log10(float(band[mask].mean()) + 1e-9) for band in bands]
            values.append(np.log10(float(np.median(bent[mask])) + 1e-6))
            row |= {f"{region} / {label} / {name}": float(v) for name, v in zip(FEATURES, values, strict=True)}
    # A slice by itself means nothing to a network that sees around it, or is told what it is given.
    if network is not None and not about.context_voxels and about.bank is None:
        row |= _network_features(about, images, network, signal)
    return row


def fit_distribution(
    about: TranslatorDescription, cases: Sequence[PreparedCase], network: nn.Module | None = None
) -> TrainingDistribution | None:
    """Describe the training cases; None where there are fewer than four subjects that can be read.

    Args:
        about: The translator.
        cases: Prepared cases that it was trained or validated on.
        network: Its network.

    Example:
        >>> fit_distribution(translator.description, cohort.split("train"), translator.network)  # doctest: +SKIP
    """
    usable = [case for case in cases if all(label in case.images for label in about.sources)]
    chosen = np.unique(np.linspace(0, max(0, len(usable) - 1), min(MOST, len(usable))).round().astype(int))
    rows: list[dict[str, float]] = []
    subjects: list[str] = []
    for case in (usable[int(number)] for number in chosen):
        try:
            volumes = {label: read_volume(case.images[label]) for label in about.sources}
        except RecontrastError as error:
            warnings.warn(f"{case.key}: sets no threshold of distance: {error}", RecontrastWarning, stacklevel=2)
            continue
        scaled = {label: case.scales[label].apply(to_ras(volume)) for label, volume in volumes.items()}
        row = describe(about, about.levelled(scaled), ras_spacing(next(iter(volumes.values()))), network)
        if row:
            rows.append(row)
            subjects.append(case.case.subject)
    return distribution_of(rows, subjects)


def distribution_of(rows: Sequence[Mapping[str, float]], subjects: Sequence[str]) -> TrainingDistribution | None:
    """Training scans in numbers, from scans described one by one; None for fewer than four subjects."""
    apart = sorted(set(subjects))
    names = [name for name in (rows[0] if rows else {}) if all(np.isfinite(row.get(name, np.nan)) for row in rows)]
    if len(apart) < FEWEST or not names:
        return None
    table = np.array([[row[name] for name in names] for row in rows])
    owner = np.array([apart.index(subject) for subject in subjects])
    largest = 0.0
    for number in range(len(apart)):
        middle, spread = _centre(table[owner != number])
        largest = max(largest, float((np.abs(table[owner == number] - middle) / spread).max()))
    middle, spread = _centre(table)
    return TrainingDistribution(tuple(names), middle, spread, max(LEAST, MARGIN * largest), len(apart))


def save_distribution(folder: Path, distribution: TrainingDistribution) -> None:
    """Write the training scans in numbers into a translator's folder."""
    write_json(folder / FILE, distribution.to_dict())


def keep_distribution(
    folder: Path, about: TranslatorDescription, cases: Sequence[PreparedCase], network: nn.Module
) -> str:
    """Describe the training cases into a translator's folder.

    Returns:
        Why there is no distance, in words; empty where there is one.
    """
    if about.bank is not None:
        return "no distance: it takes whatever sources there are, so `recontrast translate` warns of no unusual scan"
    distribution = fit_distribution(about, cases, network)
    if distribution is None:
        return (
            f"no distance: learned from fewer than {FEWEST} subjects, so `recontrast translate` cannot warn of scans "
            "unlike theirs"
        )
    save_distribution(folder, distribution)
    return ""


def load_distribution(folder: Path) -> TrainingDistribution | None:
    """The training scans in numbers, from a translator's folder; None when they are not there.

    Raises:
        CheckpointError: The file is damaged.
    """
    return read_beside(folder / FILE, TrainingDistribution.from_dict)


def _centre(table: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Median and spread of each column; the spread is at least a twentieth of its size: constants must not shout."""
    middle = np.median(table, axis=0)
    spread = table.std(axis=0, ddof=1) if len(table) > 1 else np.zeros(table.shape[1])
    return middle, np.maximum(spread, 0.05 * np.abs(middle) + 0.01)


def _network_features(
    about: TranslatorDescription, images: Mapping[str, Array], network: nn.Module, signal: NDArray[np.bool_]
) -> dict[str, float]:  # fmt: skip
    """Strength of each level's features, as the logarithm of their mean, over a few slices (one block of a volume)."""
    axis = AXES.get(about.plane, 2)
    others = tuple(a for a in range(3) if a != axis)
    filled = np.flatnonzero(signal.any(axis=others))
    count = NETWORK_SLICES if about.spatial_dims == 2 else 1
    places = filled[((np.arange(count) + 0.5) / count * len(filled)).astype(int)]
    centre = [int(np.flatnonzero(signal.any(axis=tuple(b for b in range(3) if b != a))).mean()) for a in range(3)]
    strengths = []
    for place in places:
        voxel = list(centre)
        voxel[axis] = int(place)
        shown = shown_at(about, images, voxel)
        levels = levels_of(network, as_tensor(network, shown.given))
        strengths.append([np.log10(float(level.activation.mean()) + 1e-6) for level in levels])
    if len({len(row) for row in strengths}) != 1:
        return {}
    means = np.mean(strengths, axis=0)
    return {f"network / features / level {n + 1}": float(value) for n, value in enumerate(means)}
