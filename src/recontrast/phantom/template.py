"""The brain inside: tissue fractions from the MNI152 2009a maps that travel in the nilearn wheel.

Fonov 2011 (NeuroImage 54:313): the symmetric nonlinear average of 152 adult heads, 1 mm, skull-stripped here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_fill_holes, distance_transform_edt, gaussian_filter, label

from recontrast.io.mni152 import read_mni152
from recontrast.phantom.grids import Array, Grid, resample_linear

SHARPNESS = 1.7
"""Exponent on the average fractions: an average over people is more blurred than one of them."""


@dataclass(frozen=True, eq=False)
class Brain:
    """Fractions of the brain's tissues on a grid in MNI coordinates, float32 in 0 to 1.

    Attributes:
        fractions: GM, WM, CSF, deepGM and pallidum to their maps; they add up to the brain mask.
        ventricles: Share of ventricular CSF.
        distance: Distance from the closed surface of the brain, mm, negative inside.
        grid: Where all these lie.
    """

    fractions: dict[str, Array]
    ventricles: Array
    distance: Array
    grid: Grid


def read_brain() -> Brain:
    """Read the template and make fractions of it, on its own 1 mm grid.

    Raises:
        DependencyError: nilearn, or the maps in it, are not installed.
    """
    t1, grid = _read("t1")
    inside = t1 > 0
    grey, white = (_read(name)[0] / np.float32(255) for name in ("gm", "wm"))
    fluid = np.clip(1 - grey - white, 0, 1)
    grey, white = _mend_brainstem(grey, white, grid)
    powers = [np.where(inside, part, 0) ** np.float32(SHARPNESS) for part in (grey, white, fluid)]
    total = powers[0] + powers[1] + powers[2]
    total[total == 0] = 1
    grey, white, fluid = (part / total for part in powers)
    fractions = {"GM": grey, "WM": white, "CSF": fluid}
    _split_deep_grey(fractions, grid)
    distance = _distance(inside, grid)
    return Brain(fractions, _ventricles(fluid, distance, grid), distance, grid)


def _read(name: str) -> tuple[Array, Grid]:
    volume = read_mni152(name, np.float32)
    return volume.data, Grid(volume.shape, volume.spacing, volume.origin)


def _mend_brainstem(grey: Array, white: Array, grid: Grid) -> tuple[Array, Array]:
    """In pons and medulla the maps give half grey matter; most of it is white."""
    part, (x, y, z) = _box(grid, (-24, -48, -np.inf), (24, -14, -9))
    stem = _soft((22 - np.abs(x)) / 3) * _soft((-12 - z) / 4) * _soft((y + 46) / 3) * _soft((-16 - y) / 3)
    moved = (grey[part] * stem * 0.75).astype(np.float32)
    grey[part] -= moved
    white[part] += moved
    return grey, white


def _split_deep_grey(fractions: dict[str, Array], grid: Grid) -> None:
    """Basal ganglia and thalamus lie in a box around the third ventricle; the pallidum lies within the putamen."""
    part, (x, y, z) = _box(grid, (-36, -38, -13), (36, 26, 24))
    side = np.abs(x)
    deep = (
        _soft((33 - side) / 2) * _soft((y + 36) / 2) * _soft((24 - y) / 2) * _soft((z + 11) / 2) * _soft((22 - z) / 2)
    )
    # The insula is cortex: it lies outside a slanting plane.
    deep = deep * _soft((31.5 + 0.10 * (y + 5) - side) / 2)
    for name in ("deepGM", "pallidum"):
        fractions[name] = np.zeros_like(fractions["GM"])
    fractions["deepGM"][part] = fractions["GM"][part] * deep
    fractions["GM"][part] -= fractions["deepGM"][part]
    radius = np.sqrt(((side - 18.5 + 0.25 * y) / 5.0) ** 2 + ((y + 4) / 9.5) ** 2 + ((z + 1) / 6.5) ** 2)
    core = (_soft((1.15 - radius) / 0.3) * 0.9).astype(np.float32)
    for name in ("GM", "WM", "deepGM"):
        taken = fractions[name][part] * core
        fractions["pallidum"][part] += taken
        fractions[name][part] -= taken


def _distance(inside: NDArray[np.bool_], grid: Grid) -> Array:
    """Distance from the brain's surface with its sulci bridged, mm; found at 2 mm, where it is smooth enough."""
    step, pad, bridge_mm = 2, 8, 9.0
    mask = np.pad(inside[::step, ::step, ::step], pad)
    spacing = grid.spacing[0] * step
    grown = np.asarray(distance_transform_edt(~mask)) * spacing <= bridge_mm
    closed = np.asarray(distance_transform_edt(grown)) * spacing > bridge_mm
    hull = np.asarray(binary_fill_holes(closed | mask))
    outer = np.asarray(distance_transform_edt(~hull)) - 0.5
    inner = np.asarray(distance_transform_edt(hull)) - 0.5
    signed = gaussian_filter(np.where(hull, -inner, outer).astype(np.float32), 0.8)[pad:-pad, pad:-pad, pad:-pad]
    coarse = Grid(signed.shape, (spacing,) * 3, grid.origin)
    return resample_linear(signed * np.float32(spacing), coarse, grid)


def _ventricles(fluid: Array, distance: Array, grid: Grid) -> Array:
    """CSF deep inside the brain, in pieces of more than 0.2 ml."""
    x, y, z = _axes(grid)
    near = (np.abs(x) < 37) & (y > -64) & (y < 40) & (z < 38)
    labels, count = label((fluid > 0.5) & (distance < -22) & near)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    keep = np.flatnonzero(sizes >= 200)
    chosen = np.isin(labels, keep[keep > 0]).astype(np.float32)
    return np.asarray(np.minimum(fluid, gaussian_filter(chosen, 1.0) * 2))


def _axes(grid: Grid) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    x, y, z = grid.axes()
    return x[:, None, None], y[None, :, None], z[None, None, :]


def _box(
    grid: Grid, low_mm: tuple[float, float, float], high_mm: tuple[float, float, float]
) -> tuple[tuple[slice, ...], tuple[NDArray[np.float64], ...]]:
    """Voxels between two corners, and their coordinates along each axis: elsewhere nothing is to be computed."""
    kept = tuple(
        slice(*np.searchsorted(axis, corners)) for axis, *corners in zip(grid.axes(), low_mm, high_mm, strict=True)
    )
    x, y, z = (axis[part] for axis, part in zip(grid.axes(), kept, strict=True))
    return kept, (x[:, None, None], y[None, :, None], z[None, None, :])


def _soft(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """0 below -0.5, 1 above 0.5, linear between."""
    return np.clip(values + 0.5, 0, 1)


def onto(brain: Brain, grid: Grid) -> Brain:
    """The same brain on another grid; outside the template there is no brain, and the distance goes on growing."""
    first, last = np.array([a[[0, -1]] for a in brain.grid.axes()]).T
    beyond = [
        np.clip(np.maximum(low - axis, axis - high), 0, None)
        for axis, low, high in zip(grid.axes(), first, last, strict=True)
    ]
    outside = np.sqrt(
        beyond[0][:, None, None] ** 2 + beyond[1][None, :, None] ** 2 + beyond[2][None, None, :] ** 2
    ).astype(np.float32)
    in_reach = outside < 0.5
    fractions = {name: resample_linear(part, brain.grid, grid) * in_reach for name, part in brain.fractions.items()}
    inner = resample_linear(brain.distance, brain.grid, grid)
    distance = np.where(outside > 0, np.maximum(inner, 0) + outside, inner)
    return Brain(fractions, resample_linear(brain.ventricles, brain.grid, grid) * in_reach, distance, grid)
