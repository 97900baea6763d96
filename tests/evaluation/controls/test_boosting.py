from __future__ import annotations

import numpy as np

from recontrast.evaluation.controls.boosting import Boosting


def test_learns_what_no_polynomial_does(rng: np.random.Generator) -> None:
    sources = rng.random((20000, 2)).astype(np.float32)
    target = ((sources[:, 0] > 0.5) ^ (sources[:, 1] > 0.3)).astype(np.float32)
    control = Boosting()
    control.fit(sources, target, 0)
    assert np.sqrt(np.mean((control.predict(sources) - target) ** 2)) < 0.15


def test_the_table_and_the_trees_agree(rng: np.random.Generator) -> None:
    sources = rng.random((4000, 2)).astype(np.float32)
    control = Boosting()
    control.fit(sources, sources.sum(axis=1), 0)
    by_table = control.predict(sources)
    assert control._table is not None
    control._table = None
    assert np.array_equal(by_table, control.predict(sources))
