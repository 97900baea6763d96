"""Pathology with truth: multiple sclerosis, a tumour, an old infarct.

Lesions are drawn in a subject's anatomy after it was deformed. Each function changes the fractions in place and
returns the share of lesion in each voxel; the mask of the truth is where that share is at least a half.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from recontrast.errors import DataError, UnknownNameError
from recontrast.phantom.anatomy import Anatomy
from recontrast.phantom.grids import Array, Grid, smooth_field

KINDS = ("none", "ms", "tumour", "infarct")
"""Pathologies a subject can have; a cohort may also be `mixed`."""

NEEDED: dict[str, tuple[str, ...]] = {
    "none": (),
    "ms": ("lesion",),
    "tumour": ("oedema", "tumour", "enhancing", "necrosis"),
    "infarct": ("gliosis",),
}
"""Tissues that each pathology needs beside those of a healthy head."""

_TISSUE = ("GM", "WM", "deepGM", "pallidum")


def add_pathology(anatomy: Anatomy, kind: str, rng: np.random.Generator) -> Array:
    """Add a pathology to a subject.

    Args:
        anatomy: Changed in place.
        kind: One of `KINDS`.
        rng: Source of random numbers.

    Returns:
        Share of lesion in each voxel, 0 to 1, on the anatomy's grid.

    Raises:
        UnknownNameError: No such pathology.
        DataError: The head has no white matter to put it into.
    """
    makers = {"none": _nothing, "ms": add_multiple_sclerosis, "tumour": add_tumour, "infarct": add_infarct}
    if kind not in makers:
        raise UnknownNameError.among("pathology", kind, makers)
    return makers[kind](anatomy, rng)


def _nothing(anatomy: Anatomy, rng: np.random.Generator) -> Array:
    return np.zeros(anatomy.grid.shape, np.float32)


@dataclass(frozen=True)
class Blob:
    """An ellipsoid with an uneven surface, on a box of a grid.

    Attributes:
        box: The voxels.
        radius: Distance from the centre in units of the surface, shape of the box: below 1 is inside.
        softness: How much `radius` changes across a voxel.
    """

    box: tuple[slice, slice, slice]
    radius: Array
    softness: float

    def share(self, at: float = 1.0) -> Array:
        """Share of each voxel inside `radius` < `at`."""
        return np.clip((np.float32(at) - self.radius) / np.float32(self.softness) + np.float32(0.5), 0, 1)


def make_blob(
    grid: Grid,
    centre: NDArray[np.float64],
    radii: NDArray[np.float64],
    rng: np.random.Generator,
    roughness: float = 0.2,
    reach: float = 1.4,
) -> Blob:
    """Draw an uneven ellipsoid.

    Args:
        grid: Where.
        centre: World position, mm.
        radii: Half axes along x, y, z, mm.
        rng: Source of the unevenness.
        roughness: Standard deviation of the surface beside its radius.
        reach: How far beyond the surface the box goes, in radii.
    """
    slices, axes = [], []
    for axis, c, r in zip(grid.axes(), centre, radii, strict=True):
        half = max(r * reach, grid.spacing[0])
        first = int(np.searchsorted(axis, c - half))
        last = max(int(np.searchsorted(axis, c + half)), first + 1)
        slices.append(slice(min(first, len(axis) - 1), last))
        axes.append((axis[slices[-1]] - c) / r)
    x, y, z = axes
    radius = np.sqrt(x[:, None, None] ** 2 + y[None, :, None] ** 2 + z[None, None, :] ** 2)
    local = Grid(
        (len(x), len(y), len(z)),
        grid.spacing,
        (float(grid.axes()[0][slices[0]][0]), float(grid.axes()[1][slices[1]][0]), float(grid.axes()[2][slices[2]][0])),
    )
    mean_radius = float(np.cbrt(np.prod(radii)))
    bumps = smooth_field(rng, local, max(0.9 * mean_radius, 3.0), local)
    uneven = radius * np.exp(roughness * bumps)
    return Blob((slices[0], slices[1], slices[2]), uneven.astype(np.float32), grid.spacing[0] / mean_radius)


def add_multiple_sclerosis(anatomy: Anatomy, rng: np.random.Generator) -> Array:
    """Ten to thirty plaques: most beside the ventricles and drawn out away from them, the others near the cortex.

    Plaques replace white matter, and some cortex where they touch it (Filippi 2019, Brain 142:1858, on where and how
    they lie).
    """
    white, to_ventricle, to_cortex = _white_matter(anatomy)
    beside_ventricle = white & (to_ventricle > 1.0) & (to_ventricle < 7.0)
    near_cortex = white & (to_cortex < 3.5) & (to_ventricle > 12.0)
    if not near_cortex.any():
        near_cortex = white
    truth = np.zeros(anatomy.grid.shape, np.float32)
    for _ in range(int(rng.integers(10, 31))):
        periventricular = rng.random() < 0.6 and beside_ventricle.any()
        centre = _pick(anatomy.grid, beside_ventricle if periventricular else near_cortex, rng)
        size = float(np.clip(rng.lognormal(np.log(3.2 if periventricular else 2.6), 0.35), 1.6, 8.0))
        radii = size * np.exp(rng.normal(0, 0.15, 3))
        if periventricular:
            radii[0] *= 1.35
        blob = make_blob(anatomy.grid, centre, radii, rng)
        share = blob.share()
        among = ("WM",) if periventricular else ("WM", "GM")
        truth[blob.box] = np.maximum(truth[blob.box], share * _present(anatomy, blob.box, (*among, "lesion")))
        anatomy.replace("lesion", share * np.float32(rng.uniform(0.8, 1.0)), blob.box, among)
    return truth


def add_tumour(anatomy: Anatomy, rng: np.random.Generator) -> Array:
    """A high-grade tumour: necrosis, an enhancing rim, solid tumour, and oedema that spreads in white matter."""
    white, to_ventricle, _ = _white_matter(anatomy)
    place = white & (to_ventricle > 10.0) & (_height(anatomy.grid) > -20)
    centre = _pick(anatomy.grid, place if place.any() else white, rng)
    radii = rng.uniform(11.0, 19.0) * np.exp(rng.normal(0, 0.12, 3))
    outer = make_blob(anatomy.grid, centre, radii * 2.1, rng, roughness=0.3, reach=1.5)
    # Oedema does not cross the falx.
    x = anatomy.grid.axes()[0][outer.box[0]][:, None, None] * np.sign(centre[0])
    own_side = np.clip(x / 3.0 + 0.5, 0, 1).astype(np.float32)
    spread = np.clip((1.15 - outer.radius) / 0.45, 0, 1) * own_side
    truth = np.zeros(anatomy.grid.shape, np.float32)
    truth[outer.box] = spread * _present(anatomy, outer.box, ("WM",))
    anatomy.replace("oedema", spread * np.float32(0.85), outer.box, ("WM",))
    anatomy.replace("oedema", spread * np.float32(0.15), outer.box, ("GM", "deepGM"))
    body = make_blob(anatomy.grid, centre, radii, rng, roughness=0.16)
    among = (*_TISSUE, "oedema")
    present = _present(anatomy, body.box, among)
    truth[body.box] = np.maximum(truth[body.box], body.share() * present)
    rim = float(rng.uniform(2.0, 3.5) / radii.mean())
    anatomy.replace("tumour", body.share(), body.box, among)
    anatomy.replace("enhancing", body.share(1.0 - 0.4 * rim), body.box, ("tumour",))
    anatomy.replace("necrosis", body.share(1.0 - 1.6 * rim), body.box, ("enhancing",))
    return truth


def add_infarct(anatomy: Anatomy, rng: np.random.Generator) -> Array:
    """An old infarct of the middle cerebral artery: a cavity of CSF with a gliotic margin, reaching the cortex."""
    white, _, to_cortex = _white_matter(anatomy)
    x, y, z = np.meshgrid(*anatomy.grid.axes(), indexing="ij", sparse=True)
    territory = (np.abs(x) > 28) & (y > -55) & (y < 45) & (z > -10) & (z < 50)
    place = white & territory & (to_cortex < 6)
    centre = _pick(anatomy.grid, place if place.any() else white, rng)
    centre[0] += np.sign(centre[0]) * 5.0
    radii = rng.uniform(14.0, 24.0) * np.array([0.9, 1.2, 1.0]) * np.exp(rng.normal(0, 0.12, 3))
    blob = make_blob(anatomy.grid, centre, radii, rng, roughness=0.28)
    among = _TISSUE
    truth = np.zeros(anatomy.grid.shape, np.float32)
    truth[blob.box] = blob.share() * _present(anatomy, blob.box, among)
    anatomy.replace("gliosis", blob.share(), blob.box, among)
    anatomy.replace("CSF", blob.share(0.78), blob.box, ("gliosis",))
    return truth


def _white_matter(anatomy: Anatomy) -> tuple[NDArray[np.bool_], Array, Array]:
    """Sure white matter of the cerebrum, and its distance from ventricles and cortex in mm.

    Distances are found on every second voxel where the grid is fine: they only choose places.
    """
    step = 2 if anatomy.grid.spacing[0] < 2.4 else 1
    thin = (slice(None, None, step),) * 3
    spacing = anatomy.grid.spacing[0] * step
    white = np.zeros(anatomy.grid.shape, bool)
    white[thin] = anatomy.share("WM")[thin] > 0.8
    white[:, :, _height(anatomy.grid).ravel() < -35] = False
    if not white.any():
        raise DataError("the head has no voxel that is mostly white matter, so no lesion can be placed in it")
    ventricle, cortex = np.full(white.shape, 1e3, np.float32), np.full(white.shape, 1e3, np.float32)
    for distance, mask in ((ventricle, anatomy.ventricles[thin] > 0.5), (cortex, anatomy.share("GM")[thin] > 0.5)):
        if mask.any():
            distance[thin] = distance_transform_edt(~mask) * spacing
    return white, ventricle, cortex


def _height(grid: Grid) -> NDArray[np.float64]:
    return grid.axes()[2][None, None, :]


def _pick(grid: Grid, where: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.float64]:
    """World position of a random voxel of a mask."""
    places = np.flatnonzero(where)
    index = np.unravel_index(int(places[rng.integers(len(places))]), where.shape)
    return np.array([axis[i] for axis, i in zip(grid.axes(), index, strict=True)])


def _present(anatomy: Anatomy, box: tuple[slice, slice, slice], names: tuple[str, ...]) -> Array:
    """Share of the named tissues inside a box."""
    found = [anatomy.tissues.index(name) for name in names if name in anatomy.tissues]
    return np.asarray(anatomy.fractions[(found, *box)].sum(axis=0))
