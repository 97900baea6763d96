from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from recontrast.translation.slices import AXES, SliceStack, from_ras, ras_spacing, to_ras
from recontrast.volume import Volume


@pytest.mark.parametrize(("plane", "shape"), [("axial", (20, 24)), ("coronal", (20, 18)), ("sagittal", (24, 18))])
def test_slices_show_their_two_axes_in_order(
    make_volume: Callable[..., Volume], plane: str, shape: tuple[int, int]
) -> None:
    data = make_volume().data
    stack = SliceStack([data], plane)
    batch = stack.batch([2, 5])
    assert batch.shape == (2, 1, *shape)
    assert np.array_equal(batch[1, 0], np.take(data, 5, axis=AXES[plane]))


def test_channels_are_sources_then_neighbours_and_edges_repeat(rng: np.random.Generator) -> None:
    first, second = rng.random((2, 4, 5, 6), dtype=np.float32)
    batch = SliceStack([first, second], "axial", neighbours=1).batch([0, 3])
    assert batch.shape == (2, 6, 4, 5)
    assert np.array_equal(batch[0, 0], first[..., 0])
    assert np.array_equal(batch[0, 2], first[..., 1])
    assert np.array_equal(batch[1, 3], second[..., 2])
    assert np.array_equal(batch[1, 4], second[..., 3])


def test_slices_without_signal_are_found_whatever_the_background_is(rng: np.random.Generator) -> None:
    data = np.full((4, 5, 6), -0.7, np.float32)
    data[1, 2, 3] = 1.0
    assert SliceStack([data], "axial").with_signal() == [3]
    assert SliceStack([data], "axial", neighbours=1).with_signal() == [2, 3, 4]
    other = np.zeros_like(data)
    other[0, 0, 0] = 0.5
    assert SliceStack([data, other], "axial").with_signal() == [0, 3]


def test_ras_and_back_is_exact_and_spacing_follows_the_axes(make_volume: Callable[..., Volume]) -> None:
    for orientation in ("LPS", "SRA", "PIL"):
        volume = make_volume().reoriented(orientation)
        back = from_ras(to_ras(volume), volume)
        assert np.array_equal(back.data, volume.data)
        assert back.affine is volume.affine
        assert ras_spacing(volume) == pytest.approx((1.0, 1.5, 3.0))


def test_an_oblique_grid_at_45_degrees_comes_back_to_itself(rng: np.random.Generator) -> None:
    a = np.deg2rad(45)
    affine = np.eye(4)
    affine[:2, :2] = [[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]]
    for sign in (1.0, -1.0):
        volume = Volume(rng.random((4, 5, 6), dtype=np.float32), affine @ np.diag([sign, 1, 1, 1]))
        assert np.array_equal(from_ras(to_ras(volume), volume).data, volume.data)


def test_further_channels_come_last_and_show_nothing_by_themselves(rng: np.random.Generator) -> None:
    data, further = np.zeros((4, 5, 6), np.float32), rng.random((4, 5, 6), dtype=np.float32)
    data[1, 2, 3] = 1.0
    stack = SliceStack([data], "axial", 1, [further])
    assert stack.with_signal() == [2, 3, 4]
    batch = stack.batch([3])
    assert batch.shape == (1, 6, 4, 5)
    assert np.array_equal(batch[0, 4], further[..., 3])
