"""Heads: tissue fractions of a template, and how each subject's head differs from it.

A `Head` is a template: fractions on a grid in template coordinates. `draw_shape` draws how a subject differs from it;
`render` gives the subject's fractions on any grid. Coordinates are RAS+ millimetres throughout.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from recontrast.phantom.grids import Array, Grid, control_grid, smooth_field, spread_spline
from recontrast.phantom.lookup import Lookup, occupied_cells
from recontrast.phantom.tissues import HEALTHY

FULL = np.float32(255)
"""A fraction of one in `Head.fractions`."""

LATTICE_MM = 4.0
"""Spacing of the spline points that carry a subject's deformation."""


@dataclass(frozen=True, eq=False)
class Head:
    """A template head.

    Attributes:
        tissues: Names, in the order of the first axis of `fractions`.
        fractions: Share of each tissue, shape (tissues, I, J, K), uint8, 255 is one; what is left is air.
        grid: Voxels of `fractions`, in template coordinates.
        ventricles: Share of ventricular CSF, same grid, uint8.
        coarse: Grid of the two maps below.
        distance: Distance from the surface of the brain in mm, negative inside, on `coarse`.
        ventricle_pull: Direction to the ventricles, shape (3, …) on `coarse`; length at most 1.
        scale: Mean size of heads beside this template (MNI152 brains are larger than people's).
        deform: Share of the usual random deformation that suits this template.
        tissue_names: Label number to name, for the truth.
    """

    tissues: tuple[str, ...]
    fractions: NDArray[np.uint8]
    grid: Grid
    ventricles: NDArray[np.uint8]
    coarse: Grid
    distance: Array
    ventricle_pull: Array
    scale: float = 1.0
    deform: float = 1.0
    tissue_names: tuple[str, ...] = field(default=HEALTHY)

    @functools.cached_property
    def cells(self) -> NDArray[np.unsignedinteger]:
        """Where each tissue, and last the ventricles, can be met (see `lookup.occupied_cells`)."""
        return occupied_cells([*self.fractions, self.ventricles])


@dataclass(frozen=True)
class Shape:
    """How a subject's head differs from the template.

    Attributes:
        affine: Subject to template coordinates, 4x4 as nested tuples.
        ventricles_mm: How far the walls of the ventricles are moved outwards, mm (negative: inwards).
        sulci: Factor by which CSF wins over grey matter at the brain's surface (1: as the template).
        fat_mm: Thickness added to the soft tissue over the skull, mm.
        torque_mm: Bend of the midline between front and back, mm (right frontal and left occipital lobe wider).
        deformation_mm: Standard deviation of the random displacement, mm, at 40, 16 and 9 mm correlation.
    """

    affine: tuple[tuple[float, ...], ...]
    ventricles_mm: float
    sulci: float
    fat_mm: float
    torque_mm: float
    deformation_mm: tuple[float, float, float]


def draw_shape(rng: np.random.Generator, age: float, scale: float = 1.0, deform: float = 1.0) -> Shape:
    """Draw a subject's shape; ventricles and sulci widen with age.

    Args:
        rng: Source of random numbers.
        age: Years; widening starts at 40.
        scale: Mean head size beside the template.
        deform: Factor on the random deformation.
    """
    old = max(0.0, age - 40) / 40
    sizes = scale * (1 + 0.03 * rng.standard_normal() + 0.02 * rng.standard_normal(3))
    angles = np.deg2rad(rng.normal(0, [3.5, 2.0, 2.0]))
    shift = rng.normal(0, [1.5, 2.5, 2.5])
    shear = rng.normal(0, 0.015, 3)
    skew = np.eye(3)
    skew[0, 1], skew[0, 2], skew[1, 2] = shear
    affine = np.eye(4)
    affine[:3, :3] = np.diag(1 / sizes) @ skew @ rotation(*angles)
    affine[:3, 3] = shift
    return Shape(
        affine=tuple(tuple(float(v) for v in row) for row in affine),
        ventricles_mm=float(np.clip(0.2 + 2.2 * old + rng.normal(0, 0.9), -1.2, 4.5)),
        sulci=float(np.exp(np.clip(0.1 + 0.9 * old + rng.normal(0, 0.35), -0.5, 1.6))),
        fat_mm=float(np.clip(rng.normal(0.5, 1.5), -1.5, 5.0)),
        torque_mm=float(rng.normal(1.5, 0.8)),
        deformation_mm=tuple(float(v) * deform for v in (2.4, 1.8, 0.8)),  # type: ignore[arg-type]
    )


def rotation(about_x: float, about_y: float, about_z: float) -> NDArray[np.float64]:
    """Rotation matrix: first about x, then y, then z; angles in radians."""
    cx, cy, cz = np.cos([about_x, about_y, about_z])
    sx, sy, sz = np.sin([about_x, about_y, about_z])
    first = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    second = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    third = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return third @ second @ first


@dataclass(eq=False)
class Anatomy:
    """A subject's head on one grid.

    Attributes:
        tissues: Names, in the order of the first axis of `fractions`.
        fractions: Share of each tissue, shape (tissues, I, J, K), float32 in 0 to 1; what is left is air.
        grid: The grid.
        ventricles: Share of ventricular CSF on the grid.
    """

    tissues: tuple[str, ...]
    fractions: Array
    grid: Grid
    ventricles: Array

    def share(self, *names: str) -> Array:
        """Sum of the fractions of the named tissues; names that do not occur count as zero."""
        found = [self.tissues.index(name) for name in names if name in self.tissues]
        return np.asarray(self.fractions[found].sum(axis=0))

    def replace(self, name: str, share: Array, box: tuple[slice, slice, slice], among: tuple[str, ...]) -> None:
        """Turn a share of the tissues `among` into tissue `name`, inside a box of voxels.

        Args:
            name: What appears; one of the anatomy's tissues.
            share: How much of `among` is turned, 0 to 1, shape of the box.
            box: Where.
            among: What disappears.
        """
        gained = np.zeros_like(share)
        for other in among:
            if other in self.tissues and other != name:
                part = self.fractions[(self.tissues.index(other), *box)]
                gained += part * share
                part *= 1 - share
        self.fractions[(self.tissues.index(name), *box)] += gained


def render(
    head: Head, shape: Shape, rng: np.random.Generator, grid: Grid, region: Grid, extra: tuple[str, ...] = ()
) -> Anatomy:
    """Deform the template into a subject's head.

    Each voxel of `grid` looks up the template at A x + u(x): A is the subject's affine, u a spline that holds the
    random deformation, the pull at the ventricles, the thickness of the fat and the bend of the midline.

    Args:
        head: The template.
        shape: How the subject differs.
        rng: Source of the random deformation.
        grid: Where the head is wanted, subject coordinates.
        region: Field of view of the cohort: fixes the spline points, whatever the grid.
        extra: Tissues to add, empty: those of a pathology that is drawn later.
    """
    positions = _template_positions(head, shape, rng, grid, region)
    tissues = (*head.tissues, *(name for name in extra if name not in head.tissues))
    fractions = np.zeros((len(tissues), *grid.shape), np.float32)
    lookup = Lookup(positions, head.cells)
    for index in range(len(head.tissues)):
        np.divide(lookup.read(head.fractions[index], index), FULL, out=fractions[index])
    ventricles = lookup.read(head.ventricles, len(head.tissues))
    ventricles /= FULL
    anatomy = Anatomy(tissues, fractions, grid, ventricles)
    _widen_sulci(anatomy, shape.sulci)
    return anatomy


def _template_positions(head: Head, shape: Shape, rng: np.random.Generator, grid: Grid, region: Grid) -> Array:
    """Voxel coordinates in the template of each voxel of `grid`, shape (3, I, J, K)."""
    lattice = control_grid(region, LATTICE_MM)
    affine = np.array(shape.affine)
    base = _map_grid(affine, lattice)
    in_coarse = (base - np.array(head.coarse.origin)[:, None, None, None]) / head.coarse.spacing[0]
    distance = map_coordinates(head.distance, in_coarse, order=1, mode="nearest")
    displacement = _random_displacement(rng, shape, lattice, region, distance)
    for axis in range(3):
        pull = map_coordinates(head.ventricle_pull[axis], in_coarse, order=1, mode="nearest")
        displacement[axis] += shape.ventricles_mm * pull
    outwards = np.stack(np.gradient(distance, LATTICE_MM)) * _ramp((distance - 12.0) / 6.0)
    displacement -= shape.fat_mm * outwards
    displacement[0] += shape.torque_mm * np.clip(base[1] / 90.0, -1.2, 1.2) * (distance < 40)
    positions = np.empty((3, *grid.shape), np.float32)
    x, y, z = grid.axes()
    for axis in range(3):
        a, b, c, d = affine[axis]
        linear = (a * x)[:, None, None] + (b * y)[None, :, None] + (c * z)[None, None, :] + d
        warp = spread_spline(displacement[axis], lattice, grid)
        positions[axis] = (linear + warp - head.grid.origin[axis]) / head.grid.spacing[axis]
    return positions


def _random_displacement(
    rng: np.random.Generator, shape: Shape, lattice: Grid, region: Grid, distance: NDArray[np.float64]
) -> Array:
    """Three scales of random shifts; the finer ones fold the brain, skull and skin follow them less."""
    total = np.zeros((3, *lattice.shape), np.float32)
    outside = _ramp(distance / 8.0)
    for correlation, amplitude, followed in zip((40.0, 16.0, 9.0), shape.deformation_mm, (0.7, 0.3, 0.1), strict=True):
        weight = (amplitude * (1 - (1 - followed) * outside)).astype(np.float32)
        for axis in range(3):
            total[axis] += weight * smooth_field(rng, lattice, correlation, region)
    return total


def _map_grid(affine: NDArray[np.float64], grid: Grid) -> NDArray[np.float64]:
    x, y, z = np.meshgrid(*grid.axes(), indexing="ij")
    return np.einsum("ab,bijk->aijk", affine[:3, :3], np.stack([x, y, z])) + affine[:3, 3][:, None, None, None]


def _ramp(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """0 below 0, 1 above 1, smooth between."""
    t = np.clip(values, 0, 1)
    return np.asarray(t * t * (3 - 2 * t))


def _widen_sulci(anatomy: Anatomy, factor: float) -> None:
    """Let CSF win over grey matter where both share a voxel: odds of CSF against the brain times `factor`."""
    if not {"CSF", "GM"} <= set(anatomy.tissues):
        return
    csf = anatomy.fractions[anatomy.tissues.index("CSF")]
    grey = anatomy.fractions[anatomy.tissues.index("GM")]
    both = np.flatnonzero((csf.ravel() > 0) & (grey.ravel() > 0))
    c, g = csf.ravel()[both], grey.ravel()[both]
    wider = (c + g) * (c * np.float32(factor)) / (c * np.float32(factor) + g)
    csf.reshape(-1)[both] = wider
    grey.reshape(-1)[both] = c + g - wider
