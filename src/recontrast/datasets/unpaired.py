"""Batches for unpaired learning: sources and targets are drawn independently of each other."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from recontrast.datasets.cases import CachedCase
from recontrast.datasets.patches import Batch, Sample, SliceBatches, stacked
from recontrast.datasets.settings import DataSettings
from recontrast.errors import LayoutError

_OF_TARGETS = 1
"""Set apart, in the seeds, what is drawn for targets from what is drawn for sources."""


class UnpairedBatches:
    """Draws sources and targets from the same cases or from different ones, in two independent orders.

    Nothing ties the two together: each has its own shuffled order, its own random shift and its own mirroring. Cases
    that have only sources, or only the target, are used too. An epoch shows the larger of the two sets once; the
    smaller one begins again, in a new order, when it is used up.

    Args:
        cases: Training cases.
        settings: Which slices, which size, how many.
        seed: Seed of the orders and of the random changes.

    Raises:
        LayoutError: No case has the sources, or none has the target.
        IntensityError: No slice is left to learn from.

    Example:
        >>> UnpairedBatches(cached, DataSettings(batch=4, paired=False), seed=0).batch(0).target.shape  # doctest: +SKIP
        torch.Size([4, 1, 96, 112])
    """

    def __init__(self, cases: Sequence[CachedCase], settings: DataSettings, seed: int) -> None:
        with_sources = [case for case in cases if case.sources.stop]
        with_target = [case for case in cases if case.has_target]
        if not with_sources or not with_target:
            missing = "source" if not with_sources else "target"
            raise LayoutError(
                f"no training case has the {missing} ({', '.join(case.key for case in cases)} have the other); "
                "unpaired learning needs images of both, though not of the same subjects"
            )
        self.cases = tuple(cases)
        self.size = SliceBatches(cases, settings, seed).size
        self.settings = dataclasses.replace(settings, size=self.size)
        plain = dataclasses.replace(settings.augment, source_gain=0.0, source_gamma=0.0, source_noise=0.0)
        of_targets = dataclasses.replace(self.settings, augment=plain)
        self._seed = seed
        self._sources = SliceBatches(with_sources, self.settings, seed)
        self._targets = SliceBatches(with_target, of_targets, _seed_of_targets(seed))
        larger = max(self._sources, self._targets, key=lambda batches: len(batches.places))
        self.places = larger.places
        self._larger = larger

    @property
    def epoch_length(self) -> int:
        """Batches in an epoch of the larger set, rounded up."""
        return self._larger.epoch_length

    def epoch_of(self, step: int) -> int:
        """Epoch (from 0) to which the first slice of batch `step` (from 0) belongs."""
        return self._larger.epoch_of(step)

    def batch(self, step: int, rank: int = 0, ranks: int = 1) -> Batch:
        """Batch number `step` (from 0), or the part of it that one of several ranks works on."""
        positions = range(step * self.settings.batch, (step + 1) * self.settings.batch)[rank::ranks]
        of_sources = np.random.default_rng([self._seed, step, rank])
        of_targets = np.random.default_rng([_seed_of_targets(self._seed), step, rank])
        samples = []
        for position in positions:
            source = self._sources.sample(*self._sources.place(position), of_sources)
            target = self._targets.sample(*self._targets.place(position), of_targets)
            samples.append(Sample(source.source, target.target, source.mask, source.spacing))
        return stacked(samples)


def _seed_of_targets(seed: int) -> int:
    return int(np.random.SeedSequence([seed, _OF_TARGETS]).generate_state(1, np.uint64)[0])
