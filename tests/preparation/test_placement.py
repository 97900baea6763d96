"""The way back to the raw image."""

from __future__ import annotations

import json

import numpy as np
import pytest
from tests.preparation.conftest import mni_grid, mni_scan
from tests.preparation.test_align import rigid

from recontrast.errors import FormatError
from recontrast.preparation.placement import Placement, inverse
from recontrast.preparation.resample import resample
from recontrast.volume import Volume, same_grid


@pytest.mark.parametrize("orientation", ["LPS", "PIR", "SAL"])
def test_turned_axes_come_back_bit_for_bit(head, orientation):
    raw = head().reoriented(orientation)
    placement = Placement.of(raw, np.eye(4))
    back = placement.to_source(raw.reoriented("RAS"))
    np.testing.assert_array_equal(back.data, raw.data)
    np.testing.assert_array_equal(back.affine, raw.affine)
    np.testing.assert_array_equal(placement.to_grid(raw, raw.reoriented("RAS")).data, raw.reoriented("RAS").data)


def test_an_affine_map_is_undone():
    raw = mni_scan("T1w", *mni_grid(4.0)).reoriented("LPS")
    transform = rigid((5, -4, 8), (10, 5, -7)) @ np.diag([1.1, 0.9, 1.05, 1])
    affine, shape = mni_grid(2.0)
    grid = Volume(np.zeros(shape, np.uint8), affine)
    placement = Placement.of(raw, transform)
    there = placement.to_grid(raw, grid)
    back = placement.to_source(there)
    assert same_grid(back, raw)
    inside = raw.data > 200
    apart = np.abs(back.data - raw.data)[inside & (back.data != 0)]
    assert np.sqrt((apart**2).mean()) < 0.06 * raw.data.max()


def test_what_was_cut_off_is_zero(head):
    raw = head()
    half = Volume(np.ascontiguousarray(raw.data[:, :, 8:]), raw.affine @ np.array(
        [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 8], [0, 0, 0, 1.0]]))  # fmt: skip
    back = Placement.of(raw, np.eye(4)).to_source(half, "linear")
    assert not back.data[:, :, :7].any()
    np.testing.assert_allclose(back.data[:, :, 8:], half.data, rtol=1e-4, atol=1e-2)


def test_masks_keep_their_values(head):
    mask = head().with_data((head().data > 400).astype(np.uint8))
    moved = resample(mask, mask, rigid((0, 0, 0), (1, 0, 0)), "nearest")
    back = Placement.of(mask, rigid((0, 0, 0), (1, 0, 0))).to_source(moved, "nearest")
    assert set(np.unique(back.data)) <= {0, 1}


def test_a_sidecar_holds_it_all(head):
    placement = Placement.of(head().reoriented("LPS"), rigid((1, 2, 3), (4, 5, 6)))
    again = Placement.from_dict(json.loads(json.dumps(placement.to_dict())))
    assert again.shape == placement.shape
    np.testing.assert_array_equal(again.affine, placement.affine)
    np.testing.assert_array_equal(again.transform, placement.transform)


@pytest.mark.parametrize("broken", [{}, {"Transform": np.eye(4).tolist()}, {"SourceGrid": 1, "Transform": 1}])
def test_a_sidecar_without_it_is_refused(broken):
    with pytest.raises(FormatError, match="does not say where the image came from"):
        Placement.from_dict(broken)


def test_inverse_of_a_rigid_transform():
    there = rigid((10, 20, 30), (1, 2, 3))
    np.testing.assert_allclose(inverse(there) @ there, np.eye(4), atol=1e-12)
