"""A volume seen from outside, drawn without a screen: light that is given off and absorbed along parallel rays.

N. Max, Optical models for direct volume rendering, IEEE Trans Vis Comput Graph 1:99, 1995: emission and absorption,
with Lambert's law for the surface. Why not VTK: docs/decisions/0004-volume-rendering.md.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import affine_transform, gaussian_filter

SAMPLES = 144
"""Rays along each side of the picture, and samples along each ray."""

DENSITY = 0.5
"""How much of the light a sample of full opacity takes, for each millimetre."""

AMBIENT = 0.45
"""Light that comes from everywhere."""


def render_volume(
    image: NDArray[np.float32],
    opacity: NDArray[np.float32],
    spacing: Sequence[float],
    azimuth_degrees: float = 35.0,
    elevation_degrees: float = 25.0,
) -> NDArray[np.float32]:
    """The picture of a volume, seen from the front; up on the page is superior.

    Args:
        image: Brightness, 0 to 1, shape (I, J, K), axes along R, A, S.
        opacity: 0 (air) to 1, like `image`.
        spacing: mm.
        azimuth_degrees: 0: from the front; positive: from the patient's right, which is on the left of the page.
        elevation_degrees: Positive: from above.

    Returns:
        Square picture, rows from top to bottom; background is 1.

    Example:
        >>> ball = np.zeros((20, 20, 20), np.float32)
        >>> ball[5:15, 5:15, 5:15] = 1
        >>> picture = render_volume(ball, ball, (2, 2, 2))
        >>> bool(picture[0, 0] == 1 and picture[len(picture) // 2, len(picture) // 2] < 1)
        True
    """
    shape, voxel = np.array(image.shape), np.asarray(spacing, np.float64)
    count, step = SAMPLES, 1.2 * float((shape * voxel).max()) / SAMPLES
    a, e = np.radians(azimuth_degrees), np.radians(elevation_degrees)
    towards = np.array([np.sin(a) * np.cos(e), np.cos(a) * np.cos(e), np.sin(e)])  # from the volume to the eye
    right = np.array([-np.cos(a), np.sin(a), 0.0])  # of the page: the patient's left, seen from the front
    up = np.cross(towards, right)
    # Samples (depth, row, column): away from the eye, down and to the right of the page.
    axes = np.stack([-towards, -up, right], axis=1) * step
    matrix = axes / voxel[:, None]
    centre = (shape - 1) / 2 - matrix @ np.full(3, (count - 1) / 2)

    def seen(values: NDArray[np.float32]) -> NDArray[np.float32]:
        turned = affine_transform(values, matrix, centre, (count, count, count), np.float32, order=1, cval=0.0)
        return np.asarray(turned, np.float32)

    thick, bright = seen(opacity), seen(image)
    absorbed = 1 - np.exp(-DENSITY * step * thick)
    left = np.cumprod(1 - absorbed, axis=0)
    reaching = np.concatenate([np.ones_like(left[:1]), left[:-1]])
    slope = np.stack(np.gradient(gaussian_filter(thick, 1.0)))
    length = np.linalg.norm(slope, axis=0)
    # Light from the eye, from above and from the left of the page; the surface looks against the slope.
    light = np.array([-0.75, -0.5, -0.43])
    facing = np.clip(-(slope * light[:, None, None, None]).sum(axis=0) / np.maximum(length, 1e-6), 0, 1)
    shade = np.where(length > 0.02, AMBIENT + (1 - AMBIENT) * facing, 1.0)
    given = (reaching * absorbed * np.clip(bright, 0, 1) * shade).sum(axis=0)
    return np.asarray(given + left[-1], np.float32)
