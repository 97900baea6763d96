"""Gradient-boosted trees on all sources, voxel by voxel: the control to beat on real heads."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingRegressor

from recontrast.evaluation.controls import CONTROLS, Control

_TREES = 150
_LEAVES = 31
_VOXELS_IN_LEAF = 50


@CONTROLS.register("boosting")
class Boosting(Control):
    """Histogram gradient boosting (scikit-learn) on all sources, squared error."""

    title = "voxel-wise gradient boosting on all sources"

    def fit(self, sources: NDArray[Any], target: NDArray[Any], seed: int) -> str:
        """Fixed number of trees: early stopping would split by voxel, not by subject."""
        self._model = HistGradientBoostingRegressor(
            max_iter=_TREES,
            max_leaf_nodes=_LEAVES,
            min_samples_leaf=_VOXELS_IN_LEAF,
            early_stopping=False,
            random_state=seed,
        )
        self._model.fit(sources, target)
        return f"{_TREES} trees of at most {_LEAVES} leaves on {sources.shape[1]} source(s)"

    def predict(self, sources: NDArray[Any]) -> NDArray[Any]:
        """Sum of the trees."""
        return self._model.predict(sources)
