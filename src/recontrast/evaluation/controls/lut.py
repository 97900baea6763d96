"""One-to-one look-up table: for every grey value of the source the most probable value of the target."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from recontrast.evaluation.controls import CONTROLS, Control

_LEVELS = 256


@CONTROLS.register("lut")
class Lut(Control):
    """The mode of the joint histogram of the first source and the target, 256 x 256 grey values (grantjacob2021).

    Each grey value of the source becomes one value of the target, whatever tissue it belongs to.
    """

    title = "look-up table of the first source: the most probable target for each grey value"

    def fit(self, sources: NDArray[Any], target: NDArray[Any], seed: int) -> str:
        """Joint histogram between the ends of both images; grey values that do not occur take their neighbour's."""
        source = sources[:, 0].astype(np.float64)
        self._low, self._width = _ends(source)
        low, width = _ends(target.astype(np.float64))
        rows, columns = self._level(source), _level(target, low, width)
        joint = np.bincount(rows * _LEVELS + columns, minlength=_LEVELS**2).reshape(_LEVELS, _LEVELS)
        centres = low + (np.arange(_LEVELS) + 0.5) * width / _LEVELS
        filled = np.flatnonzero(joint.any(axis=1))
        nearest = filled[np.abs(np.arange(_LEVELS)[:, None] - filled[None]).argmin(axis=1)]
        self._table = centres[joint.argmax(axis=1)][nearest]
        return f"mode of a joint histogram of {_LEVELS} x {_LEVELS} grey values; {filled.size} of them occur"

    def predict(self, sources: NDArray[Any]) -> NDArray[Any]:
        """The table looked up; beyond the range of fitting its ends."""
        return np.asarray(self._table[self._level(sources[:, 0])])

    def _level(self, values: NDArray[Any]) -> NDArray[np.intp]:
        return _level(values, self._low, self._width)


def _ends(values: NDArray[Any]) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    return low, (high - low) or 1.0


def _level(values: NDArray[Any], low: float, width: float) -> NDArray[np.intp]:
    return np.clip((values.astype(np.float64) - low) * (_LEVELS / width), 0, _LEVELS - 1).astype(np.intp)
