"""The map finds what was planted; what cannot be planted is not asked."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest

from recontrast.inspection import GOOD, NotAsked
from recontrast.inspection.bench import Bench
from recontrast.inspection.questions.support import Support


@pytest.mark.slow
def test_inventions_and_erasures_of_every_kind_are_found(make_bench: Callable[..., Bench]) -> None:
    answer = Support().ask(make_bench("table", cases=1))
    areas = {f.name: f.value for f in answer.findings if f.name.startswith("AUROC for planted")}
    assert len(areas) == 6
    assert min(areas.values()) > 0.8
    assert [(image.case, image.name, image.values.shape) for image in answer.maps] == [
        ("sub-0", "support", (48, 56, 20))
    ]
    assert answer.tone == GOOD


@pytest.mark.slow
def test_images_of_anybody_have_a_map_too(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench("table", cases=1, images_only=True, reference=False)
    assert Support().ask(bench).plates
    with pytest.raises(NotAsked):
        Support().ask(dataclasses.replace(bench, source_labels=("dwi",)))
