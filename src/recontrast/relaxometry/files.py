"""Series of raw images and parameter maps as files: what is found in a BIDS data set, and what each image is."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recontrast.errors import (
    ConfigError,
    DataError,
    FormatError,
    IntensityError,
    LayoutError,
    MissingContrastError,
    RecontrastWarning,
)
from recontrast.io.bids import BidsImage, BidsName, Case, by_case, find_images, read_sidecar
from recontrast.io.nifti import is_nifti, read_volume
from recontrast.phantom.sequences import SaturationRecovery, Sequence, SpoiledGradientEcho, TurboSpinEcho
from recontrast.relaxometry.maps import LONGEST_S, ParameterMaps
from recontrast.volume import Volume, require_same_grid

SERIES_SUFFIXES = ("MESE", "VFA", "IRT1", "MEGRE")
"""BIDS suffixes of series that relaxometry can use."""

_GRADIENT = ("VFA", "MEGRE")
"""Those that BIDS keeps for gradient echoes."""

_MAPS = {"T1": ("T1map", "R1map"), "T2": ("T2map", "R2map"), "PD": ("PDmap",)}
_UNITS = {"s": 1.0, "second": 1.0, "seconds": 1.0, "ms": 1e-3, "1/s": 1.0, "s^-1": 1.0, "hz": 1.0}


@dataclass(frozen=True)
class MapFiles:
    """Parameter maps of one case.

    Attributes:
        case: Subject and session.
        paths: "T1", "T2", "PD" to file, those that are there.
    """

    case: Case
    paths: Mapping[str, Path]


@dataclass(frozen=True)
class RawSeries:
    """Images of one case that differ in known sequence parameters.

    Attributes:
        case: Subject and session.
        magnitudes: One file an image.
        phases: One file an image, in the same order; empty when there are none.
        sequences: One an image.
        problem: Why the series cannot be used; empty when it can.
    """

    case: Case
    magnitudes: tuple[Path, ...]
    phases: tuple[Path, ...]
    sequences: tuple[Sequence, ...]
    problem: str = ""

    @property
    def gradient_echoes(self) -> bool:
        """Whether the images are gradient echoes, which decay with T2* and do not tell T2."""
        named = any(BidsName.parse(path.name).suffix in _GRADIENT for path in self.magnitudes)
        return named or any(isinstance(sequence, SpoiledGradientEcho) for sequence in self.sequences)


def find_map_files(root: Path) -> list[MapFiles]:
    """Parameter maps in a BIDS data set, or in a flat folder of files with BIDS names.

    Raises:
        LayoutError: There is none, or a case has two of one kind.

    Example:
        >>> find_map_files(Path("cohort/derivatives/truth"))[0].paths  # doctest: +SKIP
    """
    found = []
    for case, images in by_case(_images_in(root)).items():
        paths: dict[str, Path] = {}
        for kind, suffixes in _MAPS.items():
            plain = [i for i in images if i.name.suffix in suffixes and i.name.entities.get("desc") != "error"]
            first = [i for suffix in suffixes for i in plain if i.name.suffix == suffix]
            if len({i.name.suffix for i in first}) < len(first):
                names = ", ".join(image.path.name for image in first)
                raise LayoutError(
                    f"{root}: {case.key} has several {kind} maps ({names}); leave one of them in the folder"
                )
            if first:
                paths[kind] = first[0].path
        if paths:
            found.append(MapFiles(case, paths))
    if not found:
        raise LayoutError(
            f"{root}: no parameter maps (sub-01_T1map.nii.gz, _T2map, _PDmap, or _R1map, _R2map); "
            "`recontrast quantify` makes them from raw images"
        )
    return found


def read_maps(files: MapFiles, needed: tuple[str, ...]) -> tuple[ParameterMaps, Volume]:
    """Read the maps of a case; voxels where one of them is zero are outside.

    Args:
        files: Where they are.
        needed: Names of the maps that are needed ("T1", "T2", "PD").

    Returns:
        The maps, and a volume on their grid.

    Raises:
        MissingContrastError: One that is needed is not there.
        GeometryError: They lie on different grids.
        IntensityError: Values are not finite, negative, or longer than matter relaxes.
    """
    missing = [name for name in needed if name not in files.paths]
    if missing:
        raise MissingContrastError(
            f"{files.case.key}: no {', '.join(f'{name} map' for name in missing)} "
            f"(there is: {', '.join(files.paths)}); an image without would have another contrast than its name says"
        )
    volumes = {name: read_volume(files.paths[name]) for name in needed}
    first = volumes[needed[0]]
    for name, volume in volumes.items():
        require_same_grid(first, volume, f"{files.case.key}: {needed[0]} and {name} map")
        _require_plain(volume.data, files.paths[name])
    rates = {name: _rate(volumes[name].data, files.paths[name], name) for name in needed if name != "PD"}
    mask = np.logical_and.reduce([volume.data > 0 for volume in volumes.values()])
    if not mask.any():
        raise IntensityError(f"{files.case.key}: the parameter maps have no voxel in which all are above zero")
    kept = {name: np.where(mask, values, 0).astype(np.float32) for name, values in rates.items()}
    density = np.where(mask, volumes["PD"].data, 0) if "PD" in volumes else mask
    return ParameterMaps(density.astype(np.float32), mask, kept.get("T1"), kept.get("T2")), first


def find_series(root: Path) -> list[RawSeries]:
    """Raw series in a BIDS data set: one a case, with phase where phase images are there.

    A series with a problem is among them, and `read_series` tells it: a sidecar does not say what is needed to know the
    sequence, or phase images are there for some images only.

    Raises:
        LayoutError: There is none.
    """
    found = []
    for case, images in by_case(_images_in(root)).items():
        series = [i for i in images if i.name.suffix in SERIES_SUFFIXES and i.name.entities.get("desc") != "synthetic"]
        if series:
            try:
                found.append(_series(case, series))
            except (DataError, ConfigError) as error:
                problem = str(error).removeprefix(f"{case.key}: ")
                found.append(RawSeries(case, tuple(image.path for image in series), (), (), problem))
    if not found:
        raise LayoutError(f"{root}: no raw series ({', '.join(f'*_{s}.nii.gz' for s in SERIES_SUFFIXES)})")
    return found


def read_series(series: RawSeries) -> tuple[NDArray[Any], Volume]:
    """Images of a series, (I, J, K, N): complex64 with phase, float32 without; and a volume on their grid.

    Raises:
        DataError: The series has a problem.
        GeometryError: They lie on different grids.
        IntensityError: A phase does not look like radians.
    """
    if series.problem:
        raise DataError(series.problem)
    volumes = [read_volume(path) for path in series.magnitudes]
    for path, volume in zip(series.magnitudes[1:], volumes[1:], strict=True):
        require_same_grid(volumes[0], volume, f"{series.case.key}: {series.magnitudes[0].name} and {path.name}")
    magnitudes = np.stack([volume.data for volume in volumes], axis=-1)
    if not series.phases:
        return magnitudes, volumes[0]
    images = np.empty(magnitudes.shape, np.complex64)
    for number, path in enumerate(series.phases):
        phase = read_volume(path)
        require_same_grid(volumes[0], phase, f"{series.case.key}: {series.magnitudes[0].name} and {path.name}")
        if np.abs(phase.data).max() > 2 * np.pi + 0.01:
            raise IntensityError(f"{path}: phases reach {np.abs(phase.data).max():g}; radians are needed (-pi to pi)")
        images[..., number] = magnitudes[..., number] * np.exp(1j * phase.data)
    return images, volumes[0]


def sequence_of(sidecar: Mapping[str, Any], where: str, suffix: str = "") -> Sequence:
    """The sequence that a BIDS sidecar describes.

    Args:
        sidecar: With RepetitionTime, EchoTime (s), FlipAngle (degrees), and SaturationDelay or InversionTime (s).
        where: The file, for messages.
        suffix: Of its name: VFA and MEGRE are spoiled gradient echoes, whatever ScanningSequence says.

    Raises:
        FormatError: Something needed is missing.

    Example:
        >>> sequence_of({"RepetitionTime": 0.004, "EchoTime": 0.0, "FlipAngle": 5, "ScanningSequence": "GR"}, "x")
        SpoiledGradientEcho(repetition_time_s=0.004, echo_time_s=0.0, flip_angle_deg=5.0)
    """

    def number(key: str, default: float | None = None) -> float:
        value = sidecar.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise FormatError(f"{where}: its sidecar has no number {key} (got {value!r}); relaxometry needs it")
        return float(value)

    repetition, echo = number("RepetitionTime"), number("EchoTime")
    if suffix in _GRADIENT:
        return SpoiledGradientEcho(repetition, echo, number("FlipAngle"))
    kinds = kinds_of(sidecar)
    if "SaturationDelay" in sidecar:
        angles = number("SaturationAngle", 120.0), number("FlipAngle", 90.0)
        return SaturationRecovery(repetition, number("SaturationDelay"), echo, *angles)
    if "GR" in kinds and "InversionTime" not in sidecar:
        return SpoiledGradientEcho(repetition, echo, number("FlipAngle"))
    return TurboSpinEcho(repetition, echo, 0.0, 1, inversion_time_s=number("InversionTime", 0.0))


def kinds_of(sidecar: Mapping[str, Any]) -> set[str]:
    """Words of ScanningSequence: SE, GR, IR, EP, RM. Tools write a list, or one text with a sign between them.

    Example:
        >>> sorted(kinds_of({"ScanningSequence": "GR_IR"}))
        ['GR', 'IR']
    """
    said = sidecar.get("ScanningSequence")
    texts = [text for text in (said if isinstance(said, list) else [said]) if isinstance(text, str)]
    return set(re.findall("[A-Z]+", " ".join(texts).upper()))


def times_of(data: NDArray[Any], path: Path, name: str) -> tuple[NDArray[np.float64], bool]:
    """Relaxation times in s from a map of times or rates in the unit its sidecar says.

    Args:
        data: Values of the map.
        path: Where it is; its name says whether it holds times (`_T1map`) or rates (`_R1map`).
        name: "T1" or "T2" (T2*, too).

    Returns:
        The times, and whether they were taken as ms for their size, for the sidecar says no unit.

    Raises:
        FormatError: The sidecar says a unit that is none.
        IntensityError: A time is longer than matter relaxes.
    """
    is_rate = BidsName.parse(path.name).suffix.startswith("R")
    unit = str(read_sidecar(path).get("Units", "")).lower()
    values, guessed = data.astype(np.float64), False
    if unit not in _UNITS:
        if unit:
            raise FormatError(f"{path}: unit '{unit}' is not one of s, ms, 1/s; correct Units in its sidecar")
        unit = "1/s" if is_rate else "s"
        inside = values[values > 0]
        if not is_rate and inside.size and np.median(inside) > LONGEST_S[name]:
            unit, guessed = "ms", True
    times = values * _UNITS[unit] if not is_rate else np.divide(1, values, out=np.zeros_like(values), where=values > 0)
    longest = float(times.max())
    if longest > LONGEST_S[name]:
        raise IntensityError(
            f"{path}: {name} reaches {longest:.4g} s, no tissue relaxes so slowly; is the unit in its sidecar right "
            f"('{unit}')? Set voxels that were not fitted to 0"
        )
    return times, guessed


def _series(case: Case, images: list[BidsImage]) -> RawSeries:
    phases = {_without_phase(i.name): i.path for i in images if i.name.entities.get("part") == "phase"}
    magnitudes = [i for i in images if i.name.entities.get("part", "mag") == "mag"]
    described = [(sequence_of(read_sidecar(i.path), str(i.path), i.name.suffix), i) for i in magnitudes]
    described.sort(key=lambda pair: _order(pair[0]))
    keys = [_without_phase(i.name) for _, i in described]
    with_phase = [key for key in keys if key in phases]
    if with_phase and len(with_phase) < len(keys):
        raise LayoutError(
            f"{case.key}: {len(with_phase)} of {len(keys)} raw images have a phase image; give all phases, or none"
        )
    return RawSeries(
        case,
        tuple(i.path for _, i in described),
        tuple(phases[key] for key in with_phase),
        tuple(sequence for sequence, _ in described),
    )


def _order(sequence: Sequence) -> tuple[float, ...]:
    """Delay (or inversion time, or flip angle) first, echo within it: the order of the papers."""
    weighting = [getattr(sequence, name, 0.0) for name in ("delay_s", "inversion_time_s", "flip_angle_deg")]
    return (*weighting, float(sequence.echo_time_s))  # type: ignore[attr-defined]


def _without_phase(name: BidsName) -> tuple[tuple[str, str], ...]:
    """What a magnitude and its phase image share in their names."""
    entities = {key: value for key, value in name.entities.items() if key != "part"}
    if "acq" in entities:
        entities["acq"] = entities["acq"].removesuffix("phase")
    return tuple(sorted(entities.items()))


def _images_in(root: Path) -> list[BidsImage]:
    if root.is_dir() and not any(path.is_dir() for path in root.glob("sub-*")):
        flat = []
        for path in sorted(root.glob("sub-*")):
            if is_nifti(path):
                try:
                    flat.append(BidsImage(path, BidsName.parse(path.name)))
                except LayoutError:
                    continue
        return flat
    return find_images(root)


def _rate(data: NDArray[Any], path: Path, name: str) -> NDArray[np.float64]:
    """Rates in 1/s; a warning where the unit was not said."""
    times, guessed = times_of(data, path, name)
    if guessed:
        warnings.warn(
            f"{path}: its sidecar has no Units; taken as ms, for the median is {np.median(data[data > 0]):g}",
            RecontrastWarning,
            stacklevel=4,
        )
    return np.divide(1.0, times, out=np.zeros_like(times), where=times > 0)


def _require_plain(data: NDArray[Any], path: Path) -> None:
    if not np.isfinite(data).all():
        raise IntensityError(f"{path}: {int(np.count_nonzero(~np.isfinite(data)))} voxels are NaN or infinite")
    if (data < 0).any():
        raise IntensityError(
            f"{path}: {int(np.count_nonzero(data < 0))} voxels are negative; no matter has that, set them to 0"
        )
