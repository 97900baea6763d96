"""Batches of slices from cached cases, in an order that depends only on the seed and the step."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recontrast.datasets.augment import AugmentSettings, augment, random_shift
from recontrast.datasets.cases import LEARNED, CachedCase
from recontrast.datasets.settings import DataSettings
from recontrast.errors import IntensityError, RecontrastWarning

_MULTIPLE = 16
"""In-plane sizes are rounded up to this: networks halve the resolution a few times."""


class Batch(NamedTuple):
    """What a training step sees.

    Attributes:
        source: (B, C, I, J[, K]) float32, scaled units.
        target: (B, 1, I, J[, K]) float32, scaled units; of other slices than the source in unpaired learning.
        mask: (B, 1, I, J[, K]) bool, inside the head of the source.
        spacing: (B, 2 or 3) float32, voxel size of the source in mm along its axes; None where nobody knows it.
        lesion: (B, 1, I, J[, K]) bool, inside lesions; None where no loss asks for them.
    """

    source: Tensor
    target: Tensor
    mask: Tensor
    spacing: Tensor | None = None
    lesion: Tensor | None = None


class Sample(NamedTuple):
    """One slice or volume of a batch; arrays as in `Batch`, without its first axis."""

    source: NDArray[np.float32]
    target: NDArray[np.float32]
    mask: NDArray[np.bool_]
    spacing: NDArray[np.float32]
    lesion: NDArray[np.bool_] | None = None


class SliceBatches:
    """Draws batches of slices; batch n is the same however often and in whatever order it is asked for.

    Slices of all cases are shuffled anew for every epoch. Batches are always full: one that reaches the end of an
    epoch goes on with the next. In-plane sizes that differ between cases are brought to one size, by cutting around
    the head or by filling up with air, so that every batch mixes subjects.

    Args:
        cases: Training cases.
        settings: Which slices, which size, how many.
        seed: Seed of the order and of the random changes.

    Raises:
        IntensityError: No slice is left to learn from.

    Example:
        >>> SliceBatches(cached, DataSettings(batch=4), seed=0).batch(0).source.shape  # doctest: +SKIP
        torch.Size([4, 1, 96, 112])
    """

    hides = False
    """Whether the target of what is held out is nan, for what looks beyond the mask."""

    def __init__(self, cases: Sequence[CachedCase], settings: DataSettings, seed: int) -> None:
        self.cases = tuple(cases)
        self.settings = settings
        self.seed = seed
        self.held = [case.held_slab(settings) for case in cases]
        self.places = [(n, int(index)) for n, case in enumerate(cases) for index in self._learned_slices(n)]
        if not self.places:
            raise IntensityError(
                f"no slice of {', '.join(case.key for case in cases)} has head or brain in it; "
                "look at the head masks of the prepared cases, or set data.slices=all"
            )
        self.size = settings.size or _common_size(self.cases, settings)
        self.centres = [tuple((side.start + side.stop) // 2 for side in case.head_box()) for case in self.cases]
        self._order: tuple[int, NDArray[np.intp]] = (-1, np.arange(0))

    def _learned_slices(self, number: int) -> NDArray[np.intp]:
        chosen, held = self.cases[number].chosen_slices(self.settings), self.held[number]
        if self.cases[number].plane != "axial":
            return chosen
        return chosen[(chosen < held.start) | (chosen >= held.stop)]

    @property
    def epoch_length(self) -> int:
        """Batches in an epoch, rounded up."""
        return -(-len(self.places) // self.settings.batch)

    def epoch_of(self, step: int) -> int:
        """Epoch (from 0) to which the first slice of batch `step` (from 0) belongs."""
        return step * self.settings.batch // len(self.places)

    def batch(self, step: int, rank: int = 0, ranks: int = 1) -> Batch:
        """Batch number `step` (from 0), or the part of it that one of several ranks works on."""
        positions = range(step * self.settings.batch, (step + 1) * self.settings.batch)[rank::ranks]
        rng = np.random.default_rng([self.seed, step, rank])
        return stacked([self.sample(*self.place(position), rng) for position in positions])

    def as_they_are(self, most: int) -> Batch:
        """Up to `most` slices without random changes, from the beginning of the first epoch; nan where held out."""
        as_is = dataclasses.replace(self.settings, augment=AugmentSettings(), size=self.size)
        plain = SliceBatches(self.cases, as_is, self.seed)
        plain.hides = True
        rng = np.random.default_rng(self.seed)
        return stacked([plain.sample(*plain.place(n), rng) for n in range(min(most, len(plain.places)))])

    def to_begin_with(self, most: int) -> Iterator[Batch]:
        """What a control is fitted to: `as_they_are`, up to `most` slices for each thing that is learned."""
        yield self.as_they_are(most)

    def held_out(self) -> Iterator[Batch]:
        """The slices that were not learned from (`data.held_out`), as they are, a few at a time; may be none."""
        as_is = dataclasses.replace(self.settings, augment=AugmentSettings(), size=self.size, held_out=0.0, air=0.0)
        plain, rng = SliceBatches(self.cases, as_is, self.seed), np.random.default_rng(self.seed)
        for number, slab in enumerate(self.held):
            if self.cases[number].plane == self.settings.plane == "axial":
                yield from (stacked([plain.sample(number, index, rng)]) for index in range(slab.start, slab.stop))

    def place(self, position: int) -> tuple[int, int]:
        """Case and slice at a position (from 0) in the endless order."""
        return self.places[self._at(position)]

    def _at(self, position: int) -> int:
        epoch, within = divmod(position, len(self.places))
        order = self._order  # one look: another thread may put that of another epoch there
        if order[0] != epoch:
            order = (epoch, np.random.default_rng([self.seed, epoch]).permutation(len(self.places)))
            self._order = order
        return int(order[1][within])

    def sample(self, number: int, index: int, rng: np.random.Generator) -> Sample:
        """Slice `index` of case `number`, cut out and changed at random; without channels that the case has not."""
        case, settings = self.cases[number], self.settings
        shift = random_shift(settings.augment, rng)
        starts = [c + s - size // 2 for c, s, size in zip(self.centres[number], shift, self.size, strict=True)]
        inside, cut = window(starts, self.size, case.images.shape[2:])
        sources = case.sources.stop
        air = np.repeat(case.air[:sources], 2 * settings.neighbours + 1)
        source = np.empty((len(air), *self.size), np.float32)
        source[:] = air[:, None, None]
        if sources:
            source[:, inside[0], inside[1]] = read_sources(case, index, settings.neighbours, (cut[0], cut[1]))
        target = np.empty((int(case.has_target), *self.size), np.float32)
        target[:] = case.air[sources:, None, None]
        target[:, inside[0], inside[1]] = case.read(index, slice(sources, None), cut[0], cut[1])
        if settings.clip_target:
            target = np.clip(target, 0, 1)
        regions = np.zeros((1 + case.has_lesions, *self.size), np.bool_)
        regions[:, inside[0], inside[1]] = case.regions[index, LEARNED, cut[0], cut[1]]
        mask = regions[:1]
        held = self._held_part(number, starts[1])
        self._mark(target, mask, held, rng)
        spacing = case.spacing[1:]
        changed = augment(source, target, regions, settings.augment, rng, 2 * settings.neighbours + 1, spacing)
        return sample_of(*changed, spacing)

    def _mark(
        self, target: NDArray[np.float32], mask: NDArray[np.bool_], held: slice, rng: np.random.Generator
    ) -> None:
        """Take what is held out from the mask and, where it `hides`, from the target; else add some air to the mask."""
        if self.hides:
            target[..., held] = np.nan
        elif self.settings.air:
            mask |= rng.random(mask.shape, np.float32) < self.settings.air
        mask[..., held] = False

    def _held_part(self, number: int, start: int) -> slice:
        """What is held out of a sample that begins at `start`, along its last axis; axial slices are left out whole."""
        return slice(0, 0) if self.cases[number].plane == "axial" else shifted(self.held[number], -start)


def shifted(part: slice, by: int) -> slice:
    """A slice moved, cut at 0.

    >>> shifted(slice(3, 6), -4)
    slice(0, 2, None)
    """
    return slice(max(0, part.start + by), max(0, part.stop + by))


def stacked(samples: Sequence[Sample]) -> Batch:
    """A batch of samples."""
    parts = zip(*samples, strict=True)
    return Batch(*(None if part[0] is None else torch.from_numpy(np.stack(part)) for part in parts))  # type: ignore[arg-type]


def sample_of(
    source: NDArray[np.float32], target: NDArray[np.float32], regions: NDArray[np.bool_], spacing: Sequence[float]
) -> Sample:
    """A sample of images and of `regions`: head, and lesions where they are cached."""
    lesion = regions[1:] if len(regions) > 1 else None
    return Sample(source, target, regions[:1], np.array(spacing, np.float32), lesion)


def read_sources(
    case: CachedCase, index: int, neighbours: int, cut: tuple[slice, slice] = (slice(None), slice(None))
) -> NDArray[np.float32]:
    """Source channels of one slice and its neighbours, (C * (2 * neighbours + 1), I, J).

    Channels are ordered by contrast, and within a contrast from the slice furthest below to the one furthest above;
    beyond the first and last slice these are repeated. A saved translator orders them in the same way.
    """
    sources = case.sources
    if neighbours == 0:
        return case.read(index, sources, *cut)
    around = np.clip(np.arange(index - neighbours, index + neighbours + 1), 0, len(case.images) - 1)
    slab = np.stack([case.read(int(number), sources, *cut) for number in around], axis=1)
    return slab.reshape(-1, *slab.shape[2:])


def window(
    starts: Sequence[int], size: Sequence[int], available: Sequence[int]
) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Where the part of the image that a window sees lies in the window, and in the image.

    >>> window([-2, 1], [5, 2], [4, 4])
    ((slice(2, 5, None), slice(0, 2, None)), (slice(0, 3, None), slice(1, 3, None)))
    """
    inside, cut = [], []
    for start, length, limit in zip(starts, size, available, strict=True):
        low, high = min(max(start, 0), limit), max(min(start + length, limit), 0)
        high = max(low, high)
        inside.append(slice(low - start, high - start) if high > low else slice(0, 0))
        cut.append(slice(low, high))
    return tuple(inside), tuple(cut)


def _common_size(cases: Sequence[CachedCase], settings: DataSettings) -> tuple[int, int]:
    """In-plane size that holds the head of every case and some air around it."""
    extents = np.array(
        [
            [side.stop - side.start + 2 * round(settings.margin_mm / mm) for side, mm in zip(box, spacing, strict=True)]
            for box, spacing in ((case.head_box(), case.spacing[1:]) for case in cases)
        ]
    )
    planes = np.array([case.plane for case in cases])
    for plane in np.unique(planes):
        _warn_of_large([case for case in cases if case.plane == plane], extents[planes == plane])
    rows, columns = (int(-(-extent // _MULTIPLE) * _MULTIPLE) for extent in extents.max(axis=0))
    return rows, columns


def _warn_of_large(cases: Sequence[CachedCase], extents: NDArray[np.int_]) -> None:
    areas = extents.prod(axis=1)
    if areas.max() <= 2 * np.median(areas):
        return
    largest = int(areas.argmax())
    warnings.warn(
        f"{cases[largest].key}: its head covers {extents[largest].tolist()} voxels in-plane, twice the area of others; "
        "all slices are filled up to that size, which is slow: prepare on one voxel size, or set data.size",
        RecontrastWarning,
        stacklevel=4,
    )
