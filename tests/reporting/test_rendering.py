"""A volume is seen the right way round, and what is in front hides what is behind."""

from __future__ import annotations

import numpy as np
import pytest

from recontrast.reporting.rendering import render_volume


def with_spot(place: tuple[slice, slice, slice]) -> tuple[np.ndarray, np.ndarray]:
    opacity = np.zeros((30, 30, 30), np.float32)
    opacity[8:22, 8:22, 8:22] = 1
    image = 0.2 * opacity
    image[place] = 1.0
    return image, opacity


@pytest.mark.slow
@pytest.mark.parametrize(
    ("place", "row", "column"),
    [
        ((slice(19, 22), slice(19, 22), slice(13, 17)), 0, -1),  # right and anterior: on the left of the page
        ((slice(8, 11), slice(19, 22), slice(13, 17)), 0, 1),
        ((slice(13, 17), slice(19, 22), slice(19, 22)), -1, 0),  # superior and anterior: above
        ((slice(13, 17), slice(19, 22), slice(8, 11)), 1, 0),
    ],
    ids=["right", "left", "superior", "inferior"],
)
def test_seen_from_the_front_right_is_left_and_superior_is_up(
    place: tuple[slice, slice, slice], row: int, column: int
) -> None:
    image, opacity = with_spot(place)
    picture = render_volume(image, opacity, (2.0, 2.0, 2.0), 0.0, 0.0)
    plain = render_volume(0.2 * opacity, opacity, (2.0, 2.0, 2.0), 0.0, 0.0)
    where = np.argwhere(np.abs(picture - plain) > 0.1).mean(axis=0) - (len(picture) - 1) / 2
    assert np.sign(np.round(where / 10)).tolist() == [row, column]


@pytest.mark.slow
def test_what_lies_behind_is_hidden() -> None:
    image, opacity = with_spot((slice(13, 17), slice(8, 11), slice(13, 17)))
    plain = render_volume(0.2 * opacity, opacity, (2.0, 2.0, 2.0), 0.0, 0.0)
    front = render_volume(image, opacity, (2.0, 2.0, 2.0), 0.0, 0.0)
    back = render_volume(image, opacity, (2.0, 2.0, 2.0), 180.0, 0.0)
    assert np.abs(front - plain).max() < 1e-4
    assert np.abs(back - render_volume(0.2 * opacity, opacity, (2.0, 2.0, 2.0), 180.0, 0.0)).max() > 0.3


@pytest.mark.slow
def test_air_is_white() -> None:
    nothing = np.zeros((8, 8, 8), np.float32)
    assert np.array_equal(render_volume(nothing, nothing, (1, 1, 1)), np.ones((144, 144), np.float32))
