from __future__ import annotations

import pickle

import numpy as np
import pytest

from recontrast.evaluation.controls import boosting
from recontrast.evaluation.controls.boosting import Boosting


def test_learns_what_no_polynomial_does(rng: np.random.Generator) -> None:
    sources = rng.random((20000, 2)).astype(np.float32)
    target = ((sources[:, 0] > 0.5) ^ (sources[:, 1] > 0.3)).astype(np.float32)
    control = Boosting()
    control.fit(sources, target, 0)
    assert np.sqrt(np.mean((control.predict(sources) - target) ** 2)) < 0.15


@pytest.mark.slow
def test_the_table_and_the_trees_agree(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    sources = rng.random((4000, 2)).astype(np.float32)
    by_table, by_trees = Boosting(), Boosting()
    by_table.fit(sources, sources.sum(axis=1), 0)
    monkeypatch.setattr(boosting, "_LARGEST_TABLE", 0)
    by_trees.fit(sources, sources.sum(axis=1), 0)
    assert b"sklearn" not in pickle.dumps(by_table)
    assert b"sklearn" in pickle.dumps(by_trees)
    assert np.array_equal(by_table.predict(sources), by_trees.predict(sources))
