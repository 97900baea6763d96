"""One gain and one offset for the whole image."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from recontrast.evaluation.controls import CONTROLS, Control


@CONTROLS.register("affine")
class Affine(Control):
    """target = gain × first source + offset, by least squares: contrast inversion and brightness, nothing else."""

    title = "global gain and offset of the first source"

    def fit(self, sources: NDArray[Any], target: NDArray[Any], seed: int) -> str:
        """Least squares over all training voxels."""
        source, wanted = sources[:, 0].astype(np.float64), target.astype(np.float64)
        spread = source.var()
        self._gain = float(np.mean((source - source.mean()) * (wanted - wanted.mean())) / spread) if spread else 0.0
        self._offset = float(wanted.mean() - self._gain * source.mean())
        return f"target = {self._gain:.4g} x first source + {self._offset:.4g}"

    def predict(self, sources: NDArray[Any]) -> NDArray[Any]:
        """Gain and offset applied to the first source."""
        return self._gain * sources[:, 0] + self._offset
