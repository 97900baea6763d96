"""Prepared cases as memory-mapped stacks of slices in scaled units, ready to be read in any order.

A compressed image must be unpacked as a whole; a memory-mapped array gives single slices thousands of times faster.
The cache can always be made again: each file is named after a hash of everything that went into it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recontrast.atomic import atomic_file, make_folder, write_json
from recontrast.datasets.settings import PLANES, STORED, DataSettings
from recontrast.errors import IntensityError
from recontrast.io.nifti import read_volume
from recontrast.preparation.cohort import PreparedCase
from recontrast.preparation.context import context_channels, context_of_each
from recontrast.provenance import sha256_of
from recontrast.volume import Volume, require_same_grid

_FORMAT = 2
"""Raise it when the content of cache files changes, so that older ones are not used."""


LEARNED = slice(0, None, 2)
"""Of `CachedCase.regions` what training looks at: head, and lesions where they are there."""


@dataclass(frozen=True)
class CachedCase:
    """One case as a stack of slices on disk.

    Attributes:
        key: Name of the case.
        subject: Its subject.
        plane: Plane of the slices.
        images: Stored values, (N, C, I, J): N slices, C sources and then the target, memory-mapped. A case for unpaired
            learning may have only the sources, or only the target.
        sources: Which channels are the sources.
        has_target: Whether the last channel is the target.
        regions: (N, 2 or 3, I, J), memory-mapped: head, brain (head again where the brain is not known) and, where they
            were asked for, lesions.
        has_brain: Whether the brain is known.
        lows: Scaled value of stored zero, one a channel.
        steps: Scaled difference of stored numbers, one a channel.
        air: Scaled value of native zero, one a channel: what lies outside the image.
        spacing: Voxel size in mm along the axes of `images` without C: slice, first and second in-plane axis.
        hashes: SHA-256 of the image files, sources and then target.
        contrasts: The contrasts of the image files, in the same order.
        acquired: Contrast to what is known of its acquisition.
    """

    key: str
    subject: str
    plane: str
    images: NDArray[Any]
    sources: slice
    has_target: bool
    regions: NDArray[np.bool_]
    has_brain: bool
    lows: NDArray[np.float32]
    steps: NDArray[np.float32]
    air: NDArray[np.float32]
    spacing: tuple[float, float, float]
    hashes: tuple[str, ...]
    contrasts: tuple[str, ...]
    acquired: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    @property
    def has_lesions(self) -> bool:
        """Whether `regions` holds lesions; none of them may be in this case."""
        return self.regions.shape[1] > 2

    @property
    def zeros(self) -> dict[str, float]:
        """Contrast to what native zero reads as: `air`, in the steps in which the image is stored."""
        zeros = self.air
        if self.images.dtype != np.float32:
            zeros = np.rint((self.air - self.lows) / self.steps) * self.steps + self.lows
        own = len(self.contrasts) - self.has_target  # of sources: their context lies between them and the target
        return dict(
            zip(self.contrasts, [*zeros[:own].tolist(), *zeros[len(zeros) - self.has_target :].tolist()], strict=True)
        )

    def read(self, index: int, channels: slice, rows: slice, columns: slice) -> NDArray[np.float32]:
        """Scaled values of one slice, (C, I, J) float32."""
        stored = self.images[index, channels, rows, columns]
        if stored.dtype == np.float32:
            return np.asarray(stored)
        scaled = stored * self.steps[channels, None, None] + self.lows[channels, None, None]
        return np.asarray(scaled, dtype=np.float32)

    def read_block(self, channels: slice, slices: slice, rows: slice, columns: slice) -> NDArray[np.float32]:
        """Scaled values of neighbouring slices, (C, I, J, N) float32; of an axial stack, axes lie along R, A, S."""
        stored = np.moveaxis(self.images[slices, channels, rows, columns], 0, -1)
        if stored.dtype == np.float32:
            return np.asarray(stored)
        scaled = stored * self.steps[channels, None, None, None] + self.lows[channels, None, None, None]
        return np.asarray(scaled, dtype=np.float32)

    def spacing_ras(self, plane: str) -> tuple[float, float, float]:
        """Voxel size in mm along right, anterior, superior."""
        i, j, k = (float(mm) for mm in np.insert(self.spacing[1:], PLANES[plane], self.spacing[0]))
        return i, j, k

    def chosen_slices(self, settings: DataSettings) -> NDArray[np.intp]:
        """Indices of the slices that are learned from."""
        if settings.slices == "all":
            return np.arange(len(self.images))
        area = self.regions[:, 1 if settings.slices == "brain" else 0].sum(axis=(1, 2))
        return np.flatnonzero(area > settings.minimum_area * max(1, int(area.max())))

    def held_slab(self, settings: DataSettings) -> slice:
        """Axial slices whose target is not learned from (see `DataSettings.held_out`), in whatever plane the case is.

        The slab begins in the middle of the head: above it lie the tops of the ventricles, and below it is learned.
        """
        others = (1, 2) if self.plane == "axial" else (0, 1)
        return held_slices(np.asarray(self.regions[:, 0].any(axis=others)), settings)

    def head_box(self) -> tuple[slice, slice]:
        """In-plane box around the head over all slices; everything when there is no head."""
        seen = np.asarray(self.regions[:, 0].any(axis=0))
        return _extent(seen.max(axis=1)), _extent(seen.max(axis=0))

    def head_block(self) -> tuple[slice, slice, slice]:
        """Box around the head: rows, columns and slices; everything when there is no head."""
        return (*self.head_box(), _extent(np.asarray(self.regions[:, 0].any(axis=(1, 2)))))


@dataclass(frozen=True)
class _Files:
    """Files of one case in the cache, and the hashes of its images; `numbers` is written last: the others are whole."""

    plane: str
    images: Path
    regions: Path
    numbers: Path
    hashes: tuple[str, ...]


def cache_cases(
    cases: Sequence[PreparedCase], sources: Sequence[str], target: str, settings: DataSettings, folder: Path,
    *, partly: bool = False, lesions: bool = False,
) -> list[CachedCase]:  # fmt: skip
    """Write the cases into the cache, or find them there, and map them.

    Args:
        cases: Prepared cases that have all the contrasts; for unpaired learning all the sources, or the target.
        sources: Source contrasts, in channel order.
        target: Target contrast; "": the cases have none of their own.
        settings: Planes and number type.
        folder: Where the cache lies; files in it that belong to none of the cases are removed.
        partly: Whether a case may lack some of the sources; each then has its own context (see `context_of_each`).
            Else one that lacks any is cached without them.
        lesions: Whether lesions (`DataSettings.lesion_regions`) are wanted, too; a case without a mask has none.

    Returns:
        For each plane that is learned from or translated, in the order of `PLANES`, all cases.

    Raises:
        GeometryError: The images of a case lie on different grids.
        IntensityError: An image has values that are not finite.
        OutputError: The cache cannot be written.

    Example:
        >>> cache_cases(cohort.split("train"), ["T1w"], "T2w", DataSettings(), run / "cache")  # doctest: +SKIP
    """
    make_folder(folder)
    regions = settings.lesion_regions if lesions else ()
    planes = [plane for plane in PLANES if plane in (settings.shown_plane, *settings.planes)]
    wanted: list[tuple[PreparedCase, tuple[str, ...], _Files]] = []
    for plane in planes:
        for case in cases:
            given = tuple(label for label in sources if label in case.images)
            given = given if partly or len(given) == len(sources) else ()
            labels = (*given, target) if target in case.images else given
            wanted.append((case, labels, _files(case, labels, plane, settings, folder, partly, regions)))
    kept = {path for _, _, paths in wanted for path in (paths.images, paths.regions, paths.numbers)}
    for path in (*folder.glob("sub-*.npy"), *folder.glob("sub-*.json")):
        if path not in kept:
            path.unlink(missing_ok=True)
    return [_cached(case, labels, target, settings, paths, partly, regions) for case, labels, paths in wanted]


def held_slices(shown: NDArray[np.bool_], settings: DataSettings) -> slice:
    """Axial slices whose target is not learned from (see `CachedCase.held_slab`).

    Args:
        shown: Whether each axial slice shows the head.
        settings: How much is held out.

    Example:
        >>> held_slices(np.ones(20, bool), DataSettings(held_out=0.1))
        slice(10, 12, None)
    """
    if not settings.held_out:
        return slice(0, 0)
    head = _extent(shown)
    count = max(1, round(settings.held_out * (head.stop - head.start)))
    middle = (head.start + head.stop) // 2
    return slice(middle, min(middle + count, head.stop))


def slices_first(array: NDArray[Any], plane: str) -> NDArray[Any]:
    """View of an RAS array (I, J, K) as a stack of slices (N, first in-plane axis, second in-plane axis).

    Example:
        >>> slices_first(np.zeros((4, 5, 6)), "coronal").shape
        (5, 4, 6)
    """
    return np.moveaxis(array, PLANES[plane], 0)


def slices_back(stack: NDArray[Any], plane: str) -> NDArray[Any]:
    """Undo `slices_first`.

    Example:
        >>> slices_back(np.zeros((5, 4, 6)), "coronal").shape
        (4, 5, 6)
    """
    return np.moveaxis(stack, 0, PLANES[plane])


def _files(
    case: PreparedCase, contrasts: Sequence[str], plane: str, settings: DataSettings, folder: Path, partly: bool,
    lesions: Sequence[str],
) -> _Files:  # fmt: skip
    hashes = tuple(sha256_of(case.images[label]) for label in contrasts)
    described = {
        "format": _FORMAT,
        "images": hashes,
        "scales": [case.scales[label].to_dict() for label in contrasts],
        "regions": {
            name: sha256_of(case.regions[name]) for name in ("head", "brain", *lesions) if name in case.regions
        },
        "plane": plane,
        "type": settings.cache_type,
        "context": settings.context_voxels,
        "steep": settings.context_steep,
        **({"lesions": list(lesions)} if lesions else {}),
        **({"context of": "each"} if partly and settings.context_voxels else {}),
    }
    digest = hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:16]
    stem = f"{case.key}_{digest}"
    names = (f"{stem}_images.npy", f"{stem}_regions.npy", f"{stem}.json")
    return _Files(plane, folder / names[0], folder / names[1], folder / names[2], hashes)


def _cached(
    case: PreparedCase, contrasts: Sequence[str], target: str, settings: DataSettings, paths: _Files, partly: bool,
    lesions: Sequence[str],
) -> CachedCase:  # fmt: skip
    if not paths.numbers.is_file():
        _write(case, contrasts, target, settings, paths, context_of_each if partly else context_channels, lesions)
    numbers = json.loads(paths.numbers.read_text(encoding="utf-8"))
    first, second, third = numbers["spacing"]
    return CachedCase(
        key=case.key,
        subject=case.case.subject,
        plane=paths.plane,
        sources=slice(0, numbers["sources"]),
        has_target=target in contrasts,
        images=np.load(paths.images, mmap_mode="r", allow_pickle=False),
        regions=np.load(paths.regions, mmap_mode="r", allow_pickle=False),
        has_brain="brain" in case.regions,
        lows=np.array(numbers["lows"], np.float32),
        steps=np.array(numbers["steps"], np.float32),
        air=np.array(numbers["air"], np.float32),
        spacing=(first, second, third),
        hashes=paths.hashes,
        contrasts=tuple(contrasts),
        acquired=case.acquired,
    )


def _write(
    case: PreparedCase, contrasts: Sequence[str], target: str, settings: DataSettings, paths: _Files,
    context: Callable[..., list[NDArray[np.float32]]], lesions: Sequence[str],
) -> None:  # fmt: skip
    first = read_volume(case.images[contrasts[0]]).reoriented("RAS")
    head = _region(case, "head", first)
    regions = [head, _region(case, "brain", first) if "brain" in case.regions else head]
    if lesions:
        there = [_region(case, name, first) for name in lesions if name in case.regions]
        regions.append(np.logical_or.reduce(there) if there else np.zeros_like(head))
    images: list[NDArray[np.float32]] = []
    air: list[float] = []
    for label in contrasts:
        volume = read_volume(case.images[label]).reoriented("RAS")
        require_same_grid(first, volume, f"{case.key}: {contrasts[0]} and {label}")
        scaled = case.scales[label].apply(volume.data)
        if not np.isfinite(scaled).all():
            raise IntensityError(f"{case.images[label]}: has values that are not finite; prepare {case.key} again")
        images.append(scaled)
        air.append(case.scales[label].zero)
    count = len(contrasts) - (target in contrasts)  # of sources: the target is the last
    around = context(images[:count], settings.context_voxels, settings.context_steep) if count else []
    images[count:count] = around
    air[count:count] = [float(channel[0, 0, 0]) for channel in around]
    lows, steps, channels = [], [], []
    for scaled in images:
        low, step = 0.0, 1.0
        stored = scaled
        if settings.cache_type == "uint16":
            low = float(scaled.min())
            step = max(float(scaled.max()) - low, 1e-6) / 65535
            stored = np.rint((scaled - low) / step)
        channels.append(stored.astype(STORED[settings.cache_type]))
        lows.append(low)
        steps.append(step)
    _save(paths.images, np.stack([slices_first(channel, paths.plane) for channel in channels], axis=1))
    _save(paths.regions, np.stack([slices_first(region, paths.plane) for region in regions], axis=1))
    along = PLANES[paths.plane]
    spacing = [first.spacing[along], *(mm for axis, mm in enumerate(first.spacing) if axis != along)]
    counted = {"sources": count + len(around)}
    write_json(paths.numbers, {"lows": lows, "steps": steps, "air": air, "spacing": spacing, **counted})


def _region(case: PreparedCase, name: str, like: Volume) -> NDArray[np.bool_]:
    region = read_volume(case.regions[name], np.uint8).reoriented("RAS")
    require_same_grid(like, region, f"{case.key}: image and region {name}")
    return np.asarray(region.data > 0)


def _save(path: Path, array: NDArray[Any]) -> None:
    with atomic_file(path) as partial, partial.open("wb") as file:
        np.save(file, array, allow_pickle=False)


def _extent(inside: NDArray[np.bool_]) -> slice:
    found = np.flatnonzero(inside)
    return slice(int(found[0]), int(found[-1]) + 1) if found.size else slice(0, len(inside))
