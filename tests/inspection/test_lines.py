"""Lines drawn and laid; what is read along them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest

from recontrast.errors import ConfigError
from recontrast.inspection.bench import Bench
from recontrast.inspection.lines import Line, compare_along, lines_of, parse_line, profile


def test_a_line_is_read_and_nonsense_is_refused() -> None:
    assert parse_line("sub-01_ses-2:1,2,3:4.5,2,3") == Line("sub-01_ses-2", (1.0, 2.0, 3.0), (4.5, 2.0, 3.0))
    for text in ("", "sub-01", "sub-01:1,2,3", "sub-01:1,2:3,4", "sub-01:1,2,3:1,2,3", "sub-01:1,2,x:3,4,5",
                 ":1,2,3:4,5,6", "sub-01:1,2,nan:1,2,3"):  # fmt: skip
        with pytest.raises(ConfigError, match="write CASE:I,J,K:I,J,K"):
            parse_line(text)


def test_a_profile_is_in_millimetres() -> None:
    ramp = np.arange(10, dtype=np.float32)[:, None, None] * np.ones((10, 4, 4), np.float32)
    along, values = profile(ramp, Line("a", (1, 2, 2), (5, 2, 2)), (2.0, 1.0, 1.0))
    assert along[-1] == 8.0
    assert values == pytest.approx(1 + along / 2)


def test_without_a_drawn_line_two_go_through_the_brain(make_bench: Callable[..., Bench]) -> None:
    case = make_bench(cases=1).cases[0]
    first, second = lines_of(case, [parse_line("sub-other:1,1,1:2,2,2")])
    assert first.start[1:] == first.end[1:]
    assert (second.start[0], second.start[2]) == (second.end[0], second.end[2])
    own = parse_line("sub-0:5,5,5:9,9,5")
    assert lines_of(case, [own]) == [own]
    with pytest.raises(ConfigError, match="leaves the image of 48 x 56 x 20"):
        lines_of(case, [parse_line("sub-0:5,5,5:9,9,50")])


def test_the_acquired_image_agrees_with_itself(make_bench: Callable[..., Bench]) -> None:
    case = make_bench(cases=1).cases[0]
    assert case.reference is not None
    same = dataclasses.replace(case, synthetic=case.reference)
    findings, plate = compare_along(same, lines_of(same, []), "FLAIR")
    assert [f.value for f in findings if f.name.startswith("correlation")] == pytest.approx([1.0, 1.0])
    assert [f.value for f in findings if f.unit] == pytest.approx([0.0, 0.0])
    assert plate is not None
    assert compare_along(dataclasses.replace(case, reference=None), lines_of(case, []), "FLAIR") == ([], None)
