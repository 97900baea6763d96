"""The border to SimpleITK: nothing turns or moves on the way."""

from __future__ import annotations

import numpy as np
import pytest

from recontrast.preparation.itk import to_itk, to_itk_transform, to_matrix, to_volume
from recontrast.volume import Volume


@pytest.mark.parametrize("orientation", ["RAS", "LPS", "PSR", "SAL"])
def test_there_and_back(make_volume, orientation):
    volume = make_volume().reoriented(orientation)
    back = to_volume(to_itk(volume))
    np.testing.assert_array_equal(back.data, volume.data)
    np.testing.assert_allclose(back.affine, volume.affine, atol=1e-9)


def test_world_positions_are_lps_there(make_volume):
    volume = make_volume()
    x, y, z, _ = volume.affine @ (3, 4, 5, 1)
    np.testing.assert_allclose(to_itk(volume).TransformIndexToPhysicalPoint((3, 4, 5)), (-x, -y, z))


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, ">i2", np.int32, np.float16, np.float64, bool])
def test_types(dtype):
    data = (np.arange(24).reshape(2, 3, 4) % 2).astype(dtype)
    np.testing.assert_array_equal(to_volume(to_itk(Volume(data, np.eye(4)))).data.astype(int), data.astype(int))


def test_transforms_move_points_as_the_matrix_does():
    matrix = np.array([[0, -1, 0, 3.0], [1, 0, 0, -2], [0, 0, 1, 5], [0, 0, 0, 1]])
    transform = to_itk_transform(matrix)
    x, y, z, _ = matrix @ (1, 2, 3, 1)
    np.testing.assert_allclose(transform.TransformPoint((-1, -2, 3)), (-x, -y, z))
    transform.SetCenter((1.0, 2.0, 3.0))
    np.testing.assert_allclose(to_matrix(to_itk_transform(matrix)), matrix)
    moved = np.asarray(transform.TransformPoint((7.0, 8.0, 9.0)))
    back = to_matrix(transform) @ (-7, -8, 9, 1)
    np.testing.assert_allclose(moved * (-1, -1, 1), back[:3])
