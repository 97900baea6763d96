"""Inside a network that is known."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from recontrast.inspection import NotAsked
from recontrast.inspection.bench import Bench
from recontrast.inspection.questions.filters import Filters, occlusion
from recontrast.models.unet import UNet


def test_a_network_that_sees_four_voxels_far_changes_only_beside_the_square(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench("blur", cases=1)
    far = occlusion(bench, bench.cases[0], 10, patches=4)
    assert far.shape == (4, 4)
    assert far.max() > 0
    table = make_bench("table", cases=1)
    assert occlusion(table, table.cases[0], 10, patches=4).max() == pytest.approx(0, abs=1e-6)


def test_both_convolutions_are_needed(make_bench: Callable[..., Bench]) -> None:
    answer = Filters().ask(make_bench("blur", cases=1))
    costs = [f.value for f in answer.findings if f.name.startswith("change without")]
    assert len(costs) == 2
    assert min(costs) > 0.01
    assert np.isfinite(answer.findings[0].value)


def test_a_network_that_overwrites_its_features_is_looked_into(make_bench: Callable[..., Bench]) -> None:
    answer = Filters().ask(make_bench(UNet(width=4, depth=1), cases=1))
    assert sum(f.name.startswith("change without") for f in answer.findings) > 2


def test_a_network_without_convolutions_is_not_asked(make_bench: Callable[..., Bench]) -> None:
    with pytest.raises(NotAsked, match="no two-dimensional convolution"):
        Filters().ask(make_bench("table", cases=1))
