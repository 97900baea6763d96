"""Sparse interpolation equals SciPy's dense one."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from recontrast.phantom.lookup import Lookup, occupied_cells


@pytest.fixture
def maps() -> np.ndarray:
    rng = np.random.default_rng(0)
    dense = rng.integers(0, 256, (3, 7, 6, 5), dtype=np.uint8)
    dense[1] *= rng.random((7, 6, 5)) < 0.05
    dense[2] = 0
    return dense


def test_equals_scipy_at_any_position(maps: np.ndarray) -> None:
    positions = np.random.default_rng(1).uniform(-2, 8, (3, 20, 9, 4)).astype(np.float32)
    lookup = Lookup(positions, occupied_cells(list(maps)))
    for number, values in enumerate(maps):
        expected = map_coordinates(values, positions, output=np.float32, order=1, mode="constant")
        np.testing.assert_allclose(lookup.read(values, number), expected, atol=1e-4)


def test_voxels_of_the_maps_are_read_exactly_borders_included(maps: np.ndarray) -> None:
    positions = np.stack(np.meshgrid(*(np.arange(n) for n in maps.shape[1:]), indexing="ij")).astype(np.float32)
    lookup = Lookup(positions, occupied_cells(list(maps)))
    for number, values in enumerate(maps):
        np.testing.assert_array_equal(lookup.read(values, number), values)


def test_more_than_eight_maps_have_a_bit_each() -> None:
    maps = np.zeros((20, 4, 4, 4), np.uint8)
    maps[:, 1, 1, 1] = np.arange(20)
    cells = occupied_cells(list(maps))
    assert cells[0, 0, 0] == cells[1, 1, 1] == (1 << 20) - 2
    assert cells[2, 2, 2] == 0


def test_one_slice_can_be_looked_up() -> None:
    values = np.arange(6, dtype=np.uint8).reshape(2, 3, 1)
    positions = np.array([0.5, 1.5, 0.0], np.float32).reshape(3, 1, 1, 1)
    assert Lookup(positions, occupied_cells([values])).read(values, 0).item() == 3.0
