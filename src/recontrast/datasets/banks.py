"""Batches for one network that makes several contrasts from whatever a case has.

Of each slice a target is drawn, and a random non-empty subset of the other contrasts that the case has (modality
dropout): the network learns every subset, and a case that lacks a contrast is learned from all the same.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from recontrast.datasets.augment import AugmentSettings
from recontrast.datasets.cases import CachedCase
from recontrast.datasets.patches import Batch, Sample, SliceBatches, stacked
from recontrast.datasets.settings import DataSettings
from recontrast.preparation.acquisition import Usual, told
from recontrast.preparation.bank import Bank
from recontrast.preparation.context import PLACES
from recontrast.preparation.level import signal_level

_UNTOLD = 0.25
"""Share of the slices of which the network is not told how they were acquired: it must do without, too."""


class BankBatches(SliceBatches):
    """Draws batches in which every slice has its own target and its own sources.

    Targets are equally likely among those that the case has together with a source; so are the non-empty subsets of
    the sources that are then left. A sample's source has the planes of the bank (see `recontrast.preparation.bank`),
    each as often as there are neighbouring slices.

    Args:
        cases: Training cases in the cache, with the contrasts of the bank that each has.
        settings: Which slices, which size, how many.
        seed: Seed of the order, of targets and sources, and of the random changes.
        bank: Sources and targets.
        levels: Contrast to the level of signal (`signal_level`) that it is brought to where it is a source; targets
            stay on their scale, and so do sources that are not named.
        usual: How the training scans were acquired (`usual_of`): of each slice it is told how its sources were, but for
            one in four, of which nothing is told. None: nothing is told at all.

    Example:
        >>> BankBatches(cached, DataSettings(batch=4), 0, bank).batch(0).source.shape  # doctest: +SKIP
        torch.Size([4, 9, 96, 112])
    """

    def __init__(
        self, cases: Sequence[CachedCase], settings: DataSettings, seed: int, bank: Bank,
        levels: Mapping[str, float] | None = None, usual: Usual | None = None,
    ) -> None:  # fmt: skip
        super().__init__(cases, settings, seed)
        self.bank = bank
        self.levels, self.usual = dict(levels or {}), usual
        self._gains: dict[tuple[str, str, str], np.float32] = {}

    def drawn(self, number: int, rng: np.random.Generator) -> tuple[str, tuple[str, ...]]:
        """A target that case `number` has, and what it is to be made from."""
        there = self.cases[number].contrasts
        targets = self.bank.makeable(there)
        target = targets[int(rng.integers(len(targets)))]
        usable = self.bank.usable(target, there)
        subset = int(rng.integers(1, 2 ** len(usable)))
        return target, tuple(label for n, label in enumerate(usable) if subset >> n & 1)

    def sample(self, number: int, index: int, rng: np.random.Generator) -> Sample:
        """Slice `index` of case `number` with a target and sources drawn at random."""
        return self._made(number, index, rng, *self.drawn(number, rng))

    def as_they_are(self, most: int) -> Batch:
        """As many slices without random changes, from the beginning; all targets and subsets of sources in turn."""
        plain, rng = self._plain(self.cases)
        ways = [self.bank.directions(case.contrasts) for case in self.cases]
        samples = []
        for n in range(most):
            number, index = plain.place(n)
            given, target = ways[number][n % len(ways[number])]
            samples.append(plain._made(number, index, rng, target, given))
        return stacked(samples)

    def to_begin_with(self, most: int) -> Iterator[Batch]:
        """A batch for each target and subset of sources: up to `most` slices, as they are, of the cases with both."""
        for given, target in dict.fromkeys(way for case in self.cases for way in self.bank.directions(case.contrasts)):
            plain, rng = self._plain([case for case in self.cases if {target, *given} <= set(case.contrasts)])
            places = map(plain.place, range(min(most, len(plain.places))))
            yield stacked([plain._made(*place, rng, target, given) for place in places])

    def _plain(self, cases: Sequence[CachedCase]) -> tuple[BankBatches, np.random.Generator]:
        """Batches of some of the cases without random changes, of the same size."""
        as_is = dataclasses.replace(self.settings, augment=AugmentSettings(), size=self.size)
        plain = BankBatches(cases, as_is, self.seed, self.bank, self.levels, self.usual)
        plain._gains, plain.hides = self._gains, True
        return plain, np.random.default_rng(self.seed)

    def _made(self, number: int, index: int, rng: np.random.Generator, target: str, given: Sequence[str]) -> Sample:
        everything, each = SliceBatches.sample(self, number, index, rng), 2 * self.settings.neighbours + 1
        planes, there = everything.source.reshape(-1, each, *self.size), self.cases[number].contrasts
        images = dict(zip(there, planes, strict=False))
        around = dict(zip(there, map(list, np.split(planes[len(there) :], len(there))), strict=True))
        shown = {label: images[label] for label in given}
        for label in self.levels.keys() & shown.keys():
            gain = self._gain(number, label)
            shown[label] = shown[label] * gain
            around[label] = [*(gain * image for image in around[label][:-PLACES]), *around[label][-PLACES:]]
        acquired: tuple[float, ...] = ()
        if self.usual is not None:
            known = self.cases[number].acquired if self.hides or rng.random() >= _UNTOLD else {}
            acquired = told(self.usual, known, given, self.bank.sources)
        source = np.stack(self.bank.filled(shown, around, target, np.zeros_like(planes[0]), acquired))
        wanted = images[target][each // 2][None]
        if self.settings.clip_target:
            wanted = np.clip(wanted, 0, 1)
        if self.hides:  # then nothing is shifted
            wanted[..., self._held_part(number, self.centres[number][1] - self.size[1] // 2)] = np.nan
        return everything._replace(source=source.reshape(-1, *self.size), target=wanted)

    def _gain(self, number: int, label: str) -> np.float32:
        """What brings a contrast of a case to its level; read off the whole image once."""
        case, everything = self.cases[number], slice(None)
        key = case.key, case.plane, label
        if key not in self._gains:
            place = case.contrasts.index(label)
            own = signal_level(case.read_block(slice(place, place + 1), everything, everything, everything))
            self._gains[key] = np.float32(self.levels[label] / own if own > 0 else 1)
        return self._gains[key]
