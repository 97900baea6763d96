"""The contrasts of a translator that makes several: which it may read, which it can make, and in what order.

The network of such a translator sees, in this order, one image for each source (an absent one holds zeros), then for
each source whether it is there (1 or 0), then for each target whether it is the one that is wanted (1 or 0).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from recontrast.preparation.normalize import Scale


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
        >>> bank.contrasts, bank.planes
        (('T1w', 'T2w', 'FLAIR'), 6)
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

    @property
    def planes(self) -> int:
        """Images that the network sees of one slice: sources, whether each is there, which target is wanted."""
        return 2 * len(self.sources) + len(self.targets)

    def usable(self, target: str, there: Collection[str] | None = None) -> tuple[str, ...]:
        """Its sources from which a target may be made, of those that are there (None: all)."""
        return usable(self.sources, target, there)

    def makeable(self, there: Collection[str]) -> tuple[str, ...]:
        """Its targets that one can learn from where these contrasts are there."""
        return makeable(self.sources, self.targets, there)

    def code(self, given: Collection[str], target: str) -> tuple[float, ...]:
        """Whether each source is given, then which target is wanted, as ones and zeros."""
        return (
            *(float(label in given) for label in self.sources),
            *(float(label == target) for label in self.targets),
        )
