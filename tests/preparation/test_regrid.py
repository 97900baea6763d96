"""Windows and other voxel sizes."""

from __future__ import annotations

import numpy as np
import pytest

from recontrast.errors import ConfigError
from recontrast.preparation.mask import find_head
from recontrast.preparation.recipes import PlacedImage
from recontrast.preparation.regrid import centred_start, onto, resized, window, windowed
from recontrast.volume import Volume


@pytest.mark.parametrize("start", [(-2, 1, 0), (3, -1, 2)])
def test_a_window_keeps_world_positions(head, start):
    volume = head()
    cut = window(volume, start, (20, 22, 10))
    voxel = np.array([5, 6, 4])
    there = voxel + start
    assert cut.data[tuple(voxel)] == volume.data[tuple(there)]
    np.testing.assert_allclose(cut.affine @ [*voxel, 1], volume.affine @ [*there, 1])
    if start[0] < 0:
        assert not cut.data[: -start[0]].any()


def test_a_window_beside_the_grid_is_empty(head):
    assert not window(head(), (100, 0, 0), (4, 4, 4)).data.any()


def test_a_small_window_is_centred_on_the_head_and_a_large_one_on_the_grid():
    head = np.zeros((20, 20, 20), bool)
    head[12:18] = True
    assert centred_start(head, (10, 30, 20)) == [10, -5, 0]


def test_head_and_field_of_view_go_along(head):
    volume = head()
    image = PlacedImage(volume, *find_head(volume), np.eye(4))
    cut = windowed(image, (-2, 0, 0), (28, 20, 16))
    assert cut.seen[:2].sum() == 0
    assert cut.seen[2:26].all()
    assert cut.head.data.sum() == image.head.data.sum()


def test_resizing_keeps_the_outer_faces(head):
    volume = head()
    grid = resized(volume, (12, 40, 16))
    for corner in (-0.5, 1.0):
        here = np.array(volume.shape) - 0.5 if corner > 0 else np.full(3, corner)
        there = np.array(grid.shape) - 0.5 if corner > 0 else np.full(3, corner)
        np.testing.assert_allclose(volume.affine @ [*here, 1], grid.affine @ [*there, 1])
    with pytest.raises(ConfigError, match="three positive numbers"):
        resized(volume, (12, 40))


def test_one_interpolation_onto_a_finer_grid(head):
    volume = head()
    image = PlacedImage(volume, *find_head(volume), np.eye(4))
    fine = onto(volume, image, resized(volume, (48, 40, 32)))
    assert fine.interpolated
    assert fine.volume.shape == (48, 40, 32)
    assert fine.head.data.mean() == pytest.approx(image.head.data.mean(), rel=0.05)
    assert isinstance(fine.volume, Volume)
