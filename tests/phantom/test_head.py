"""The template head: is everything where it should be?"""

from __future__ import annotations

import numpy as np
import pytest

from recontrast.phantom.anatomy import Head
from recontrast.phantom.head import mni_head


@pytest.fixture(scope="module")
def head() -> Head:
    return mni_head(2.0)


def share(head: Head, name: str, x: float, y: float, z: float) -> float:
    index = tuple(round((p - o) / s) for p, o, s in zip((x, y, z), head.grid.origin, head.grid.spacing, strict=True))
    return float(head.fractions[(head.tissues.index(name), *index)]) / 255


LANDMARKS = [
    ("WM", (28, -30, 26)), ("WM", (-28, -30, 26)), ("WM", (0, 28, 6)), ("CSF", (6, 10, 8)), ("deepGM", (-11, -19, 8)),
    ("deepGM", (26, 4, 2)), ("pallidum", (19, -4, 0)), ("eyes", (31, 70, -40)), ("eyes", (-31, 70, -40)),
    ("lens", (31, 78, -40)), ("fat", (30, 44, -40)), ("nerve", (0, -46, -100)), ("vessels", (0, -22, -32)),
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("tissue", "place"), LANDMARKS)
def test_landmarks(head, tissue, place):
    assert share(head, tissue, *place) > 0.5


def test_shares_never_exceed_one_and_corners_are_air(head):
    total = head.fractions.sum(axis=0, dtype=np.int64)
    assert total.max() <= 258
    assert total[0, 0, -1] == 0
    assert total[-1, -1, -1] == 0


def test_layers_follow_each_other_outwards_at_the_vertex(head):
    column = head.fractions[:, round(40 / 2) + 52, round(138 / 2), :]
    names = np.array(("air", *head.tissues))
    stack = np.vstack([255 - column.sum(axis=0, dtype=np.int64), column])
    order = list(dict.fromkeys(names[stack.argmax(axis=0)][round(138 / 2) :]))
    outside = order[-5:] if "marrow" in order else order[-4:]
    assert outside[-1] == "air"
    assert order.index("skull") < order.index("fat") < order.index("air")


def test_airways_hold_air_between_tissue(head):
    total = head.fractions.sum(axis=0, dtype=np.int64)
    for x, y, z in ((29, 54, -70), (-29, 54, -70), (-29, 54, -72)):
        index = tuple(round((p - o) / 2) for p, o in zip((x, y, z), head.grid.origin, strict=True))
        assert total[index] < 40


def test_volumes_are_those_of_an_adult(head):
    voxel_ml = 2.0**3 / 1000 * 0.93**3
    ml = {name: head.fractions[i].sum(dtype=np.float64) / 255 * voxel_ml for i, name in enumerate(head.tissues)}
    assert 450 < ml["GM"] < 850
    assert 350 < ml["WM"] < 650
    assert 9 < ml["eyes"] < 16
    ventricles = head.ventricles.sum(dtype=np.float64) / 255 * voxel_ml
    assert 8 < ventricles < 40


def test_the_second_call_returns_the_same_head(head):
    assert mni_head(2.0) is head
