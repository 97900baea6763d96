"""From a signal in the head to an image of it: motion, coil, resolution, noise, receiver gain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.fft
import SimpleITK as sitk
from numpy.typing import NDArray

from recontrast.errors import ConfigError, GeometryError
from recontrast.phantom.anatomy import rotation
from recontrast.phantom.grids import Array, Grid, box_matrix, control_grid, smooth_field, spread_spline

FULL_SCALE = 4095
"""Largest value of a 12-bit image, as scanners store them."""

ROLL_OFF = 0.25
"""Share of k-space, at its edge, where the signal is weighted down (half a Hann window) to tame ringing."""


@dataclass(frozen=True)
class Motion:
    """A rigid motion of the head between scans.

    Attributes:
        rotation_deg: Turns about x, y and z through `centre_mm`, in this order, degrees.
        shift_mm: Shift, mm.
        centre_mm: Centre of rotation in the world, mm.
    """

    rotation_deg: tuple[float, float, float] = (0.0, 0.0, 0.0)
    shift_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)
    centre_mm: tuple[float, float, float] = (0.0, -30.0, -60.0)

    @property
    def matrix(self) -> NDArray[np.float64]:
        """World of the reference position to world of the scan, 4x4: where a point of the head has gone."""
        turn = rotation(*np.deg2rad(self.rotation_deg))
        centre = np.array(self.centre_mm)
        matrix = np.eye(4)
        matrix[:3, :3] = turn
        matrix[:3, 3] = centre - turn @ centre + np.array(self.shift_mm)
        return matrix

    @property
    def is_none(self) -> bool:
        """Whether nothing moves."""
        return not any((*self.rotation_deg, *self.shift_mm))


def draw_motion(rng: np.random.Generator, amount: float) -> Motion:
    """Draw a motion of `amount` mm and degrees standard deviation about each axis; the neck is the pivot."""
    turn, shift = rng.normal(0, 1, 3) * amount, rng.normal(0, 1, 3) * amount
    return Motion(tuple(float(v) for v in turn), tuple(float(v) for v in shift))  # type: ignore[arg-type]


def move(image: Array, grid: Grid, motion: Motion) -> Array:
    """The image of a head that has moved, on the same grid; linear interpolation."""
    if motion.is_none:
        return image
    inverse = np.linalg.inv(grid.affine) @ np.linalg.inv(motion.matrix) @ grid.affine
    # ITK counts axes from the last one; it does this many times faster than SciPy.
    steps = sitk.AffineTransform(3)
    steps.SetMatrix(inverse[2::-1, 2::-1].ravel().tolist())
    steps.SetTranslation(inverse[2::-1, 3].tolist())
    still = sitk.GetImageFromArray(image)
    return np.asarray(sitk.GetArrayFromImage(sitk.Resample(still, still, steps, sitk.sitkLinear, 0.0)))


def wandering(images: Sequence[NDArray[np.complex64]], rng: np.random.Generator) -> NDArray[np.complex64]:
    """The image of a head that moved while k-space was filled.

    Lines are acquired one after the other along the second axis (anterior-posterior). Between two of the positions the
    head jerks at a random time; the middle of k-space is acquired in the first position, where it then seems to lie.
    What was acquired elsewhere rings along that axis.

    Args:
        images: The head at each of its positions, all on one grid; the first is that of the middle of k-space.
        rng: Source of the times.
    """
    count = images[0].shape[1]
    spectrum = scipy.fft.fft(images[0], axis=1, workers=1)
    middle, quiet = count // 2, max(2, count // 10)
    # Position in time of the lines: from the most negative frequency to the most positive one.
    times = np.sort(rng.choice(np.arange(1, count), size=len(images) - 1, replace=False))
    parts = np.searchsorted(times, np.arange(count), side="right")
    where = (parts + len(images) - parts[middle]) % len(images)
    where[middle - quiet : middle + quiet + 1] = 0
    where = np.fft.ifftshift(where)
    for position in range(1, len(images)):
        lines = np.flatnonzero(where == position)
        if lines.size:
            spectrum[:, lines] = scipy.fft.fft(images[position], axis=1, workers=1)[:, lines]
    return np.asarray(scipy.fft.ifft(spectrum, axis=1, workers=1, overwrite_x=True), np.complex64)


def interpolation_loss(count: int) -> NDArray[np.float32]:
    """Mean loss of linear interpolation at unknown positions, by frequency of a discrete Fourier transform: sinc^2."""
    return np.sinc(scipy.fft.fftfreq(count)).astype(np.float32) ** 2


def sensitivity(grid: Grid, rng: np.random.Generator, strength: float, region: Grid) -> Array:
    """Receive sensitivity of a head coil after partial correction: brighter near the elements, uneven, mean one.

    Eight loops stand around the head; each sees (1 + d^2/R^2)^(-3/2) at distance d, as on the axis of a loop of
    radius R (Roemer 1990, Magn Reson Med 16:192, whose root sum of squares combines them). A slow random field is
    multiplied on. The logarithm is scaled to the strength.

    Args:
        grid: Where it is wanted.
        rng: Source of random numbers.
        strength: Standard deviation of its logarithm over the field of view; 0: even.
        region: Field of view, which fixes the random field.
    """
    if strength == 0:
        return np.ones(grid.shape, np.float32)
    control = control_grid(region, 24.0)
    x, y, z = np.meshgrid(*control.axes(), indexing="ij")
    total = np.zeros(control.shape)
    for element in range(8):
        angle = 2 * np.pi * (element + 0.5) / 8
        gain = np.exp(rng.normal(0, 0.15))
        height = 40.0 * (-1) ** element
        apart = (x - 120 * np.sin(angle)) ** 2 + (y + 5 - 140 * np.cos(angle)) ** 2 + (z + 5 - height) ** 2
        total += gain**2 * (1 + apart / 75.0**2) ** -3
    smooth = smooth_field(rng, control, 90.0, region)
    logarithm = 0.5 * np.log(total)
    logarithm = (logarithm - logarithm.mean()) / logarithm.std() + 0.5 * smooth
    logarithm *= strength / logarithm.std()
    return np.exp(spread_spline(logarithm - logarithm.mean(), control, grid))


def truncate(
    image: NDArray[np.complexfloating] | Array, shape: tuple[int, int, int], sharpen: bool = False
) -> NDArray[np.complex64]:
    """Keep the centre of k-space: the image at the resolution of `shape` over the same field of view.

    Voxel (0, 0, 0) stays where it is. The edge of k-space is weighted down over `ROLL_OFF` of its extent.

    Args:
        image: Real or complex, on the fine grid.
        shape: Wanted number of voxels, none larger than the image's.
        sharpen: Whether the image was interpolated linearly before; its mean loss is then made good.

    Raises:
        GeometryError: `shape` is larger than the image.
    """
    if any(n > m for n, m in zip(shape, image.shape, strict=True)):
        raise GeometryError(f"k-space of shape {image.shape} cannot be truncated to {shape}, which is larger")
    data: NDArray[np.complex64] = np.asarray(image, np.complex64)
    for axis, (fine, count) in enumerate(zip(image.shape, shape, strict=True)):
        frequency = np.rint(scipy.fft.fftfreq(count) * count)
        keep = frequency.astype(int) % fine
        weight = _taper(frequency, count) if count < fine else np.ones(count)
        if sharpen:
            weight = weight / interpolation_loss(fine)[keep]
        spectrum = scipy.fft.fft(data, axis=axis, workers=1)
        spectrum = np.take(spectrum, keep, axis=axis)
        spectrum *= np.expand_dims(weight * (count / fine), [a for a in range(3) if a != axis]).astype(np.float32)
        data = scipy.fft.ifft(spectrum, axis=axis, workers=1, overwrite_x=True)
    return data


def _taper(frequency: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    edge = np.abs(frequency) / (count / 2)
    inside = np.clip((edge - (1 - ROLL_OFF)) / ROLL_OFF, 0, 1)
    # An even number of samples holds only one of the two outermost frequencies: it is left out to keep images real.
    return np.where(edge >= 1, 0.0, 0.5 * (1 + np.cos(np.pi * inside)))


def slice_profile(image: NDArray[np.complex64], grid: Grid, target: Grid, thickness_mm: float) -> NDArray[np.complex64]:
    """Mean over slices `thickness_mm` thick at the slice positions of `target` (its third axis)."""
    positions = target.positions_in(grid)[2]
    matrix = box_matrix(grid.shape[2], positions, thickness_mm / grid.spacing[2])
    return np.asarray(image @ matrix.T.astype(np.complex64))


def add_noise(image: NDArray[np.complex64], sigma: float, rng: np.random.Generator) -> NDArray[np.complex64]:
    """Add independent normal noise of standard deviation `sigma` to real and imaginary part.

    The magnitude then follows a Rice distribution (Gudbjartsson and Patz 1995, Magn Reson Med 34:910).

    Raises:
        ConfigError: `sigma` is negative or not finite.
    """
    if not (np.isfinite(sigma) and sigma >= 0):
        raise ConfigError(f"noise needs a standard deviation of at least 0, got {sigma}")
    noisy = np.array(image, np.complex64)
    noisy.real += np.float32(sigma) * rng.standard_normal(image.shape, dtype=np.float32)
    noisy.imag += np.float32(sigma) * rng.standard_normal(image.shape, dtype=np.float32)
    return noisy


def receiver_gain(magnitudes: Sequence[Array], rng: np.random.Generator) -> float:
    """One gain for images acquired together: their largest 99.9th percentile comes to 30 to 85 % of full scale."""
    top = max(float(np.percentile(magnitude, 99.9)) for magnitude in magnitudes)
    return FULL_SCALE * float(rng.uniform(0.30, 0.85)) / top if top > 0 else 1.0


def to_integers(magnitude: Array, gain: float) -> NDArray[np.int16]:
    """Store a magnitude image as scanners do: 12 bits in int16; what is above full scale is clipped."""
    return np.clip(np.rint(magnitude * np.float32(gain)), 0, FULL_SCALE).astype(np.int16)
