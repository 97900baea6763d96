"""Histogram quantile map: the source's ranks with the target's histogram."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from recontrast.evaluation.controls import CONTROLS, Control

_LEVELS = 1025


@CONTROLS.register("quantile")
class Quantile(Control):
    """Each intensity of the first source becomes the target's intensity of the same quantile (monotone increasing)."""

    title = "histogram of the first source mapped onto that of the target"

    def fit(self, sources: NDArray[Any], target: NDArray[Any], seed: int) -> str:
        """Quantiles of both images over all training voxels."""
        levels = np.linspace(0, 1, _LEVELS)
        known = np.quantile(sources[:, 0], levels)
        wanted = np.quantile(target, levels)
        # Where many voxels share one source intensity, its quantiles coincide: their middle is what it becomes.
        self._source, group = np.unique(known, return_inverse=True)
        self._target = np.bincount(group, wanted) / np.bincount(group)
        return f"{_LEVELS} quantiles of the first source onto those of the target"

    def predict(self, sources: NDArray[Any]) -> NDArray[Any]:
        """The map applied to the first source; beyond the training range the end values."""
        return np.interp(sources[:, 0], self._source, self._target)
