"""The head around the brain: CSF gap, skull, fat, skin, face, eyes, sinuses, neck, vessels.

The template is skull-stripped, so all this is modelled: layers by distance from the brain's surface, and simple
bodies (ellipsoids, tubes) in MNI coordinates. It is meant to look and behave like a head in an image, not to be a
model of anyone's skull. The head is symmetric; subjects are made asymmetric in `anatomy`.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from recontrast.phantom.anatomy import Head
from recontrast.phantom.canvas import Canvas, soft
from recontrast.phantom.face import paint_face
from recontrast.phantom.grids import Array, Grid, covering, resample_linear, smooth_field
from recontrast.phantom.template import Brain, onto, read_brain
from recontrast.phantom.tissues import HEALTHY

LOW_MM, HIGH_MM = (-104.0, -138.0, -138.0), (104.0, 126.0, 102.0)
"""Corners of the template head in MNI coordinates."""

MNI_SCALE = 0.93
"""MNI152 brains are larger than most: a mean adult intracranial volume is about 0.8 of theirs (0.93 cubed)."""

SLAB = 24
"""Slices painted at a time: keeps the memory of a 1 mm head below 0.5 GB."""

GAP_MM, INNER_MM, OUTER_MM = 2.6, 4.4, 9.0
"""Distance from the brain's surface to the skull, to the marrow space (at least) and to the skull's outer face."""


@functools.lru_cache(maxsize=1)
def mni_head(spacing_mm: float) -> Head:
    """The template head, painted on a grid of the given spacing; kept for the next call.

    Args:
        spacing_mm: Voxel size; 1 to 2 mm are sensible.
    """
    brain = read_brain()
    grid = covering(LOW_MM, HIGH_MM, spacing_mm)
    fractions = np.zeros((len(HEALTHY), *grid.shape), np.uint8)
    ventricles = np.zeros(grid.shape, np.uint8)
    for start in range(0, grid.shape[2], SLAB):
        slab = _slab(grid, start)
        painted, inner = _paint(onto(brain, slab), grid)
        fractions[..., start : start + slab.shape[2]] = np.rint(painted * 255)
        ventricles[..., start : start + slab.shape[2]] = np.rint(inner * 255)
    coarse = covering(LOW_MM, HIGH_MM, 4.0)
    return Head(
        HEALTHY, fractions, grid, ventricles, coarse, onto(brain, coarse).distance,
        pull_towards(resample_linear(ventricles / np.float32(255), grid, coarse)), MNI_SCALE,
    )  # fmt: skip


def pull_towards(ventricles: Array, spacing_mm: float = 4.0) -> Array:
    """Gradient of the smoothed ventricles, largest length one: the direction in which their walls give way."""
    blurred = gaussian_filter(ventricles, 7.0 / spacing_mm)
    slope = np.stack(np.gradient(blurred)).astype(np.float32)
    steepest = float(np.sqrt((slope**2).sum(axis=0)).max())
    return slope / np.float32(steepest) if steepest > 0 else slope


def _slab(grid: Grid, start: int) -> Grid:
    count = min(SLAB, grid.shape[2] - start)
    x, y, z = grid.origin
    return Grid((grid.shape[0], grid.shape[1], count), grid.spacing, (x, y, z + start * grid.spacing[2]))


def _paint(brain: Brain, region: Grid) -> tuple[Array, Array]:
    """Fractions of all tissues on the grid of `brain`, painted from the outside in."""
    canvas = Canvas(brain.grid, HEALTHY)
    noise = _noises(brain.grid, region)
    distance = brain.distance
    _paint_soft_tissue(canvas, distance, noise)
    paint_face(canvas, distance, noise["fine"])
    _paint_skull(canvas, distance, noise)
    _paint_brain(canvas, brain)
    _paint_neck_canal(canvas)
    _paint_vessels(canvas, distance)
    return canvas.fractions, brain.ventricles


def _noises(grid: Grid, region: Grid) -> dict[str, Array]:
    """Smooth fields that make thickness and fat planes uneven; the same for every call."""
    return {
        name: smooth_field(np.random.default_rng(seed), grid, correlation, region)
        for seed, (name, correlation) in enumerate({"wide": 35.0, "middle": 14.0, "fine": 7.0}.items())
    }


def _paint_soft_tissue(canvas: Canvas, distance: Array, noise: dict[str, Array]) -> None:
    """Skin, fat below it, then muscle crossed by thin planes of fat."""
    depth = _outline(canvas, distance)
    inside = soft(depth / canvas.grid.spacing[0])
    canvas.lay("muscle", inside)
    planes = np.exp(-((noise["middle"] / 0.16) ** 2)) * 0.85 + np.exp(-((noise["fine"] / 0.1) ** 2)) * 0.3
    canvas.lay("fat", inside * np.clip(planes, 0, 1) * soft((distance - OUTER_MM - 1) / 2))
    x, y, z = canvas.axes
    nape = 4.0 * soft((-55 - y) / 12) * soft((-55 - z) / 12)
    cheek = 2.5 * soft((y - 30) / 20) * soft((-40 - z) / 10)
    thickness = (4.2 + nape + cheek) * (1 + 0.18 * noise["wide"])
    canvas.lay("fat", soft((2.0 + thickness - depth) / canvas.grid.spacing[0]) * inside)
    # Over the skull there is no muscle but at the temples.
    temple = soft((np.abs(x) - 48) / 6) * soft((18 - z) / 10) * soft((52 - y) / 8) * soft((y + 30) / 10)
    canvas.lay("fat", inside * soft((z + 20 - 0.4 * (y - 10)) / 8) * (1 - temple))
    canvas.lay("scalp", soft((2.1 - depth) / canvas.grid.spacing[0]) * inside)


def _outline(canvas: Canvas, distance: Array) -> Array:
    """Depth below the skin in mm, negative in air: cranium, face and neck joined smoothly, with nose and ears."""
    x, y, z = canvas.axes
    temples = 3.0 * np.exp(-(((y - 12) / 32) ** 2) - ((z + 22) / 26) ** 2) * soft((np.abs(x) - 40) / 10)
    cranium = (14.5 + temples - distance).astype(np.float32)
    face = canvas.ellipsoid((0, 36, -62), (64, 60, 84))
    neck = (1 - np.sqrt((x / 61) ** 2 + ((y + 34) / 62) ** 2)) * 60
    neck = np.minimum(neck, (-40 - z) * 0.8)
    joined = _smooth_maximum([cranium, face, np.broadcast_to(neck, cranium.shape)], 5.0)
    nose = canvas.ellipsoid((0, 97, -60), (14, 20, 22))
    ears = np.maximum(canvas.ellipsoid((76, -26, -42), (10, 14, 26)), canvas.ellipsoid((-76, -26, -42), (10, 14, 26)))
    return np.maximum(np.maximum(joined, nose), ears).astype(np.float32)


def _smooth_maximum(parts: Sequence[NDArray[np.floating]], width_mm: float) -> Array:
    largest = functools.reduce(np.maximum, parts)
    total = sum(np.exp((part - largest) / width_mm) for part in parts)
    return np.asarray(largest + width_mm * np.log(total), np.float32)


def _paint_skull(canvas: Canvas, distance: Array, noise: dict[str, Array]) -> None:
    """Two tables of bone with fatty marrow between, thin at the temples, open where the spinal cord leaves."""
    x, y, z = canvas.axes
    temple = soft((np.abs(x) - 52) / 8) * soft((15 - z) / 10) * soft((40 - y) / 10) * soft((y + 30) / 10)
    outer = OUTER_MM + 1.2 * noise["wide"] - 3.2 * temple
    opening = soft((np.sqrt((x / 17) ** 2 + ((y + 43) / 19) ** 2) - 1) * 8) + soft((z + 58) / 4)
    present = np.clip(opening, 0, 1)
    step = canvas.grid.spacing[0]
    bone = soft((distance - GAP_MM) / step) * soft((outer - distance) / step) * present
    canvas.lay("skull", bone)
    space = soft((distance - INNER_MM) / step) * soft((outer - 1.7 - distance) / step) * present
    canvas.lay("marrow", space * (0.75 + 0.25 * np.tanh(noise["fine"])))
    canvas.lay("meninges", soft((distance - GAP_MM + 0.9) / step) * soft((GAP_MM - distance) / step) * present)


def _paint_brain(canvas: Canvas, brain: Brain) -> None:
    """CSF fills the space inside the skull; the brain lies in it."""
    step = canvas.grid.spacing[0]
    canvas.lay("CSF", soft((GAP_MM - 0.7 - brain.distance) / step))
    covered = np.clip(sum(brain.fractions.values()), 0, 1)
    canvas.fractions *= 1 - covered
    for name, part in brain.fractions.items():
        canvas.fractions[canvas.index(name)] += part
    # The falx: a thin sheet between the hemispheres, where there is CSF.
    x, y, z = canvas.axes
    fluid = brain.fractions["CSF"]
    above = (
        soft((z - 18 - 0.004 * (y - 10) ** 2 * (y < -40)) / 6)
        + soft((y - 35) / 6)
        + soft((-45 - y) / 6) * soft((z - 5) / 6)
    )
    canvas.lay("meninges", fluid * np.clip(above, 0, 1) * soft((0.8 - np.abs(x)) / step) * 0.6)


def _paint_neck_canal(canvas: Canvas) -> None:
    """Upper cervical spine: vertebral bodies, the canal with CSF and cord."""
    z = canvas.axes[2]
    below = soft((-76 - z) / 3)
    disc = np.exp(-((((z + 138) % 19 - 9.5) / 1.8) ** 2))
    canvas.lay("skull", canvas.column((0, -24), (13, 11)) * below)
    canvas.lay("marrow", canvas.column((0, -24), (11, 9)) * below * (1 - disc))
    canvas.lay("mucosa", canvas.column((0, -24), (12, 10)) * below * disc * 0.8)
    canvas.lay("skull", canvas.column((0, -49), (17, 15)) * below * (1 - 0.6 * disc))
    canvas.lay("meninges", canvas.column((0, -46), (12, 9.5)) * below)
    # The cord leaves the template at its lower edge, 72 mm below the origin.
    canvas.lay("CSF", canvas.column((0, -46), (11, 8.5)) * soft((-68 - z) / 3))
    canvas.lay("nerve", canvas.column((0, -45.5), (6.5, 5)) * soft((-70 - z) / 3))


def _paint_vessels(canvas: Canvas, distance: Array) -> None:
    """Dural sinuses, jugular veins, carotid, vertebral and cerebral arteries."""
    x, y, z = canvas.axes
    step = canvas.grid.spacing[0]
    # The superior sagittal sinus is a wedge between the hemispheres under the skull.
    wedge = soft((0.65 * (distance + 4.0) - np.abs(x)) / step) * soft((GAP_MM + 0.6 - distance) / step)
    vault = soft((z - 2 - 0.25 * (y - 20)) / 6) * soft((z + 8) / 6)
    canvas.lay("vessels", wedge * vault * (np.abs(x) < 8))
    for side in (-1, 1):
        canvas.tube("vessels", _mirrored(side, (0, -103, -8), (32, -90, -20), (55, -62, -28), (56, -44, -40),
                                         (40, -36, -60), (34, -22, -72), (36, -14, -138)), 3.6)  # fmt: skip
        canvas.tube("vessels", _mirrored(side, (26, 2, -138), (24, -8, -70), (22, -14, -48), (12, -2, -36),
                                         (12, 6, -26), (13, 1, -19)), 2.3)  # fmt: skip
        canvas.tube("vessels", _mirrored(side, (13, 1, -19), (24, 4, -18), (36, 2, -16), (41, -6, -4)), 1.4)
        canvas.tube("vessels", _mirrored(side, (13, 1, -19), (3, 12, -16), (3, 26, -6), (3, 36, 6)), 1.2)
        canvas.tube("vessels", _mirrored(side, (18, -36, -138), (16, -38, -80), (6, -30, -62), (0, -26, -52)), 1.7)
    canvas.tube("vessels", ((0, -26, -52), (0, -24, -38), (0, -18, -22)), 1.7)


def _mirrored(side: int, *points: tuple[float, float, float]) -> tuple[tuple[float, float, float], ...]:
    return tuple((side * x, y, z) for x, y, z in points)
