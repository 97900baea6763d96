"""One subject in the scanner: from anatomy and a protocol to an image and to the truth."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_closing, binary_fill_holes, label

from recontrast.phantom.acquisition import Motion, add_noise, move, sensitivity, slice_profile, truncate, wandering
from recontrast.phantom.anatomy import Anatomy
from recontrast.phantom.grids import Array, Grid, average_boxes, covering, smooth_field
from recontrast.phantom.protocols import Scan
from recontrast.phantom.sequences import TurboSpinEcho, signal_at
from recontrast.phantom.tissues import BRAIN, RELAXIVITY, Relaxation, Tissue

LOW_MM, HIGH_MM = (-96.0, -126.0, -118.0), (96.0, 114.0, 98.0)
"""Corners of the field of view: crown to upper lip, nose to nape, ear to ear."""

FINEST_MM = 0.9
"""Anatomy is rendered no finer than this: the template has 1 mm."""

OVERSAMPLING = 1.5
"""The signal is made on a grid this much finer than the image and then truncated in k-space."""


_DEVIATIONS = (-0.4, -0.3, -0.2, -0.1, 0.1, 0.2, 0.3, 0.4)
_DEGREE = 4
"""Along the transmit field a signal follows the polynomial of this degree through its exact values at `_DEVIATIONS`."""


@dataclass(frozen=True)
class FieldOfView:
    """The grids of a cohort.

    Attributes:
        region: A coarse grid over the whole field of view: where random fields live.
        image: The grid of the scans.
        fine: The grid on which signals are made; its voxel (0, 0, 0) is that of `image`.
    """

    region: Grid
    image: Grid
    fine: Grid


def field_of_view(spacing_mm: float) -> FieldOfView:
    """The grids for a voxel size, isotropic, the same for every subject.

    Example:
        >>> field_of_view(2.0).image.shape
        (96, 120, 108)
    """
    extent = np.subtract(HIGH_MM, LOW_MM)
    # Multiples of four: even in the image, and a whole number of fine voxels.
    i, j, k = (4 * int(np.ceil(e / spacing_mm / 4 - 1e-6)) for e in extent)
    centre = np.add(LOW_MM, HIGH_MM) / 2
    x, y, z = (float(c - (n - 1) / 2 * spacing_mm) for c, n in zip(centre, (i, j, k), strict=True))
    image = Grid((i, j, k), (spacing_mm,) * 3, (x, y, z))
    factor = OVERSAMPLING if spacing_mm / OVERSAMPLING >= FINEST_MM else 1.0
    fine = Grid((int(i * factor), int(j * factor), int(k * factor)), (spacing_mm / factor,) * 3, (x, y, z))
    return FieldOfView(covering(LOW_MM, HIGH_MM, 8.0), image, fine)


def stream(seed: int, index: int, purpose: str) -> np.random.Generator:
    """Random numbers for one purpose and one subject: they depend on nothing else.

    Args:
        seed: Seed of the cohort.
        index: Number of the subject.
        purpose: What they are for ("shape", "noise of T1w"); each has its own stream.
    """
    return np.random.default_rng(np.random.SeedSequence([seed, index, zlib.crc32(purpose.encode())]))


@dataclass(eq=False)
class Subject:
    """A subject in the scanner, ready for any number of scans.

    Attributes:
        anatomy: The head, on the fine grid of the field of view.
        lesion: Share of lesion in each voxel, same grid.
        tissues: The subject's tissue parameters.
        view: The grids.
        coil: Receive sensitivity on the fine grid.
        water: Texture field that moves T1, T2 and proton density together; unit standard deviation.
        iron: Texture field that shortens T2 mostly; unit standard deviation.
        field_strength_t: Field strength, T.
        transmit: Transmit field relative to nominal, less 1, on the fine grid; None: even.
        inversion_efficiency: Of the inversion pulse of FLAIR.
    """

    anatomy: Anatomy
    lesion: Array
    tissues: Mapping[str, Tissue]
    view: FieldOfView
    coil: Array
    water: Array
    iron: Array
    field_strength_t: float
    transmit: Array | None = None
    inversion_efficiency: float = 1.0


def textures(rng: np.random.Generator, grid: Grid, region: Grid) -> tuple[Array, Array]:
    """Two fields of fine and coarse variation, unit standard deviation: for water content and for iron."""
    fields = [
        np.float32(0.8) * smooth_field(rng, grid, 15.0, region) + np.float32(0.6) * smooth_field(rng, grid, 5.0, region)
        for _ in range(2)
    ]
    return fields[0], fields[1]


def make_coil(rng: np.random.Generator, view: FieldOfView, strength: float) -> Array:
    """Receive sensitivity on the fine grid; see `acquisition.sensitivity`."""
    return sensitivity(view.fine, rng, strength, view.region)


def make_transmit(rng: np.random.Generator, view: FieldOfView, strength: float) -> Array | None:
    """Transmit field on the fine grid, relative to nominal, less 1; None when it is even.

    A dome over the head (at 3 T the wavelength in tissue makes the middle strong and the edge weak), with a smooth
    random part of a third of its spread.

    Args:
        rng: Source of random numbers.
        view: The grids of the cohort.
        strength: Standard deviation over the field of view.
    """
    if strength == 0:
        return None
    half = [(b - a) / 2 for a, b in zip(LOW_MM, HIGH_MM, strict=True)]
    middle = [(b + a) / 2 for a, b in zip(LOW_MM, HIGH_MM, strict=True)]
    x, y, z = (((a - m) / h) ** 2 for a, m, h in zip(view.fine.axes(), middle, half, strict=True))
    dome = -(x[:, None, None] + y[None, :, None] + z[None, None, :])
    field = (dome - dome.mean()) / dome.std() + smooth_field(rng, view.fine, 80.0, view.region) / 3
    return np.asarray(strength * field / field.std(), np.float32)


def tissue_signals(subject: Subject, scan: Scan) -> Array:
    """Signal of each tissue, and how it changes, shape (3 or 7, tissues).

    Rows: the signal, its slopes along the two texture fields, and where the transmit field is uneven the coefficients
    of the polynomial that the signal follows along that.
    """
    tissues = [subject.tissues[name] for name in subject.anatomy.tissues]
    sequence = scan.sequence
    if isinstance(sequence, TurboSpinEcho) and sequence.inversion_time_s > 0:
        sequence = replace(sequence, inversion_efficiency=sequence.inversion_efficiency * subject.inversion_efficiency)
    plain = Relaxation.of(tissues)
    kept = np.array([1 - t.flowing * (1 - scan.sequence.blood_signal) for t in tissues])
    if scan.fat_saturated:
        kept *= np.array([1 - t.fat for t in tissues])

    def signal(relaxation: Relaxation, transmit: float = 1.0) -> NDArray[np.float64]:
        if scan.gadolinium:
            uptake = np.array([t.uptake_mmol_l for t in tissues])
            relaxation = relaxation.with_gadolinium(uptake, *RELAXIVITY[subject.field_strength_t])
        return signal_at(sequence, relaxation, transmit) * kept

    size = np.array([t.texture for t in tissues])
    rows = [signal(plain)]
    for field in (water_effect, iron_effect):
        rows.append((signal(field(plain, size)) - signal(field(plain, -size))) / 2)
    if subject.transmit is not None:
        changes = np.array([signal(plain, 1 + deviation) - rows[0] for deviation in _DEVIATIONS])
        powers = np.array(_DEVIATIONS)[:, None] ** np.arange(1, _DEGREE + 1)
        rows.extend(np.linalg.lstsq(powers, changes, rcond=None)[0])
    return np.array(rows, np.float32)


def water_effect(relaxation: Relaxation, size: NDArray[np.float64]) -> Relaxation:
    """Relaxation where there is more water: longer T1, longer T2, more protons."""
    return relaxation.scaled(t1=np.exp(size), t2=np.exp(0.8 * size), pd=np.exp(0.25 * size))


def iron_effect(relaxation: Relaxation, size: NDArray[np.float64]) -> Relaxation:
    """Relaxation where there is more iron: shorter T2 and T2*, slightly shorter T1."""
    return relaxation.scaled(t1=np.exp(-0.3 * size), t2=np.exp(-size))


def image_grid(view: FieldOfView, scan: Scan, slice_mm: float, gap_mm: float) -> Grid:
    """Grid of a scan: that of the cohort, a coarser one, or thick slices with gaps for 2D scans.

    Args:
        view: The grids of the cohort.
        scan: What is acquired.
        slice_mm: Slice thickness of 2D scans, mm; 0: isotropic.
        gap_mm: Distance between slices, mm.
    """
    image = view.image
    if scan.coarseness != 1:
        i, j, k = (2 * int(np.ceil(n / scan.coarseness / 2 - 1e-6)) for n in image.shape)
        a, b, c = (s * n / m for s, n, m in zip(image.spacing, image.shape, (i, j, k), strict=True))
        image = Grid((i, j, k), (a, b, c), image.origin)
    if slice_mm > 0 and not scan.three_dimensional:
        pitch = slice_mm + gap_mm
        extent = image.shape[2] * image.spacing[2]
        first = image.origin[2] - image.spacing[2] / 2 + pitch / 2
        shape = (image.shape[0], image.shape[1], max(1, int(extent / pitch)))
        x, y, _ = image.origin
        return Grid(shape, (image.spacing[0], image.spacing[1], pitch), (x, y, first))
    return image


@dataclass(frozen=True, eq=False)
class Image:
    """An acquired image.

    Attributes:
        scan: How it was acquired.
        values: Complex signal.
        grid: Where its voxels lie.
    """

    scan: Scan
    values: NDArray[np.complex64]
    grid: Grid


def acquire(
    subject: Subject,
    scans: Sequence[Scan],
    motion: Motion,
    snr: float,
    rng: np.random.Generator,
    slice_mm: float = 0.0,
    gap_mm: float = 0.0,
    wander: Sequence[Motion] = (),
) -> list[Image]:
    """Acquire the images of one contrast, which share position, noise level and phase.

    The SNR is the mean magnitude of white matter, without noise, in the brightest of the images, over the standard
    deviation of the noise in the real and in the imaginary part; `inf` gives no noise.

    Args:
        subject: Who lies in the scanner.
        scans: What is acquired.
        motion: Where the head has moved since the reference position.
        snr: Signal-to-noise ratio as above.
        rng: Source of noise and phase.
        slice_mm: Slice thickness of 2D scans, mm; 0: isotropic.
        gap_mm: Distance between slices, mm.
        wander: Further positions of the head while a scan is made; empty: it lies still.
    """
    signals = [fine_signal(subject, scan) for scan in scans]
    sigma = max(_white_matter_mean(subject, signal) for signal in signals) / snr
    phase_rng, *noise_rngs = rng.spawn(1 + len(scans))
    jerk_rng = rng.spawn(1)[0] if wander else rng
    phase = None
    images = []
    for scan, signal, noise_rng in zip(scans, signals, noise_rngs, strict=True):
        grid = image_grid(subject.view, scan, slice_mm, gap_mm)
        thickness = 0.0 if scan.three_dimensional else slice_mm
        seen = [_encode(subject, signal, position, grid, thickness) for position in (motion, *wander)]
        image = wandering(seen, jerk_rng) if wander else seen[0]
        if scan.phase:
            if phase is None:
                phase = np.exp(0.8j * smooth_field(phase_rng, grid, 70.0, subject.view.region)).astype(np.complex64)
            image = image * phase
        images.append(Image(scan, add_noise(image, sigma, noise_rng), grid))
    return images


def _white_matter_mean(subject: Subject, signal: Array) -> float:
    white = subject.anatomy.share("WM")
    if not white.any():
        white = subject.anatomy.fractions.sum(axis=0)
    return float((np.abs(signal) * white).sum(dtype=np.float64) / white.sum(dtype=np.float64))


def _encode(subject: Subject, signal: Array, motion: Motion, grid: Grid, slice_mm: float) -> NDArray[np.complex64]:
    """The image of a signal at the resolution of `grid`: motion, coil, k-space, slices."""
    fine = subject.view.fine
    seen = move(signal, fine, motion) * subject.coil
    slices = fine.shape[2] if slice_mm > 0 else grid.shape[2]
    image = truncate(seen, (grid.shape[0], grid.shape[1], slices), sharpen=not motion.is_none)
    return slice_profile(image, fine, grid, slice_mm) if slice_mm > 0 else image


def fine_signal(subject: Subject, scan: Scan) -> Array:
    """Signed signal on the fine grid, without coil, motion and noise."""
    fractions = subject.anatomy.fractions
    weights = tissue_signals(subject, scan)
    mixed = (weights @ fractions.reshape(len(fractions), -1)).reshape(len(weights), *subject.anatomy.grid.shape)
    signal = mixed[0] + subject.water * mixed[1] + subject.iron * mixed[2]
    if subject.transmit is not None:
        change = mixed[-1]
        for coefficient in mixed[-2:2:-1]:
            change = coefficient + subject.transmit * change
        signal += subject.transmit * change
    return np.asarray(signal)


@dataclass(frozen=True, eq=False)
class Truth:
    """What is known of a subject, on the grid of the scans and in the reference position of the head.

    Attributes:
        fractions: Tissue name to its share.
        labels: Number of the commonest tissue in each voxel; 0 is air.
        brain: Brain mask, ventricles and sulci within it.
        lesion: Lesion mask.
        maps: `T1map`, `T2map`, `T2starmap` in s and `PDmap` 0 to 1; 0 in air. Times are those of the mean rate,
            weighted by proton density.
    """

    fractions: dict[str, Array]
    labels: NDArray[np.uint8]
    brain: NDArray[np.bool_]
    lesion: NDArray[np.bool_]
    maps: dict[str, Array]


def truth_of(subject: Subject, numbers: Mapping[str, int]) -> Truth:
    """Average the fine anatomy over the voxels of the scans.

    Args:
        subject: The subject.
        numbers: Label number of each tissue.
    """
    anatomy, image = subject.anatomy, subject.view.image
    averaged = [np.clip(average_boxes(part, anatomy.grid, image), 0, 1) for part in anatomy.fractions]
    shares = dict(zip(anatomy.tissues, averaged, strict=True))
    background = np.asarray(1 - sum(averaged), np.float32)
    table = np.array([0, *(numbers[name] for name in shares)], np.uint8)
    lesion = average_boxes(subject.lesion, anatomy.grid, image) >= 0.5
    ventricles = average_boxes(anatomy.ventricles, anatomy.grid, image)
    solid = sum(shares[name] for name in shares if name in BRAIN and name != "CSF") + ventricles
    brain = _whole(np.asarray(solid >= 0.5) | lesion)
    maps = _parameter_maps(subject, shares)
    return Truth(shares, table[_largest([background, *averaged])], brain, lesion, maps)


def _largest(shares: Sequence[Array]) -> NDArray[np.uint8]:
    """Number of the largest share at each voxel, the first of equal ones; faster than argmax over a stack."""
    most, number = shares[0].copy(), np.zeros(shares[0].shape, np.uint8)
    for position, share in enumerate(shares[1:], start=1):
        np.copyto(number, position, where=share > most, casting="unsafe")
        np.maximum(most, share, out=most)
    return number


def _whole(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The largest piece with its narrow sulci closed and holes filled."""
    if not mask.any():
        return mask
    closed = binary_fill_holes(binary_closing(np.pad(mask, 3), iterations=2)[3:-3, 3:-3, 3:-3] | mask)
    pieces, count = label(closed)
    sizes = np.bincount(pieces.ravel(), minlength=count + 1)
    sizes[0] = 0
    return np.asarray(pieces == sizes.argmax())


def _parameter_maps(subject: Subject, shares: Mapping[str, Array]) -> dict[str, Array]:
    shape = subject.view.image.shape
    rates = {"T1map": np.zeros(shape, np.float32), "T2map": np.zeros(shape, np.float32),
             "T2starmap": np.zeros(shape, np.float32)}  # fmt: skip
    density, texture = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    for name, share in shares.items():
        tissue = subject.tissues[name]
        protons = share * np.float32(tissue.pd)
        density += protons
        texture += protons * np.float32(tissue.texture)
        for key, time in (("T1map", tissue.t1_s), ("T2map", tissue.t2_s), ("T2starmap", tissue.t2star_s)):
            rates[key] += protons / np.float32(time)
    present = density > 0.01
    size = np.divide(texture, density, out=np.zeros_like(texture), where=present)
    fine, image = subject.anatomy.grid, subject.view.image
    water, iron = (size * average_boxes(field, fine, image) for field in (subject.water, subject.iron))
    factors = {"T1map": np.exp(water - 0.3 * iron), "T2map": np.exp(0.8 * water - iron)}
    factors["T2starmap"] = factors["T2map"]
    maps = {
        key: np.divide(density, rate, out=np.zeros_like(rate), where=present) * factors[key]
        for key, rate in rates.items()
    }
    maps["PDmap"] = np.clip(density * np.exp(0.25 * water), 0, 1)
    return maps
