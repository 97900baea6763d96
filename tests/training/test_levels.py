"""Sources of all cases at one level."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from recontrast.io.nifti import read_volume
from recontrast.preparation.cohort import read_cohort
from recontrast.preparation.level import signal_level
from recontrast.preparation.normalize import Scale
from recontrast.training.levels import at_source_levels, source_levels

MakePrepared = Callable[..., Path]


def test_sources_come_to_the_median_level_and_the_target_stays(make_prepared: MakePrepared) -> None:
    cases = read_cohort(make_prepared()).split("train")
    brighter = Scale("percentile", 0.0, cases[1].scales["T1w"].factor / 2)
    cases = (cases[0], type(cases[1])(**{**vars(cases[1]), "scales": {**cases[1].scales, "T1w": brighter}}))
    levels = source_levels(cases, ["T1w"])
    assert set(levels) == {"T1w"}
    levelled = at_source_levels(cases, levels)
    for case, before in zip(levelled, cases, strict=True):
        scaled = case.scales["T1w"].apply(read_volume(case.images["T1w"]).data)
        assert signal_level(scaled) == pytest.approx(levels["T1w"], rel=1e-5)
        assert case.scales["T2w"] == before.scales["T2w"]


def test_scales_that_move_zero_are_left_alone(make_prepared: MakePrepared) -> None:
    case = read_cohort(make_prepared()).split("train")[0]
    moved = type(case)(**{**vars(case), "scales": {**case.scales, "T1w": Scale("zscore", 300.0, 100.0)}})
    assert source_levels([moved], ["T1w", "absent"]) == {}
    assert at_source_levels([moved], {}) == (moved,)
