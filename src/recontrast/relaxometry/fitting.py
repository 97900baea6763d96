"""Relaxation times from images with known sequence parameters, voxel by voxel.

One fit for all series: several delays, flip angles or inversion times tell T1, several echo times tell T2, the size of
the signal tells proton density, and (for pulses that are not 90 or 180 degrees) the shape also tells the transmit
field B1. Least squares on the signals themselves, not on their logarithms or on linearised forms, so that noise does
not bias short or long times.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence as Many
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from recontrast.errors import ConfigError, GeometryError, IntensityError, RecontrastWarning
from recontrast.phantom.sequences import Sequence
from recontrast.relaxometry.design import Design, angles_of, read_design
from recontrast.relaxometry.maps import ParameterMaps
from recontrast.relaxometry.separable import Search, Solution, Values, refine, solve

Kind = Literal["auto", "complex", "magnitude", "signed"]

_CLEAR = 0.1
"""Clear signal: this part of the brightest voxels or more. Clearly negative: below minus this part of its largest."""

_TURNED = 0.01
"""Images are signed where more than this part of the voxels with clear signal is clearly negative in one of them."""

T1_RANGE_S = (0.02, 10.0)
T2_RANGE_S = (0.003, 5.0)
B1_RANGE = (0.5, 1.5)

_CHUNK = 16384
"""Voxels at a time: their arrays stay in the processor's cache."""
_EVEN_B1 = (0.8, 1.2)


@dataclass(frozen=True)
class _Fitted:
    """Columns of the fitted voxels; NaN errors where nothing can be said."""

    pd: Values
    r1: Values | None
    r2: Values | None
    b1: Values | None
    errors: dict[str, Values]
    noise: Values
    misfit: Values


def fit_maps(
    images: NDArray[Any],
    sequences: Many[Sequence],
    *,
    mask: NDArray[np.bool_] | None = None,
    b1: float | NDArray[Any] | Literal["fit"] = 1.0,
    noise: float | None = None,
    kind: Kind = "auto",
) -> ParameterMaps:
    """Fit R1, R2, proton density and, when asked for, B1.

    What is fitted follows from the sequences: R1 when they differ in T1-weighting, R2 when they differ in echo time.
    Without several echo times proton density is that of the echo time used; without several T1-weightings it is
    weighted by T1.

    Args:
        images: Signals, (..., N): the images are the last axis, in the order of `sequences`. Complex images may have
            any phase that the images of one echo share; magnitudes (real, not negative) have lost the sign, which the
            shape of the curve gives back except near zero crossings.
        sequences: Sequence of each image; all combinations of their T1-weightings and echo times.
        mask: Voxels to fit, (...); None: those with any signal.
        b1: Transmit field relative to nominal: one number, a map (...), or "fit" (needs angles other than 90 and 180
            degrees, and three T1-weightings or more).
        noise: Standard deviation of the noise in real and imaginary part, in units of the images; None: from the
            misfit of each voxel. It sets the standard errors only.
        kind: What the images are; auto: complex when complex, signed when more than a hundredth of the voxels with
            clear signal are clearly negative in an image, magnitude otherwise: interpolation leaves small negative
            values in magnitudes, which then count without their sign.

    Raises:
        ConfigError: Number of images and sequences differ, or the sequences cannot be fitted together.
        GeometryError: Mask or B1 map have another shape than the images.
        IntensityError: Values are not finite, complex images have no phase, or no voxel has signal.

    Example:
        >>> from recontrast.phantom.sequences import SpoiledGradientEcho
        >>> from recontrast.phantom.tissues import Relaxation
        >>> series = [SpoiledGradientEcho(0.004, 0.0, angle) for angle in (2.0, 5.0, 10.0, 20.0)]
        >>> tissue = Relaxation(*(np.array([v]) for v in (0.84, 0.074, 0.053, 0.7)))
        >>> maps = fit_maps(np.stack([s.signal(tissue) for s in series], axis=-1), series)
        >>> round(float(maps.t1_s[0]), 4), round(float(maps.pd[0]), 4)
        (0.84, 0.7)
    """
    design = read_design(sequences)
    _check(images, sequences, mask, b1)
    inside = (images != 0).any(axis=-1) if mask is None else np.asarray(mask, dtype=bool)
    if not inside.any():
        raise IntensityError("relaxometry: no voxel has signal (empty mask, or images that are zero everywhere)")
    _check_b1(design, b1, inside)
    chosen = _kind_of(images, kind, inside)
    signals = np.abs(images[inside]) if chosen == "magnitude" else images[inside]
    factors = np.broadcast_to(np.asarray(b1, np.float64), inside.shape)[inside] if not isinstance(b1, str) else None
    parts = [
        _fit_chunk(
            signals[start : start + _CHUNK], design, chosen, noise,
            factors[start : start + _CHUNK] if factors is not None else None,
        )
        for start in range(0, len(signals), _CHUNK)
    ]  # fmt: skip
    return _assembled(parts, inside)


def _fit_chunk(
    signals: NDArray[Any], design: Design, kind: str, noise: float | None, factors: Values | None
) -> _Fitted:
    rows = _rows(signals, design, kind)
    echoes = len(design.echo_times_s)
    shape, sizes, freedom = _fit_t1(rows, design, kind, factors)
    length = shape.curvature if shape is not None else np.ones(len(rows))
    misfit = shape.misfit if shape is not None else np.zeros(len(rows))
    density, rate = sizes[:, 0], None
    decay = None
    if echoes > 1:
        decay = _fit_t2(sizes, design.echo_times_s)
        density, rate = decay.sizes[:, 0], decay.unknowns[:, 0]
        misfit = misfit + decay.misfit * length
        freedom += echoes - 2
    variance = np.full(len(rows), np.nan)
    if noise is not None:
        variance[:] = noise**2
    elif freedom > 0:
        variance = misfit / freedom
    errors = _errors(shape, decay, density, length, variance)
    total = np.einsum("vrn,vrn->v", rows, rows)
    return _Fitted(
        pd=density,
        r1=np.exp(-shape.unknowns[:, 0]) if shape is not None else None,
        r2=rate,
        b1=shape.unknowns[:, 1] if shape is not None and shape.unknowns.shape[1] > 1 else None,
        errors=errors,
        noise=np.sqrt(variance),
        misfit=np.sqrt(misfit / np.maximum(total, 1e-30)),
    )


def _rows(signals: NDArray[Any], design: Design, kind: str) -> Values:
    """Real rows (V, R, D): echo by echo, and for complex images real and imaginary part of each."""
    ordered = signals[:, design.order]
    if kind == "complex":
        ordered = np.stack([ordered.real, ordered.imag], axis=2).reshape(len(signals), -1, design.order.shape[1])
    return np.asarray(ordered, dtype=np.float64)


def _fit_t1(rows: Values, design: Design, kind: str, factors: Values | None) -> tuple[Solution | None, Values, int]:
    """T1 (and B1), the size of each echo (V, E), and how many more numbers than unknowns there are."""
    weightings = len(design.weightings)
    if weightings == 1:
        return None, _joined(rows[:, :, 0], kind), 0

    def curve(arguments: Values) -> Values:
        values = design.curve(arguments)
        return np.abs(values) if kind == "magnitude" else values

    search = _search(fit_b1=factors is None)
    shape = solve(rows, curve, search, factors[:, None] if factors is not None else None)
    count = rows.shape[1]
    return shape, _joined(shape.sizes, kind), count * (weightings - 1) - shape.unknowns.shape[1]


def _search(fit_b1: bool) -> Search:
    low, high = np.log(T1_RANGE_S)
    if not fit_b1:
        times = np.linspace(low, high, 100)[:, None]
        return Search(times, *(np.array([v]) for v in (low, high, 0.1, 1e-4)))
    times, factors = np.linspace(low, high, 60), np.linspace(*_EVEN_B1, 9)
    grid = np.stack(np.meshgrid(times, factors, indexing="ij"), axis=-1).reshape(-1, 2)
    return Search(grid, np.array([low, B1_RANGE[0]]), np.array([high, B1_RANGE[1]]), np.array([0.2, 0.1]),
                  np.array([1e-4, 1e-4]))  # fmt: skip


def _joined(sizes: Values, kind: str) -> Values:
    """Size of each echo: of real and imaginary part together for complex images."""
    return np.hypot(sizes[:, 0::2], sizes[:, 1::2]) if kind == "complex" else np.abs(sizes)


def _fit_t2(sizes: Values, echo_times_s: Values) -> Solution:
    """R2 and the size at echo time zero from the sizes of the echoes (V, E)."""

    def curve(arguments: Values) -> Values:
        return np.exp(-echo_times_s * arguments)

    low, high = 1 / T2_RANGE_S[1], 1 / T2_RANGE_S[0]
    weight = sizes * sizes  # the logarithm of a size has the variance 1/size^2
    total = np.maximum(weight.sum(axis=1), 1e-30)
    logarithm = np.log(np.maximum(sizes, 1e-30))
    middle = (weight @ echo_times_s) / total
    apart = echo_times_s - middle[:, None]
    spread = np.maximum((weight * apart**2).sum(axis=1), 1e-30)
    start = -(weight * apart * (logarithm - (weight * logarithm).sum(axis=1)[:, None] / total[:, None])).sum(axis=1)
    search = Search(np.empty((0, 1)), *(np.array([v]) for v in (low, high, 50.0, 1e-3)))
    return refine(sizes[:, None, :], (start / spread)[:, None], curve, search)


def _errors(
    shape: Solution | None, decay: Solution | None, density: Values, length: Values, variance: Values
) -> dict[str, Values]:
    """Standard errors, to first order in the noise."""
    size_variance = variance / np.maximum(length, 1e-30)  # of the size of an echo, T1 being known
    errors: dict[str, Values] = {}
    relative = np.zeros(len(density))
    if shape is not None:
        covariance = shape.covariance()
        with np.errstate(invalid="ignore"):  # zero noise times infinite covariance, in voxels without signal
            errors["r1"] = np.exp(-shape.unknowns[:, 0]) * np.sqrt(covariance[:, 0, 0] * variance)
            if covariance.shape[1] > 1:
                errors["b1"] = np.sqrt(covariance[:, 1, 1] * variance)
            relative = np.einsum("vu,vuw,vw->v", shape.tilt, covariance, shape.tilt) * variance
    if decay is None:
        own = size_variance
    else:
        rate_variance = decay.covariance()[:, 0, 0]
        with np.errstate(invalid="ignore"):
            errors["r2"] = np.sqrt(rate_variance * size_variance)
            tilted = (density * decay.tilt[:, 0]) ** 2 * rate_variance
        own = size_variance * (1 / np.maximum(decay.curvature, 1e-30) + tilted)
    errors["pd"] = np.sqrt(own + density**2 * relative)
    return errors


def _assembled(parts: Many[_Fitted], inside: NDArray[np.bool_]) -> ParameterMaps:
    def placed(columns: list[Values]) -> NDArray[np.float32]:
        image = np.zeros(inside.shape, np.float32)
        image[inside] = np.concatenate(columns)
        return image

    def optional(name: str) -> NDArray[np.float32] | None:
        return placed([getattr(part, name) for part in parts]) if getattr(parts[0], name) is not None else None

    return ParameterMaps(
        pd=placed([part.pd for part in parts]),
        mask=inside,
        r1=optional("r1"),
        r2=optional("r2"),
        b1=optional("b1"),
        errors={name: placed([part.errors[name] for part in parts]) for name in parts[0].errors},
        noise=optional("noise"),
        misfit=optional("misfit"),
    )


def _kind_of(images: NDArray[Any], kind: Kind, inside: NDArray[np.bool_]) -> str:
    """What the images are, checked against what they hold."""
    if not np.isfinite(images).all():
        bad = int(images.size - np.count_nonzero(np.isfinite(images)))
        raise IntensityError(f"relaxometry: {bad} values are NaN or infinite; mend the images first")
    if np.iscomplexobj(images):
        if kind not in ("auto", "complex"):
            raise ConfigError(f"kind is {kind}, but the images are complex; give their magnitude, or kind complex")
        if not images.imag.any() and not (images.real < 0).any():
            raise IntensityError(
                "the images are complex but have no imaginary part: phase is missing (a magnitude stored as complex?); "
                "give magnitudes as real numbers, or magnitude and phase together"
            )
        return "complex"
    if kind == "complex":
        raise ConfigError("kind is complex, but the images are real; give real and imaginary part, or kind magnitude")
    if kind == "magnitude" and (images < 0).any():
        raise IntensityError("kind is magnitude, but some values are negative; give kind signed if the sign is true")
    return ("signed" if _is_signed(images[inside]) else "magnitude") if kind == "auto" else kind


def without_stray_signs(images: NDArray[Any], mask: NDArray[np.bool_]) -> NDArray[Any]:
    """Magnitudes without the negative values that interpolation left; complex and signed images stay as they are.

    Asked of the whole head once, it cannot be answered in another way for some of its voxels.

    Args:
        images: Signals, (..., N).
        mask: The head, (...).

    Example:
        >>> without_stray_signs(np.array([[3.0, -0.1], [2.0, 1.0]]), np.ones(2, bool)).min()
        np.float64(0.1)
    """
    return images if np.iscomplexobj(images) or _is_signed(images[mask]) else np.abs(images)


def _is_signed(signals: NDArray[Any]) -> bool:
    """Whether the sign of real signals (V, N) is true: an inversion turns the signal of whole tissues."""
    largest = np.abs(signals).max(axis=-1)
    clear = largest > _CLEAR * np.percentile(largest, 99)
    turned = signals.min(axis=-1) < -_CLEAR * largest
    return bool(turned[clear].mean() > _TURNED) if clear.any() else False


def _check(images: NDArray[Any], sequences: Many[Sequence], mask: NDArray[Any] | None, b1: Any) -> None:
    count = images.shape[-1]
    if count != len(sequences):
        raise ConfigError(
            f"{count} images, but {len(sequences)} sequences: each image needs its sequence, in the same order"
        )
    for name, array in (("mask", mask), ("B1 map", b1 if isinstance(b1, np.ndarray) and b1.ndim else None)):
        if array is not None and array.shape != images.shape[:-1]:
            raise GeometryError(f"{name} has shape {array.shape}, the images have {images.shape[:-1]}")


def _check_b1(design: Design, b1: Any, inside: NDArray[np.bool_]) -> None:
    if isinstance(b1, str):
        if b1 != "fit":
            raise ConfigError(f"b1 is '{b1}'; give a number, a map, or fit")
        right = all(getattr(s, name) in (90.0, 180.0) for s in design.weightings for name in angles_of(s))
        if right or len(design.weightings) < 3:
            raise ConfigError(
                "B1 cannot be fitted to these images: it needs three T1-weightings or more, and angles other than "
                "90 and 180 degrees; measure it by itself and give the map"
            )
    elif np.any(np.asarray(b1) < 0) or not np.isfinite(np.asarray(b1, np.float64)).all():
        raise IntensityError("B1 must be finite and not negative; 1 is nominal")
    elif np.ndim(b1) and np.mean((b1[inside] < B1_RANGE[0]) | (b1[inside] > B1_RANGE[1])) > 0.5:
        warnings.warn(
            f"most of the B1 map lies outside {B1_RANGE[0]} to {B1_RANGE[1]}; is it in percent? 1 is nominal",
            RecontrastWarning,
            stacklevel=3,
        )
