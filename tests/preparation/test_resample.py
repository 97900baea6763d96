"""One interpolation onto another grid."""

from __future__ import annotations

import numpy as np
import pytest

from recontrast.preparation.resample import resample
from recontrast.volume import Volume


def ramp(affine, shape=(12, 10, 8)):
    """Values that are a linear function of world position."""
    index = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1)
    world = index @ affine[:3, :3].T + affine[:3, 3]
    return Volume((world @ (1.0, 2.0, -3.0)).astype(np.float32), affine)


@pytest.mark.parametrize("interpolation", ["nearest", "linear", "cubic"])
def test_own_grid_gives_the_same_values(make_volume, interpolation):
    volume = make_volume()
    np.testing.assert_allclose(resample(volume, volume, interpolation=interpolation).data, volume.data, atol=2e-3)


@pytest.mark.parametrize("orientation", ["LPS", "PSR"])
def test_another_storage_order_is_no_movement(make_volume, orientation):
    volume = make_volume()
    turned = volume.reoriented(orientation)
    np.testing.assert_allclose(resample(turned, volume, interpolation="linear").data, volume.data, atol=2e-3)


def test_linear_values_are_exact_between_voxels(oblique_affine):
    source = ramp(oblique_affine)
    shifted = oblique_affine.copy()
    shifted[:3, 3] += oblique_affine[:3, :3] @ (2.3, 1.6, 1.4)
    grid = ramp(shifted, (6, 5, 4))
    np.testing.assert_allclose(resample(source, grid, interpolation="linear").data, grid.data, atol=1e-3)


def test_the_transform_goes_from_the_grid_to_the_image(oblique_affine):
    source = ramp(oblique_affine)
    transform = np.eye(4)
    transform[:3, 3] = (0.5, -0.25, 1.0)
    moved = resample(source, source, transform, "linear").data
    inside = (slice(2, -2),) * 3
    expected = source.data + transform[:3, 3] @ (1.0, 2.0, -3.0)
    np.testing.assert_allclose(moved[inside], expected[inside], atol=1e-3)


def test_labels_above_127_survive(oblique_affine):
    labels = Volume(np.arange(960, dtype=np.int16).reshape(12, 10, 8), oblique_affine)
    out = resample(labels, labels, interpolation="nearest")
    assert out.data.dtype == np.int16
    np.testing.assert_array_equal(out.data, labels.data)
    small = labels.with_data((labels.data % 256).astype(np.uint8))
    np.testing.assert_array_equal(resample(small, small, interpolation="nearest").data, small.data)


def test_masks_stay_boolean(make_volume):
    mask = make_volume().with_data(make_volume().data > 500)
    out = resample(mask, mask, interpolation="nearest")
    assert out.data.dtype == np.bool_
    np.testing.assert_array_equal(out.data, mask.data)


def test_cubic_does_not_ring_out_of_the_range():
    data = np.zeros((16, 16, 16), np.float32)
    data[6:10, 6:10, 6:10] = 1000
    transform = np.eye(4)
    transform[:3, 3] = 0.4
    out = resample(Volume(data, np.eye(4)), Volume(data, np.eye(4)), transform, "cubic").data
    assert out.min() == 0
    assert out.max() <= 1000


def test_outside_is_zero(make_volume):
    far = np.eye(4)
    far[0, 3] = 1e4
    assert not resample(make_volume(), make_volume(), far).data.any()


def test_a_single_slice_is_interpolated_linearly():
    slice_ = Volume(np.arange(30, dtype=np.float32).reshape(6, 5, 1), np.eye(4))
    np.testing.assert_allclose(resample(slice_, slice_, interpolation="cubic").data, slice_.data, atol=1e-4)
