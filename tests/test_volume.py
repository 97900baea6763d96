"""Geometry of volumes: orientation, spacing, grids."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from recontrast.errors import GeometryError
from recontrast.volume import Volume, require_same_grid, same_grid

ORIENTATIONS = [
    "".join(axes) for order in itertools.permutations(("RL", "AP", "SI")) for axes in itertools.product(*order)
]


def world_of(volume, voxel):
    return (volume.affine @ [*voxel, 1.0])[:3]


def test_properties_of_an_oblique_anisotropic_volume(make_volume):
    volume = make_volume()
    assert volume.shape == (20, 24, 18)
    np.testing.assert_allclose(volume.spacing, (1.0, 1.5, 3.0))
    np.testing.assert_allclose(volume.origin, (-12.0, 7.5, -30.0))
    assert volume.orientation == "RAS"


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_turning_there_and_back_restores_every_bit(make_volume, orientation):
    volume = make_volume()
    turned = volume.reoriented(orientation)
    assert turned.orientation == orientation
    back = turned.reoriented("RAS")
    np.testing.assert_array_equal(back.data, volume.data)
    np.testing.assert_allclose(back.affine, volume.affine, atol=1e-12)


@pytest.mark.parametrize("orientation", ["LPS", "LAS", "PSR", "IRP"])
def test_turning_leaves_every_value_at_its_place_in_the_world(make_volume, orientation):
    volume = make_volume()
    turned = volume.reoriented(orientation)
    brightest = np.unravel_index(int(volume.data.argmax()), volume.shape)
    moved = np.unravel_index(int(turned.data.argmax()), turned.shape)
    np.testing.assert_allclose(world_of(turned, moved), world_of(volume, brightest), atol=1e-9)


def test_left_stays_left():
    data = np.zeros((8, 6, 5), np.float32)
    data[1] = 1.0  # stored LPS: first index runs to the left, so low index is the right side
    volume = Volume(data, np.diag([-2.0, -2, 2, 1]))
    assert volume.orientation == "LPS"
    right = volume.reoriented("RAS")
    assert np.flatnonzero(right.data.any(axis=(1, 2))).tolist() == [6]
    assert world_of(right, (6, 0, 0))[0] == world_of(volume, (1, 0, 0))[0]


def test_same_grid_tells_a_shift_from_rounding(make_volume):
    volume = make_volume()
    near, far = volume.affine.copy(), volume.affine.copy()
    near[0, 3] += 1e-5
    far[0, 3] += 0.01
    assert same_grid(volume, Volume(volume.data, near))
    assert not same_grid(volume, Volume(volume.data, far))
    assert not same_grid(volume, Volume(volume.data[1:], volume.affine))


def test_a_small_rotation_is_seen_at_the_far_corner():
    angle = 1e-4
    turned = np.eye(4)
    turned[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    data = np.zeros((200, 200, 4), np.float32)
    assert not same_grid(Volume(data, np.eye(4)), Volume(data, turned))


def test_different_grids_are_named(make_volume):
    volume = make_volume()
    with pytest.raises(GeometryError, match=r"sub-01.*\(20, 24, 18\) against \(10, 24, 18\)"):
        require_same_grid(volume, Volume(volume.data[:10], volume.affine), "sub-01")


@pytest.mark.parametrize("affine", [np.zeros((4, 4)), np.eye(3), np.full((4, 4), np.nan)])
def test_bad_affines_are_refused(affine):
    with pytest.raises(GeometryError, match="affine"):
        Volume(np.zeros((2, 2, 2)), affine)


def test_only_three_axes():
    with pytest.raises(GeometryError, match=r"\(2, 2, 2, 2\)"):
        Volume(np.zeros((2, 2, 2, 2)), np.eye(4))


def test_with_data_keeps_the_grid(make_volume):
    volume = make_volume()
    assert same_grid(volume, volume.with_data(volume.data > 0))
    with pytest.raises(GeometryError, match="shape"):
        volume.with_data(volume.data[1:])
