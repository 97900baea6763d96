"""From a volume to pictures a radiologist can read: three planes, sides, slice choice, millimetres.

Everything here works on volumes whose axes run RAS (`Volume.reoriented("RAS")`). A picture has row 0 at its top and
column 0 at its left.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recontrast.errors import ConfigError
from recontrast.volume import Volume

CONVENTIONS = ("radiological", "neurological")
"""Radiological: the patient's left is on the right of axial and coronal pictures. Neurological: on the left."""

_TOWARDS = (("R", "L"), ("A", "P"), ("S", "I"))


@dataclass(frozen=True)
class Plane:
    """One of the three planes: the axis it is normal to, and the axes that run across and up its picture."""

    name: str
    normal: int
    across: int
    up: int


AXIAL = Plane("axial", normal=2, across=0, up=1)
CORONAL = Plane("coronal", normal=1, across=0, up=2)
SAGITTAL = Plane("sagittal", normal=0, across=1, up=2)
PLANES = (AXIAL, CORONAL, SAGITTAL)


@dataclass(frozen=True)
class Slice:
    """A slice of a grid: its plane, its index along the plane's normal, and where its centre lies.

    Attributes:
        plane: Which plane.
        index: Index along the normal.
        position_mm: World coordinate of the slice's centre along the normal (RAS+).
    """

    plane: Plane
    index: int
    position_mm: float

    @property
    def label(self) -> str:
        """Position in words, as viewers give it: `S 12.0 mm` is 12 mm superior of the world's origin."""
        letter = _TOWARDS[self.plane.normal][0 if self.position_mm >= 0 else 1]
        return f"{letter} {abs(self.position_mm):.1f} mm"


@dataclass(frozen=True)
class Sides:
    """Letters of the patient's sides at the four edges of a picture."""

    left: str
    right: str
    top: str
    bottom: str


def check_convention(convention: str) -> None:
    """Raise `ConfigError` unless `convention` is one of `CONVENTIONS`."""
    if convention not in CONVENTIONS:
        raise ConfigError(f"convention '{convention}' is not one of {', '.join(CONVENTIONS)}")


def is_mirrored(plane: Plane, convention: str) -> bool:
    """Whether the axis across a picture runs from high to low coordinates.

    A sagittal picture has anterior on its left in both conventions.
    """
    return plane is SAGITTAL or convention == "radiological"


def sides(plane: Plane, convention: str) -> Sides:
    """Letters at the edges of a picture.

    >>> sides(AXIAL, "radiological")
    Sides(left='R', right='L', top='A', bottom='P')
    """
    high, low = _TOWARDS[plane.across]
    left, right = (high, low) if is_mirrored(plane, convention) else (low, high)
    return Sides(left, right, *_TOWARDS[plane.up])


def picture(data: NDArray[Any], where: Slice, convention: str) -> NDArray[Any]:
    """The two-dimensional picture of a slice, shape (rows, columns).

    Args:
        data: Values on axes that run RAS, shape (I, J, K).
        where: The slice.
        convention: One of `CONVENTIONS`.
    """
    plane = where.plane
    flat = np.take(data, where.index, axis=plane.normal)  # axes (across, up): both orders keep across before up
    flat = flat[:, ::-1]
    if is_mirrored(plane, convention):
        flat = flat[::-1]
    return np.ascontiguousarray(flat.T)


def pixel_size(volume: Volume, plane: Plane) -> tuple[float, float]:
    """Width and height of a picture's pixel in mm."""
    return volume.spacing[plane.across], volume.spacing[plane.up]


def choose_slices(volume: Volume, region: NDArray[np.bool_]) -> tuple[Slice, Slice, Slice]:
    """For each plane the slice in which `region` is largest; of equal ones that nearest the region's centre.

    Args:
        volume: A volume on axes that run RAS.
        region: Voxels to show, shape (I, J, K); where it is empty the middle slices are taken.
    """
    axial, coronal, sagittal = (_largest(volume, region, plane) for plane in PLANES)
    return axial, coronal, sagittal


def tilt_degrees(volume: Volume) -> float:
    """Largest angle between a grid axis and the world axis it is nearest to."""
    directions = volume.affine[:3, :3] / np.asarray(volume.spacing)
    return float(np.degrees(np.arccos(np.clip(np.abs(directions).max(axis=0), 0, 1)).max()))


def crop(volume: Volume, inside: NDArray[np.bool_], margin_mm: float) -> tuple[slice, slice, slice]:
    """The box around `inside`, widened by `margin_mm`; the whole grid where `inside` is empty."""
    box = []
    for axis in range(3):
        others = tuple(a for a in range(3) if a != axis)
        hit = np.flatnonzero(inside.any(axis=others))
        margin = int(np.ceil(margin_mm / volume.spacing[axis]))
        box.append(
            slice(max(0, int(hit[0]) - margin), min(inside.shape[axis], int(hit[-1]) + margin + 1))
            if hit.size
            else slice(0, inside.shape[axis])
        )
    return box[0], box[1], box[2]


def cropped(volume: Volume, box: tuple[slice, slice, slice]) -> Volume:
    """The part of a volume inside `box`; world positions stay."""
    affine = volume.affine.copy()
    affine[:3, 3] = volume.affine[:3, :3] @ np.array([part.start for part in box]) + volume.affine[:3, 3]
    return Volume(volume.data[box], affine)


def _largest(volume: Volume, region: NDArray[np.bool_], plane: Plane) -> Slice:
    others = (plane.across, plane.up)
    area = np.count_nonzero(region, axis=others)
    if area.any():
        centre = float(np.average(np.arange(area.size), weights=area))
        best = np.flatnonzero(area == area.max())
        index = int(best[np.argmin(np.abs(best - centre))])
    else:
        index = area.size // 2
    voxel = [(n - 1) / 2 for n in volume.shape]
    voxel[plane.normal] = index
    world = volume.affine[:3, :3] @ np.array(voxel) + volume.affine[:3, 3]
    return Slice(plane, index, float(world[plane.normal]))
