"""A polynomial of all sources, voxel by voxel."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from recontrast.evaluation.controls import CONTROLS, Control

_DEGREE = 3
_PENALTY = 1.0


@CONTROLS.register("ridge")
class Ridge(Control):
    """Ridge regression on the polynomial features of all sources up to degree three."""

    title = "voxel-wise ridge regression on a cubic polynomial of all sources"

    def fit(self, sources: NDArray[Any], target: NDArray[Any], seed: int) -> str:
        """Closed form; features standardised, penalty 1."""
        from sklearn.linear_model import Ridge as RidgeRegression  # two seconds, for every process that scores
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import PolynomialFeatures, StandardScaler

        self._model = make_pipeline(
            PolynomialFeatures(_DEGREE, include_bias=False), StandardScaler(), RidgeRegression(alpha=_PENALTY)
        )
        self._model.fit(sources, target)
        self._range = float(target.min()), float(target.max())
        return f"polynomial of degree {_DEGREE} in {sources.shape[1]} source(s), penalty {_PENALTY:g}"

    def predict(self, sources: NDArray[Any]) -> NDArray[Any]:
        """The polynomial, kept within the range of the training targets: beyond its sources it runs away."""
        return np.clip(self._model.predict(sources), *self._range)
