"""The map finds what was planted; what cannot be planted is not asked."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest

from recontrast.inspection import BAD, GOOD, NotAsked
from recontrast.inspection.bench import Bench
from recontrast.inspection.questions.support import Support, painted_in_the_dark


@pytest.mark.slow
def test_inventions_and_erasures_of_every_kind_are_found(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench("table", cases=1)
    case = bench.cases[0]
    black = dataclasses.replace(case, synthetic=case.synthetic * case.regions["head"])
    answer = Support().ask(dataclasses.replace(bench, cases=(black,)))
    areas = {f.name: f.value for f in answer.findings if f.name.startswith("AUROC for planted")}
    assert len(areas) == 6
    assert min(areas.values()) > 0.8
    assert [(image.case, image.name, image.values.shape) for image in answer.maps] == [
        ("sub-0", "support", (48, 56, 20))
    ]
    assert answer.tone == GOOD
    (real,) = [f.value for f in answer.findings if f.name == "AUROC for the largest 5 % of real errors, support score"]
    assert answer.sentence.endswith(
        f"; for the largest 5 % of real errors it is {real:.2f} (chance: 0.50)."
    )  # black outside


@pytest.mark.slow
def test_images_of_anybody_have_a_map_too(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench("table", cases=1, images_only=True, reference=False)
    answer = Support().ask(bench)
    assert "outside the head, where no source has signal, it paints up to " in answer.sentence
    assert answer.tone == BAD
    assert [plate.name for plate in answer.plates] == ["map", "cases", "dark"]
    with pytest.raises(NotAsked):
        Support().ask(dataclasses.replace(bench, source_labels=("dwi",)))


def test_what_is_painted_outside_the_head_is_counted(make_bench: Callable[..., Bench]) -> None:
    case = make_bench("identity", cases=1).cases[0]
    outside = ~case.regions["head"] & (case.sources["T1w"] == 0)
    where, away = painted_in_the_dark(case, "FLAIR") or (np.zeros(0, bool), np.zeros(0))
    assert 0.5 * outside.sum() < len(where) < outside.sum()
    assert not where.any()
    assert not away.any()
    ghost = case.synthetic.copy()
    ghost[0, 0, :] = 0.7
    where, away = painted_in_the_dark(dataclasses.replace(case, synthetic=ghost), "FLAIR") or (where, away)
    assert where.sum() == case.shape[2]
    assert away.max() == pytest.approx(0.7)
    air = {"T1w": case.sources["T1w"] + np.float32(0.01)}
    assert painted_in_the_dark(dataclasses.replace(case, sources=air), "FLAIR") is None
