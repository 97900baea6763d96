"""The signal equation applied to maps of T1, T2 and proton density."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from recontrast.evaluation.controls import CONTROLS, Control


@CONTROLS.register("bloch")
class Bloch(Control):
    """target = gain x signal of the target's sequence, computed from maps; only the gain is fitted.

    Its one source is that signal (`evaluation.bloch`), for cases that have maps beside the reference.
    """

    title = "signal equation of the target's sequence on T1, T2 and PD maps, times a fitted gain"
    from_maps = True

    def fit(self, sources: NDArray[Any], target: NDArray[Any], seed: int) -> str:
        """Least squares through zero."""
        signal, wanted = sources[:, 0].astype(np.float64), target.astype(np.float64)
        energy = float(np.mean(signal**2))
        self._gain = float(np.mean(signal * wanted)) / energy if energy else 0.0
        return f"target = {self._gain:.4g} x signal"

    def predict(self, sources: NDArray[Any]) -> NDArray[Any]:
        """The signal times the gain."""
        return self._gain * sources[:, 0]
