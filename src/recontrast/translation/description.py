"""What a translator is: contrasts, scales, plane, and what it was trained on. Read without torch.

A translator is a folder: `weights.safetensors`, `translator.json` (this), `README.md` (the model card).
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from recontrast.config import build_settings, to_plain
from recontrast.contrasts import Contrast
from recontrast.errors import CheckpointError, ConfigError, RecontrastError, UnknownNameError
from recontrast.preparation.acquisition import NUMBERS, Acquisition, told
from recontrast.preparation.bank import Bank
from recontrast.preparation.cohort import Preparation
from recontrast.preparation.context import channel_count, images_of_each
from recontrast.preparation.level import at_level
from recontrast.preparation.normalize import Scale, ScaleSettings
from recontrast.provenance import version
from recontrast.translation.conformal import Calibration

T = TypeVar("T")

FORMAT = 1
"""Version of the folder's format; raised when older programs could no longer read it rightly."""

WEIGHTS = "weights.safetensors"
DESCRIPTION = "translator.json"
CARD = "README.md"
FOLDER = "translator"
"""Name of the translator's folder in a run."""

SYNTHETIC_STATEMENT = (
    "Synthetic image, computed from other scans by a neural network. It was not acquired. "
    "Structures may be invented or missing. Not for diagnosis."
)

OPEN_SCALE = Scale("open", 0.0, 1.0)
"""Stands for the target's scale while none of several targets is chosen."""

Plane = Literal["axial", "coronal", "sagittal", "volume"]


@dataclass(frozen=True, kw_only=True)
class Member:
    """A member of a family (model, recipe) and the options it was built with."""

    name: str
    """Name in its registry ("unet")."""

    options: dict[str, Any] = field(default_factory=dict)
    """Keyword options, as they can stand in JSON."""


@dataclass(frozen=True, kw_only=True)
class TranslatorDescription:
    """Everything about a translator but its weights; the content of `translator.json`.

    Example:
        >>> TranslatorDescription(
        ...     preset="osman2022", sources=("T1w",), target="T2w", model=Member(name="unet"),
        ...     recipe=Member(name="supervised"), target_scale=Scale("percentile", 0.0, 900.0), spacing_mm=(1, 1, 1),
        ... ).channels
        1
    """

    preset: str
    """Preset it was trained with."""

    sources: tuple[str, ...]
    """Contrasts it reads, in the order of the network's channels."""

    target: str
    """Contrast it makes; empty while it can make several (`bank`) and none was chosen (`making`)."""

    model: Member
    """Network and its options."""

    recipe: Member
    """Way of learning and its options."""

    target_scale: Scale
    """From network range to native units of the target: the median over the training subjects."""

    spacing_mm: tuple[float, float, float]
    """Median voxel spacing of the training images along right, anterior, superior, in mm."""

    source_scales: dict[str, Scale] = field(default_factory=dict)
    """Median scale of each source in training; to see when an image is far from what was learned."""

    source_levels: dict[str, float] = field(default_factory=dict)
    """Median of the voxels with signal that each scaled source is brought to; a source that is not named: as scaled."""

    acquisition: dict[str, dict[str, tuple[float, float]]] | None = None
    """How the training scans were acquired (`usual_of`), where the network is told how its sources were; None: it is
    not."""

    scale_settings: ScaleSettings = field(default_factory=ScaleSettings)
    """How the scale of a source image is fitted, the same as in preparation."""

    preparation: Preparation | None = None
    """How the training images were placed; raw input is placed the same way. None: it is taken as it is."""

    plane: Plane = "axial"
    """Plane of the slices the network sees; volume: it sees whole volumes."""

    neighbours: int = 0
    """Slices on either side that are further channels (2.5D)."""

    context_voxels: tuple[tuple[float, float, float], ...] = ()
    """Further channels: each source blurred to these widths (along R, A, S), and the place in the head; empty: none."""

    context_steep: int = 0
    """Further channels: how steep each source is at the first so many of these widths."""

    network_range: tuple[float, float] = (0.0, 1.0)
    """Values the network works with."""

    clip_output: bool = True
    """Whether the network's output is clipped to `network_range`."""

    training_subjects: tuple[str, ...] = ()
    """Hashes of the training subjects' labels (`subject_hash`); evaluation refuses these subjects."""

    validation_subjects: tuple[str, ...] = ()
    """Hashes of subjects that were not learned from, but chose its weights or calibrated its error bars; an evaluation
    of them says so."""

    training_images: tuple[str, ...] = ()
    """SHA-256 of the training images."""

    begun_with: str = ""
    """SHA-256 of the weights of the translator that its training began with, whose subjects and images are among those
    above; empty: it began with random weights."""

    trained_steps: int = 0
    """Optimiser steps."""

    precision_trained: str = "fp32"
    """Precision of the training."""

    synthetic_statement: str = SYNTHETIC_STATEMENT
    """What every output says of itself."""

    bank: Bank | None = None
    """What it can make from what, where it makes several contrasts or may lack sources; None: `target` from all
    `sources`."""

    calibration: Calibration | None = None
    """How its error bars were calibrated; None: it has none. Of a translator that makes several contrasts: those of the
    direction that was chosen (`making`, `given`)."""

    calibrations: dict[str, Calibration] = field(default_factory=dict)
    """The same for each direction (`direction_name`) of a translator that makes several contrasts."""

    uncalibrated: str = ""
    """Why it has no error bars, where that was tried; of several directions those that have no reason of their own."""

    uncalibrated_directions: dict[str, str] = field(default_factory=dict)
    """Direction to the reason of its own."""

    weights_sha256: str = ""
    """SHA-256 of the weights file; filled in when saved."""

    version: str = field(default_factory=version)
    """Version of Recontrast that saved it."""

    format: int = FORMAT
    """Version of the folder's format."""

    def __post_init__(self) -> None:
        """Refuse what cannot be: no source, a target among the sources, an impossible range or spacing."""
        for label in (*self.sources, *([] if self.bank and not self.target else [self.target])):
            Contrast.parse(label)
        low, high = self.network_range
        problems = {
            "has no source": not self.sources,
            f"has the target {self.target} among its sources": self.target in self.sources and not self.reconstructs,
            "names a source twice": len(set(self.sources)) != len(self.sources),
            f"has a negative number of neighbours ({self.neighbours})": self.neighbours < 0,
            "has other sources than its bank": self.bank is not None
            and not set(self.sources) <= set(self.bank.sources),
            "is told of acquisitions, and has no bank": self.acquisition is not None and self.bank is None,
            "has a bank, and sees volumes, which does not go together": self.bank is not None
            and self.plane == "volume",
            f"has an empty network range {self.network_range}": not low < high,
            f"has a spacing that is not positive ({self.spacing_mm} mm)": not all(
                math.isfinite(s) and s > 0 for s in self.spacing_mm
            ),
        }
        for problem, found in problems.items():
            if found:
                raise CheckpointError(f"the translator {problem}")

    @property
    def spatial_dims(self) -> int:
        """Axes of what the network sees: 2 or 3."""
        return 3 if self.plane == "volume" else 2

    @property
    def reconstructs(self) -> bool:
        """Whether it gives its one source back: a beginning for other trainings, which translates nothing."""
        return self.sources == (self.target,)

    @property
    def direction(self) -> str:
        """What becomes what, in words."""
        if self.bank is None:
            return direction_name(self.sources, self.target)
        return f"any of {', '.join(self.bank.sources)} to {', '.join(self.bank.targets)}"

    @property
    def channels(self) -> int:
        """Input channels of the network: sources and their context (planes of the bank), times slices."""
        around = images_of_each(self.context_voxels, self.context_steep)
        numbers = NUMBERS if self.acquisition is not None else 0
        planes = self.bank.planes(around, numbers) if self.bank else channel_count(len(self.sources), around)
        return planes * (2 * self.neighbours + 1)

    def making(self, target: str, among: Collection[str] = ()) -> TranslatorDescription:
        """The same translator for one target, with the sources that may be used for it.

        Args:
            target: One of those it can make; empty: its only one.
            among: Sources to keep to; empty: all.

        Raises:
            ConfigError: It makes several and none is named, or it is not given the choice.
            UnknownNameError: It does not make the target, or does not read one of the sources.
        """
        if self.reconstructs:
            raise ConfigError(
                f"this network gives back {self.target}, of which parts were hidden, and translates nothing: train a "
                "translator that begins with it (train --start-from)"
            )
        if self.bank is None:
            if among:
                raise ConfigError(f"this translator always needs {' and '.join(self.sources)}: leave out --source")
            if target not in ("", self.target):
                raise ConfigError(f"this translator makes {self.target}, not {target}")
            return self
        targets = tuple(self.bank.targets)
        if not target and len(targets) > 1:
            raise ConfigError(f"this translator makes {', '.join(targets)}: say which (--target {targets[-1]})")
        target = target or targets[0]
        if target not in targets:
            raise UnknownNameError.among("target of this translator", target, targets)
        usable = self.bank.usable(target)
        for label in among:
            if label not in usable:
                raise UnknownNameError.among(f"source of {target} (--source)", label, usable)
        kept = self.bank.usable(target, among or usable)
        return self._asked(kept, target, self.bank.targets[target])

    def given(self, there: Collection[str]) -> TranslatorDescription:
        """The same translator for a case that has these sources; one without a bank needs all of its own."""
        kept = tuple(label for label in self.sources if label in there)
        return self._asked(kept, self.target, self.target_scale) if self.bank and kept else self

    def _asked(self, sources: tuple[str, ...], target: str, scale: Scale) -> TranslatorDescription:
        """The same for one direction, with the error bars that were calibrated for it."""
        name = direction_name(sources, target)
        return replace(
            self, sources=sources, target=target, target_scale=scale, calibration=self.calibrations.get(name)
        )

    def told(self, acquired: Mapping[str, Acquisition]) -> tuple[float, ...]:
        """In which numbers the network is told how these sources were acquired; none where it is not told."""
        if self.acquisition is None or self.bank is None:
            return ()
        return told(self.acquisition, acquired, self.sources, self.bank.sources)

    @property
    def why_uncalibrated(self) -> str:
        """Why this direction has no error bars, where that was tried."""
        return self.uncalibrated_directions.get(direction_name(self.sources, self.target), self.uncalibrated)

    def levelled(self, scaled: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
        """Scaled sources brought to the level the translator learned on, where it learned on one.

        Args:
            scaled: Contrast label to scaled array, any shape; sources at their level stay as they are.
        """
        levels = self.source_levels
        return {label: at_level(data, levels[label]) if label in levels else data for label, data in scaled.items()}


def direction_name(sources: Sequence[str], target: str) -> str:
    """What becomes what, in words.

    >>> direction_name(("T1w", "T2w"), "FLAIR")
    'T1w + T2w to FLAIR'
    """
    return f"{' + '.join(sources)} to {target}"


def subject_hash(subject: str) -> str:
    """SHA-256 of a subject label, without `sub-`: lets one find out whether a subject was trained on, no more.

    >>> subject_hash("sub-01") == subject_hash("01")
    True
    """
    return hashlib.sha256(subject.removeprefix("sub-").encode()).hexdigest()


def translator_folder(folder_or_run: Path) -> Path:
    """The folder that holds `translator.json`: the one given, or `translator/` in it.

    Raises:
        CheckpointError: Neither holds one.
    """
    for folder in (folder_or_run, folder_or_run / FOLDER):
        if (folder / DESCRIPTION).is_file():
            return folder
    if not folder_or_run.is_dir():
        raise CheckpointError(f"{folder_or_run}: no such folder; give a run of `recontrast train`")
    raise CheckpointError(
        f"{folder_or_run}: no translator in it (neither {DESCRIPTION} nor {FOLDER}/{DESCRIPTION}); "
        "finish its training with `recontrast train … --resume`"
    )


def read_description(folder_or_run: Path) -> TranslatorDescription:
    """Read `translator.json` of a translator folder, or of the one in a run.

    Raises:
        CheckpointError: There is none, it is damaged, or a newer Recontrast made it.
    """
    path = translator_folder(folder_or_run) / DESCRIPTION
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path}: not valid JSON ({error}); copy the translator again") from error
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror})") from error
    if not isinstance(content, Mapping) or "format" not in content:
        raise CheckpointError(f"{path}: does not describe a translator (no 'format')")
    if content["format"] != FORMAT:
        raise CheckpointError(
            f"{path}: format {content['format']!r} of Recontrast {content.get('version', 'unknown')}, "
            f"this is Recontrast {version()}, which reads format {FORMAT}; install the version that made it"
        )
    try:
        return build_settings(TranslatorDescription, content, str(path))
    except RecontrastError as error:
        raise CheckpointError(str(error) if str(path) in str(error) else f"{path}: {error}") from error


def read_beside(path: Path, parse: Callable[[Any], T]) -> T | None:
    """What a further file of a translator's folder holds; None where it is not there.

    Args:
        path: The JSON file.
        parse: Makes it of the file's content; raises on what it is not.

    Raises:
        CheckpointError: It is damaged.

    Example:
        >>> read_beside(Path("no-such-file"), dict) is None
        True
    """
    if not path.is_file():
        return None
    try:
        return parse(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecontrastError) as error:
        raise CheckpointError(f"{path}: cannot be read ({error}); copy the translator again, or remove it") from error


def description_to_json(description: TranslatorDescription) -> dict[str, Any]:
    """The description as `translator.json` holds it."""
    plain = to_plain(description)
    leading = ("format", "version")
    return {key: plain[key] for key in leading} | {key: plain[key] for key in plain if key not in leading}
