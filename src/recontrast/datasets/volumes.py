"""Batches of volumes, or of three-dimensional patches of them, from cached cases."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np

from recontrast.datasets.augment import AugmentSettings, augment, random_shift
from recontrast.datasets.cases import LEARNED, CachedCase
from recontrast.datasets.patches import Batch, Sample, SliceBatches, sample_of, shifted, stacked, window
from recontrast.datasets.settings import DataSettings
from recontrast.errors import ConfigError

_MULTIPLE = 16
"""Sizes of whole heads are rounded up to this: networks halve the resolution a few times."""

_BEYOND = 4
"""A patch may lie outside the head by a fourth of its size, so that the edge is seen as often as the middle."""

_VOXELS_OF_A_CONTROL = 4_000_000
"""Voxels of the patches from which a network that starts from a control fits it."""

_AROUND = 16
"""Voxels above and below a slab that was held out which the network sees as well."""

_OF_PLACES = 2
"""Sets apart, in the seeds, what is drawn for a patch from the order of the epochs."""


class VolumeBatches(SliceBatches):
    """Draws batches of volumes; batch n is the same however often and in whatever order it is asked for.

    An epoch takes `data.patches` patches of every case, in an order that is new for each epoch; where a patch lies is
    drawn anew each time. Without `data.patch` a volume holds the largest head of the cohort and some air, cut
    around the head or filled up. Axes lie along right, anterior, superior.

    Args:
        cases: Training cases, stacked along the axial plane, with source and target.
        settings: How many, how large.
        seed: Seed of the order, of the places and of the random changes.

    Raises:
        ConfigError: The settings are for slices.

    Example:
        >>> settings = DataSettings(plane="volume", batch=2, patch=(64, 64, 64))
        >>> VolumeBatches(cached, settings, seed=0).batch(0).source.shape  # doctest: +SKIP
        torch.Size([2, 1, 64, 64, 64])
    """

    size: tuple[int, ...]  # type: ignore[assignment]

    def __init__(self, cases: Sequence[CachedCase], settings: DataSettings, seed: int) -> None:
        if settings.spatial_dims != 3:
            raise ConfigError(f"volumes are learned from with data.plane=volume, not {settings.plane}")
        self.cases = tuple(cases)
        self.settings = settings
        self.seed = seed
        self.held = [case.held_slab(settings) for case in self.cases]
        self.places = [(number, patch) for number in range(len(self.cases)) for patch in range(settings.patches)]
        self.boxes = [case.head_block() for case in self.cases]
        self.size = settings.patch or self._common_size()
        self._order = (-1, np.arange(0))

    def as_they_are(self, most: int) -> Batch:
        """A volume, or patches of as many voxels, without random changes; `most` counts slices: a volume has many."""
        plain = VolumeBatches(self.cases, dataclasses.replace(self.settings, augment=AugmentSettings()), self.seed)
        plain.hides = True
        count = max(1, _VOXELS_OF_A_CONTROL // int(np.prod(self.size))) if self.settings.patch else 1
        rng = np.random.default_rng(self.seed)
        return stacked([plain.sample(*plain.place(n), rng) for n in range(count)])

    def held_out(self) -> Iterator[Batch]:
        """The slabs that were not learned from (`data.held_out`) with what lies around them, as they are."""
        for number, slab in enumerate(self.held):
            if slab.stop == slab.start:
                continue
            case, (rows, columns, slices) = self.cases[number], self.boxes[number]
            part = slice(max(slices.start, slab.start - _AROUND), min(slices.stop, slab.stop + _AROUND))
            block = case.read_block(slice(None), part, rows, columns)
            target = block[case.sources.stop :]
            mask = np.moveaxis(case.regions[part, 0, rows, columns], 0, -1)[None].copy()
            mask[..., : slab.start - part.start] = mask[..., slab.stop - part.start :] = False
            spacing = np.array(case.spacing_ras(case.plane), np.float32)
            yield stacked([Sample(block[case.sources], np.clip(target, 0, 1) if self.settings.clip_target else target,
                                  mask, spacing)])  # fmt: skip

    def batch(self, step: int, rank: int = 0, ranks: int = 1) -> Batch:
        """Batch number `step` (from 0), or the part of it that one of several ranks works on: the same patches."""
        positions = range(step * self.settings.batch, (step + 1) * self.settings.batch)[rank::ranks]
        chances = [np.random.default_rng([self.seed, position, _OF_PLACES]) for position in positions]
        return stacked([self.sample(*self.place(p), rng) for p, rng in zip(positions, chances, strict=True)])

    def sample(self, number: int, index: int, rng: np.random.Generator) -> Sample:
        """A patch of case `number`, cut out and changed at random; its place comes from `rng`."""
        case, settings = self.cases[number], self.settings
        height, *plane = case.images.shape[0], *case.images.shape[2:]
        starts = self._starts(number, rng)
        inside, cut = window(starts, self.size, (*plane, height))
        block = np.empty((len(case.air), *self.size), np.float32)
        block[:] = case.air[:, None, None, None]
        rows, columns, slices = cut
        block[:, *inside] = case.read_block(slice(None), slices, rows, columns)
        target = block[case.sources.stop :]
        if settings.clip_target:
            target = np.clip(target, 0, 1)
        regions = np.zeros((1 + case.has_lesions, *self.size), np.bool_)
        regions[:, *inside] = np.moveaxis(case.regions[slices, LEARNED, rows, columns], 0, -1)
        mask = regions[:1]
        held = shifted(self.held[number], -starts[2])
        self._mark(target, mask, held, rng)
        changed = augment(block[case.sources], target, regions, settings.augment, rng)
        return sample_of(*changed, case.spacing_ras(case.plane))

    def _starts(self, number: int, rng: np.random.Generator) -> list[int]:
        box = self.boxes[number]
        centred = [(side.start + side.stop - size) // 2 for side, size in zip(box, self.size, strict=True)]
        if self.settings.patch is None:
            moved = random_shift(self.settings.augment, rng, axes=3)
            return [start + shift for start, shift in zip(centred, moved, strict=True)]
        starts = []
        for side, size, middle in zip(box, self.size, centred, strict=True):
            first, last = side.start - size // _BEYOND, side.stop - size + size // _BEYOND
            starts.append(int(rng.integers(min(first, middle), max(last, middle), endpoint=True)))
        return starts

    def _common_size(self) -> tuple[int, ...]:
        extents = [
            [
                side.stop - side.start + 2 * round(self.settings.margin_mm / mm)
                for side, mm in zip(box, case.spacing_ras(case.plane), strict=True)
            ]
            for box, case in zip(self.boxes, self.cases, strict=True)
        ]
        return tuple(int(-(-extent // _MULTIPLE) * _MULTIPLE) for extent in np.max(extents, axis=0))
