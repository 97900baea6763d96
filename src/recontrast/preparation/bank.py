"""The contrasts of a translator that makes several: which it may read, which it can make, and in what order.

The network of such a translator sees, in this order, one image for each source (an absent one holds zeros), then what
lies around, if it is told that: the images of the surroundings of each source (zeros of an absent one) and the place,
as the first source that is there shows it; then for each source whether it is there (1 or 0), then for each target
whether it is the one that is wanted (1 or 0); then, if it is told that, how each source was acquired.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from recontrast.preparation.context import PLACES, channel_count
from recontrast.preparation.normalize import Scale

Array = NDArray[np.float32]


def usable(sources: Iterable[str], target: str, there: Collection[str] | None = None) -> tuple[str, ...]:
    """Sources from which a target may be made, of those that are there (None: all): never the target itself.

    >>> usable(["T1w", "T2w", "FLAIR"], "T2w", there=["FLAIR", "T2w"])
    ('FLAIR',)
    """
    return tuple(label for label in sources if label != target and (there is None or label in there))


def makeable(sources: Collection[str], targets: Iterable[str], there: Collection[str]) -> tuple[str, ...]:
    """Targets that are there together with a source they can be made from: those one can learn from.

    >>> makeable(["T1w"], ["T1w", "FLAIR"], there=["T1w", "FLAIR"])
    ('FLAIR',)
    """
    return tuple(label for label in targets if label in there and usable(sources, label, there))


@dataclass(frozen=True, kw_only=True)
class Bank:
    """Sources and targets in their fixed order.

    Example:
        >>> scale = Scale("percentile", 0.0, 1.0)
        >>> bank = Bank(sources=("T1w", "T2w"), targets={"T2w": scale, "FLAIR": scale})
        >>> bank.contrasts, bank.planes(), bank.planes(around=3)
        (('T1w', 'T2w', 'FLAIR'), 6, 15)
        >>> bank.code(["T1w"], "FLAIR")
        (1.0, 0.0, 0.0, 1.0)
    """

    sources: tuple[str, ...]
    """Contrasts it may be given, in the order of the network's channels."""

    targets: dict[str, Scale]
    """Contrasts it can make, in the order of the code, and the scale that brings each back to native units."""

    @property
    def contrasts(self) -> tuple[str, ...]:
        """All contrasts, each once: the sources, then what is only made."""
        return tuple(dict.fromkeys((*self.sources, *self.targets)))

    def planes(self, around: int = 0, acquisition: int = 0) -> int:
        """Images that the network sees of one slice.

        Args:
            around: Images of the surroundings of each source.
            acquisition: Numbers in which it is told how each source was acquired.
        """
        told = len(self.sources) * (1 + acquisition) + len(self.targets)
        return channel_count(len(self.sources), around) + told

    def filled(
        self, images: Mapping[str, Array], around: Mapping[str, Sequence[Array]], target: str, absent: Array,
        acquired: Sequence[float] = (),
    ) -> list[Array]:  # fmt: skip
        """The planes in their order.

        Args:
            images: An image for each source that is given, in this bank's order; at least one.
            around: The context of each (see `context_of_each`), all of as many images, none at all without context.
            target: The target that is wanted.
            absent: Zeros, shaped like an image.
            acquired: How the sources were acquired (`acquisition.told`); none: the network is not told.
        """
        first = next(label for label in self.sources if label in images)
        blurred = max(0, len(around[first]) - PLACES)
        planes = [images.get(label, absent) for label in self.sources]
        for label in self.sources:
            planes += list(around[label])[:blurred] if label in images else [absent] * blurred
        planes += list(around[first])[blurred:]
        code = (*self.code(images, target), *acquired)
        return [*planes, *(np.broadcast_to(np.float32(told), absent.shape) for told in code)]

    def usable(self, target: str, there: Collection[str] | None = None) -> tuple[str, ...]:
        """Its sources from which a target may be made, of those that are there (None: all)."""
        return usable(self.sources, target, there)

    def makeable(self, there: Collection[str]) -> tuple[str, ...]:
        """Its targets that one can learn from where these contrasts are there."""
        return makeable(self.sources, self.targets, there)

    def directions(self, there: Collection[str] | None = None) -> list[tuple[tuple[str, ...], str]]:
        """Everything that can be asked of these contrasts: sources that are given, and the target made of them.

        Args:
            there: Contrasts that are there, the targets among them; None: all.

        >>> scale = Scale("percentile", 0.0, 1.0)
        >>> Bank(sources=("T1w", "T2w"), targets={"T2w": scale, "FLAIR": scale}).directions()
        [(('T1w',), 'T2w'), (('T1w',), 'FLAIR'), (('T2w',), 'FLAIR'), (('T1w', 'T2w'), 'FLAIR')]
        """
        among = self.contrasts if there is None else there
        return [
            (chosen, target)
            for target in self.makeable(among)
            for size in range(1, len(self.usable(target, among)) + 1)
            for chosen in combinations(self.usable(target, among), size)
        ]

    def code(self, given: Collection[str], target: str) -> tuple[float, ...]:
        """Whether each source is given, then which target is wanted, as ones and zeros."""
        return (
            *(float(label in given) for label in self.sources),
            *(float(label == target) for label in self.targets),
        )
