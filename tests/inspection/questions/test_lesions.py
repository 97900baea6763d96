"""A translator that passes lesions shows them, a blind one does not."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest

from recontrast.inspection import BAD, NotAsked
from recontrast.inspection.bench import Bench
from recontrast.inspection.questions import lesions
from recontrast.inspection.questions.lesions import Lesions, detection_limit


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lesions, "SIZES_MM", (3.0, 8.0))
    monkeypatch.setattr(lesions, "GRADES", (1.0,))
    monkeypatch.setattr(lesions, "NULL_PLACES", 20)


def test_the_limit_is_the_size_from_which_on_all_are_found() -> None:
    assert detection_limit([2, 3, 5, 8], [0.0, 0.9, 0.5, 0.8]) == 8
    assert detection_limit([2, 3], [0.8, 1.0]) == 2
    assert detection_limit([2, 3], [1.0, 0.7]) == np.inf
    assert detection_limit([2], [float("nan")]) == np.inf


def test_what_passes_survives(make_bench: Callable[..., Bench]) -> None:
    answer = Lesions().ask(make_bench("table", cases=1))
    assert 60 < answer.findings[0].value < 160  # the table is not the scanner's curve, but near it
    limits = [f.value for f in answer.findings if f.name == "80 % detection limit, MS"]
    assert limits[0] <= 8
    assert len(answer.plates) == 2
    # One case only: everything is planted twice.
    notes = {f.note for f in answer.findings if f.name == "80 % detection limit, MS"}
    assert notes == {"contrast 1; 4 lesions a size"}


def test_what_is_blind_shows_nothing(make_bench: Callable[..., Bench]) -> None:
    answer = Lesions().ask(make_bench("blind", cases=1))
    assert answer.findings[0].value == pytest.approx(0, abs=1e-3)
    assert answer.tone == BAD
    assert "MS at no size up to" in answer.sentence


def test_a_contrast_without_physics_is_not_asked(make_bench: Callable[..., Bench]) -> None:
    with pytest.raises(NotAsked, match="cannot make"):
        Lesions().ask(dataclasses.replace(make_bench(cases=1), target="dwi"))
