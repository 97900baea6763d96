from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recontrast.errors import GeometryError
from recontrast.io.dicom.geometry import distance_along, grid_of, normal_of, stored_order
from recontrast.io.dicom.headers import Frame

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


def frame(z: float, **changes: Any) -> Frame:
    plain = Frame(
        path=Path("scans/x"), index=0, sop_uid=f"1.{z}", sop_class="", instance=1, rows=6, columns=8,
        position=(10.0, 20.0, z), orientation=AXIAL, spacing=(1.5, 1.0), thickness=2.0,
    )  # fmt: skip
    return dataclasses.replace(plain, **changes)


def test_the_affine_is_the_one_worked_out_by_hand() -> None:
    grid = grid_of([frame(6.0), frame(0.0), frame(3.0)])
    # column index -> x (LPS), 1 mm; row index -> y (LPS), 1.5 mm; RAS turns the signs of x and y
    np.testing.assert_array_equal(grid.affine, [[-1, 0, 0, -10], [0, -1.5, 0, -20], [0, 0, 3, 0], [0, 0, 0, 1]])
    assert (grid.shape, grid.order, grid.missing) == ((8, 6, 3), (1, 2, 0), ())


def test_a_coronal_stack_counts_along_its_normal() -> None:
    coronal = (1.0, 0.0, 0.0, 0.0, 0.0, -1.0)
    assert normal_of(coronal).tolist() == [0, 1, 0]
    grid = grid_of([frame(0, position=(0.0, y, 5.0), orientation=coronal) for y in (4.0, 0.0, 2.0)])
    np.testing.assert_array_equal(grid.affine, [[-1, 0, 0, 0], [0, 0, -2, 0], [0, -1.5, 0, 5], [0, 0, 0, 1]])


def test_missing_slices_are_counted_and_keep_their_place() -> None:
    grid = grid_of([frame(z) for z in (0.0, 3.0, 12.0, 15.0)])
    assert (grid.shape[2], grid.missing, grid.places) == (6, (2, 3), (0, 1, 4, 5))
    assert grid.affine[2, 2] == 3


def test_every_other_slice_missing_is_seen_from_the_stated_distance() -> None:
    grid = grid_of([frame(z, between=3.0) for z in (0.0, 6.0, 12.0)])
    assert (grid.shape[2], grid.missing) == (5, (1, 3))


def test_a_stated_distance_that_is_wrong_is_noted_and_not_used() -> None:
    grid = grid_of([frame(z, between=5.0) for z in (0.0, 3.0, 6.0)])
    assert grid.affine[2, 2] == 3
    assert "the positions are used" in grid.notes[0]


@pytest.mark.parametrize(("distance", "stated"), [(2.5, 0.5), (5.0, 0.3), (2.2, 0.2)])
def test_a_gap_in_place_of_the_distance_loses_no_slice(distance: float, stated: float) -> None:
    """Some scanners write the gap between slices of 2 mm into Spacing Between Slices, or another small number."""
    grid = grid_of([frame(n * distance, between=stated) for n in range(4)])
    assert (grid.shape[2], grid.missing) == (4, ())
    assert f"the header says {stated:g} mm; the positions are used" in grid.notes[0]


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        ([frame(z) for z in (0.0, 3.0, 7.2, 11.0)], "not evenly spaced"),
        ([frame(0.0), frame(0.0)], "lie at one position"),
        ([frame(0.0), frame(3.0, position=None)], "does not say where the image lies"),
        ([frame(0.0, spacing=None)], "no Pixel Spacing"),
        ([frame(0.0, orientation=(1.0, 0.0, 0.0, 1.0, 0.0, 0.0))], "not a pair of perpendicular"),
        ([frame(z, position=(10.0 + z / 3, 20.0, z)) for z in (0.0, 3.0, 6.0)], "leaning stack"),
        ([frame(z, position=(10.0 + (z == 3) * 2, 20.0, z)) for z in (0.0, 3.0, 6.0)], "beside the others"),
    ],
)
def test_what_no_affine_describes_is_refused(frames: list[Frame], message: str) -> None:
    with pytest.raises(GeometryError, match=message):
        grid_of(frames)


def test_one_slice_takes_its_thickness() -> None:
    assert grid_of([frame(0.0)]).affine[2, 2] == 2
    unknown = grid_of([frame(0.0, thickness=None)])
    assert unknown.affine[2, 2] == 1
    assert "1 mm is assumed" in unknown.notes[0]


def test_distance_and_stored_order() -> None:
    assert distance_along(frame(7.5)) == 7.5
    orders = [[1, 2, 3], [3, 2, 1], [1, 3, 2]]
    assert [stored_order([frame(0, instance=n) for n in order]) for order in orders] == [
        "along", "against", "interleaved",
    ]  # fmt: skip
    assert stored_order([frame(0, index=n) for n in range(3)]) == "along"  # frames of one file share its number
