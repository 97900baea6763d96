"""Each map shows what it is named after, and is absent without its material."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from recontrast.inspection.bench import Bench, Companion
from recontrast.inspection.disagreement import (
    cycle_difference,
    disagreements,
    dropout_spread,
    ensemble_spread,
    variant_spread,
)
from recontrast.models.unet import UNet
from recontrast.preparation.level import signal_level
from recontrast.preparation.normalize import Scale
from recontrast.translation.engines.choice import EngineSettings
from recontrast.translation.translator import Member, Translator, TranslatorDescription


class Plus(nn.Module):
    def __init__(self, offset: float) -> None:
        super().__init__()
        self.offset = offset

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x[:, :1] + self.offset


def companion(network: nn.Module, source: str, target: str, role: str, **changes: Any) -> Companion:
    about = TranslatorDescription(
        preset="toy", sources=(source,), target=target, model=Member(name="toy"), recipe=Member(name="toy"),
        target_scale=Scale("percentile", 0.0, 100.0), spacing_mm=(2.0, 2.0, 2.0), clip_output=False, **changes,
    )  # fmt: skip
    translator = Translator(network.eval(), about, EngineSettings(engine="torch", precision="fp32"))
    return Companion("other", role, translator)  # type: ignore[arg-type]


def test_a_symmetric_network_has_no_spread_under_flips(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench("table", cases=1)
    assert variant_spread(bench, bench.cases[0])[4:-4, 4:-4].max() < 1e-5


def test_an_ensemble_spreads_by_what_its_members_differ(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench("identity", cases=1)
    case = bench.cases[0]
    assert ensemble_spread(bench, case) is None
    beside = dataclasses.replace(bench, companions=(companion(Plus(0.2), "T1w", "FLAIR", "ensemble"),))
    found = ensemble_spread(beside, case)
    assert found is not None
    assert found[case.inside] == pytest.approx(0.1, abs=1e-6)  # standard deviation of 0 and 0.2


def test_the_way_back_shows_what_was_painted_in(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench("identity", cases=1)
    case = bench.cases[0]
    assert cycle_difference(bench, case, case.synthetic) is None
    both = dataclasses.replace(bench, companions=(companion(Plus(0.0), "FLAIR", "T1w", "back"),))
    painted = case.synthetic.copy()
    painted[20:24, 20:24, 10] += 0.3
    found = cycle_difference(both, case, painted)
    assert found is not None
    assert found[20:24, 20:24, 10] == pytest.approx(0.3, abs=1e-6)
    found[20:24, 20:24, 10] = 0
    assert found.max() < 1e-6


def test_dropout_spreads_where_there_is_any_and_is_put_back(make_bench: Callable[..., Bench]) -> None:
    plain = make_bench(UNet(width=2, depth=1), cases=1)
    assert dropout_spread(plain, plain.cases[0], 2) is None
    torch.manual_seed(0)
    bench = make_bench(UNet(width=4, depth=1, dropout=[0.5, 0.5]), cases=1)
    before = torch.random.get_rng_state()
    first, second = (dropout_spread(bench, bench.cases[0], 2) for _ in range(2))
    assert first is not None
    assert second is not None
    assert np.array_equal(first, second)
    assert first.max() > 1e-3
    assert torch.equal(torch.random.get_rng_state(), before)
    assert not any(module.training for module in bench.require_translator().network.modules())


def test_what_there_is_material_for_is_named(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench("table", cases=1)
    assert list(disagreements(bench, bench.cases[0], bench.cases[0].synthetic)) == ["test-time variants"]


def test_companions_see_sources_at_their_own_level(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench("identity", cases=1)
    case = bench.cases[0]
    level = signal_level(case.sources["T1w"])
    bright = {"T1w": 2 * case.sources["T1w"]}  # as this translator wants them
    case = dataclasses.replace(case, sources=bright, synthetic=case.sources["T1w"], own=case.sources)
    for levels in ({}, {"T1w": level}):
        other = companion(Plus(0.0), "T1w", "FLAIR", "ensemble", source_levels=levels)
        found = ensemble_spread(dataclasses.replace(bench, companions=(other,)), case)
        assert found is not None
        assert found.max() < 1e-6
    back = companion(Plus(0.0), "FLAIR", "T1w", "back", source_levels={"FLAIR": level})
    found = cycle_difference(dataclasses.replace(bench, companions=(back,)), case, 3 * case.synthetic)
    assert found is not None
    assert found.max() < 1e-5


def test_dropout_of_a_translator_that_sees_around_a_slice(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench("table", shape=(24, 28, 6), cases=1)
    translator = bench.require_translator()
    about = dataclasses.replace(translator.description, context_voxels=((2.0, 2.0, 1.0),))
    network = UNet(in_channels=about.channels, width=2, depth=1, dropout=[0.5, 0.5]).eval()
    around = dataclasses.replace(bench, translator=Translator(network, about, translator.settings))
    assert dropout_spread(around, bench.cases[0], 2) is not None
