"""Gradient-boosted trees on all sources, voxel by voxel: the control to beat on real heads."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from recontrast.evaluation.controls import CONTROLS, Control

_TREES = 150
_LEAVES = 31
_VOXELS_IN_LEAF = 50
_BINS = 255  # as many as histogram boosting can tell apart
_LARGEST_TABLE = _BINS**2


@CONTROLS.register("boosting")
class Boosting(Control):
    """Histogram gradient boosting (scikit-learn) on all sources, squared error.

    Intensities are sorted into 255 bins of equal counts first, as the trees would do themselves; with one or two
    sources all combinations of bins then fit into a table, and a head costs no more than looking it up.
    """

    title = "voxel-wise gradient boosting on all sources"

    def fit(self, sources: NDArray[Any], target: NDArray[Any], seed: int) -> str:
        """Fixed number of trees: early stopping would split by voxel, not by subject."""
        from sklearn.ensemble import HistGradientBoostingRegressor  # a second, for whoever boosts

        levels = np.linspace(0, 1, _BINS + 1)[1:-1]
        self._edges = [np.unique(np.quantile(column, levels)).astype(np.float32) for column in sources.T]
        self._sizes = tuple(edges.size + 1 for edges in self._edges)
        model = HistGradientBoostingRegressor(
            max_iter=_TREES,
            max_leaf_nodes=_LEAVES,
            min_samples_leaf=_VOXELS_IN_LEAF,
            early_stopping=False,
            random_state=seed,
        )
        with _one_thread():
            model.fit(self._bins(sources), target)
        # The table alone is kept where there is one: worker processes that get it need not import scikit-learn.
        self._fitted: Any = model
        if np.prod(self._sizes) <= _LARGEST_TABLE:
            everything = np.stack(np.unravel_index(np.arange(np.prod(self._sizes)), self._sizes), axis=1)
            self._fitted = _sum_of_trees(model, everything.astype(np.float32))
        return f"{_TREES} trees of at most {_LEAVES} leaves on {sources.shape[1]} source(s) in {_BINS} bins"

    def predict(self, sources: NDArray[Any]) -> NDArray[Any]:
        """Sum of the trees."""
        bins = self._bins(sources)
        if isinstance(self._fitted, np.ndarray):
            return np.asarray(self._fitted[np.ravel_multi_index(tuple(bins.T.astype(np.intp)), self._sizes)])
        return _sum_of_trees(self._fitted, bins)

    def _bins(self, sources: NDArray[Any]) -> NDArray[np.float32]:
        columns = [
            np.searchsorted(edges, column, side="right")
            for edges, column in zip(self._edges, sources.T.astype(np.float32), strict=True)
        ]
        return np.stack(columns, axis=1).astype(np.float32)


def _sum_of_trees(model: Any, bins: NDArray[np.float32]) -> NDArray[Any]:
    with _one_thread():
        return np.asarray(model.predict(bins))


def _one_thread() -> threadpool_limits:
    """Trees this small wait for each other more than they compute: one thread is quicker where the machine is busy."""
    return threadpool_limits(limits=1)
