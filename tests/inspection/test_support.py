"""The safe translator, its disagreement, and the area under a curve computed by hand."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from recontrast.inspection.bench import Bench
from recontrast.inspection.support import auroc, fit_safe


def test_auroc_counts_pairs() -> None:
    score = np.array([3.0, 1.0, 2.0, 2.0])
    assert auroc(score, np.array([True, False, True, False])) == pytest.approx((1 + 1 + 1 + 0.5) / 4)
    assert np.isnan(auroc(score, np.zeros(4, bool)))


@pytest.mark.slow
def test_it_agrees_with_a_table_and_disagrees_where_something_was_painted(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench("table")
    safe = fit_safe(bench.cases, bench.rng("test"))
    case = bench.cases[0]
    made = safe.predict(case.sources, case.inside, case.spacing)
    assert np.abs(made - case.synthetic)[case.inside].mean() < 0.01
    painted = case.synthetic.copy()
    painted[20:25, 25:30, 10] += 0.3
    score = safe.score(case.sources, painted, case.inside, case.spacing)
    assert np.median(score[20:25, 25:30, 10]) > 10 * np.median(score[case.inside])
