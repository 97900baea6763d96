"""Controls: trivial ways to make the target, scored beside every translator. One file per control.

A translator that is not better than these has learned nothing worth having. Controls see scaled intensities of single
voxels and know nothing of neighbourhood or anatomy. Those that learn do so on training subjects only.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from numpy.typing import NDArray

from recontrast.registry import Registry


class Control(ABC):
    """Makes target intensities from source intensities, voxel by voxel, on the protocol's scale.

    Attributes:
        title: What it is, in words, for tables and reports.
        learns: Whether it needs training subjects.
        anywhere: Whether it is applied to the background too; the others give 0 there.
        oracle: Whether it is fitted on the test image itself: it knows the answer and is not a method.
        from_maps: Whether its source is the signal computed from T1, T2 and PD maps, not the translator's sources.
    """

    title: ClassVar[str]
    learns: ClassVar[bool] = True
    anywhere: ClassVar[bool] = False
    oracle: ClassVar[bool] = False
    from_maps: ClassVar[bool] = False

    @abstractmethod
    def fit(self, sources: NDArray[Any], target: NDArray[Any], seed: int) -> str:
        """Learn from training voxels.

        Args:
            sources: Source intensities, shape (voxels, sources).
            target: Target intensities, shape (voxels,).
            seed: Seed for those that draw random numbers.

        Returns:
            The fit in words, for `evaluation.json`.
        """

    @abstractmethod
    def predict(self, sources: NDArray[Any]) -> NDArray[Any]:
        """Target intensities, shape (voxels,), from source intensities, shape (voxels, sources)."""


CONTROLS: Registry[type[Control]] = Registry("control", "recontrast.evaluation.controls")


def is_oracle(name: str) -> bool:
    """Whether a control is fitted on the very image it is judged on, so that it is no method to beat.

    Example:
        >>> is_oracle("lut"), is_oracle("lut-oracle"), is_oracle("no control of ours")
        (False, True, False)
    """
    return name in CONTROLS.names() and CONTROLS.get(name).oracle


def in_words(name: str) -> str:
    """Name of a control for sentences: an oracle is called one.

    Example:
        >>> in_words("lut-oracle")
        'the oracle lut-oracle'
    """
    return f"the oracle {name}" if is_oracle(name) else name
