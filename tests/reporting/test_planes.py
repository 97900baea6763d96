from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from recontrast.errors import ConfigError
from recontrast.reporting.planes import (
    AXIAL,
    CORONAL,
    PLANES,
    SAGITTAL,
    Slice,
    check_convention,
    choose_slices,
    crop,
    cropped,
    picture,
    pixel_size,
    sides,
    tilt_degrees,
)
from recontrast.volume import Volume

TOWARDS = {"R": (0, 1), "L": (0, -1), "A": (1, 1), "P": (1, -1), "S": (2, 1), "I": (2, -1)}


@pytest.mark.parametrize("convention", ["radiological", "neurological"])
@pytest.mark.parametrize("plane", PLANES, ids=lambda p: p.name)
def test_letters_tell_where_a_bright_side_is(plane: object, convention: str) -> None:
    """A volume that is bright towards each side in turn: the picture is bright at the edge with that letter."""
    letters = sides(plane, convention)
    edges = {letters.left: np.s_[:, 0], letters.right: np.s_[:, -1], letters.top: np.s_[0], letters.bottom: np.s_[-1]}
    for letter, edge in edges.items():
        axis, sign = TOWARDS[letter]
        ramp = np.indices((6, 7, 8))[axis] * sign
        shown = picture(ramp, Slice(plane, 3, 0.0), convention)
        assert (shown[edge] == ramp.max()).all()


def test_radiological_pictures_have_the_patients_left_on_the_right() -> None:
    assert (sides(AXIAL, "radiological").right, sides(CORONAL, "radiological").right) == ("L", "L")
    assert (sides(AXIAL, "neurological").left, sides(SAGITTAL, "neurological").left) == ("L", "A")


def test_an_unknown_convention_is_refused() -> None:
    with pytest.raises(ConfigError, match="radiological"):
        check_convention("surgical")


def test_slices_go_through_the_largest_section_and_know_their_place() -> None:
    volume = Volume(np.zeros((10, 12, 8), np.float32), np.diag([1.0, 1.5, 3.0, 1.0]))
    region = np.zeros(volume.shape, bool)
    region[2:5, 3:10, 6] = True
    region[3, 4, 2] = True
    axial, coronal, sagittal = choose_slices(volume, region)
    assert (axial.index, axial.position_mm) == (6, 18.0)
    assert axial.label == "S 18.0 mm"
    assert (coronal.plane, sagittal.plane) == (CORONAL, SAGITTAL)
    assert sagittal.index == 3


def test_an_empty_region_gives_the_middle() -> None:
    volume = Volume(np.zeros((10, 12, 8), np.float32), np.eye(4))
    assert [s.index for s in choose_slices(volume, np.zeros(volume.shape, bool))] == [4, 6, 5]


def test_positions_on_the_other_side_have_the_other_letter() -> None:
    assert Slice(SAGITTAL, 0, -17.7).label == "L 17.7 mm"


def test_pixels_keep_their_size_in_mm() -> None:
    volume = Volume(np.zeros((4, 4, 4), np.float32), np.diag([1.0, 1.5, 3.0, 1.0]))
    assert pixel_size(volume, AXIAL) == (1.0, 1.5)
    assert pixel_size(volume, SAGITTAL) == (1.5, 3.0)


def test_cropping_keeps_world_positions(make_volume: Callable[..., Volume]) -> None:
    volume = make_volume()
    inside = np.zeros(volume.shape, bool)
    inside[8:12, 9:14, 5:9] = True
    box = crop(volume, inside, margin_mm=2.9)
    part = cropped(volume, box)
    assert [b.start for b in box] == [5, 7, 4]
    np.testing.assert_allclose(part.affine @ [0, 0, 0, 1], volume.affine @ [5, 7, 4, 1])
    assert crop(volume, np.zeros(volume.shape, bool), 3.0) == tuple(slice(0, n) for n in volume.shape)


def test_the_tilt_of_an_oblique_grid(make_volume: Callable[..., Volume]) -> None:
    assert tilt_degrees(make_volume()) == pytest.approx(11.2, abs=0.2)
    assert tilt_degrees(Volume(np.zeros((2, 2, 2)), np.diag([-1.0, 2.0, 3.0, 1.0]))) == 0.0
