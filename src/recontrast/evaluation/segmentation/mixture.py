"""The mathematics of the built-in tissue segmentation: a mixture with partial volume, a Markov prior and a bias field.

Each voxel is in one of a few states. A state is a mix of tissues: pure CSF, pure GM, pure WM, and steps between two of
them (partial volume, after Laidlaw 1998, IEEE Trans Med Imaging 17:74). The image is a smooth gain times the state's
mean plus noise (Wells 1996, IEEE TMI 15:429; Van Leemput 1999, IEEE TMI 18:897). Neighbours prefer alike mixes: a
Potts-like field solved by mean-field iteration (Zhang 2001, IEEE TMI 20:45). No anatomical prior is used.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

Array = NDArray[np.float32]

CSF, GM, WM = 0, 1, 2
"""Columns of tissue fractions."""

_STEPS = (0.2, 0.4, 0.6, 0.8)
"""Shares of the first tissue in the partial-volume states between two tissues."""

_BINS = 1024
_TINY = 1e-12
_AT_ONCE = 4096
"""Voxels that are worked on at once."""
_COARSE_MM = 4.0
"""Block size at which the gain is estimated."""
_BLOCK_MM, _BLOCK_BLUR_MM = 12.0, 25.0
_WIDEST = 1.5
"""Most that the deviation within grey matter and fluid may exceed that of white matter."""
_LEAST_WEIGHTS = (1e-3, 1e-3, 1e-3, 0.08, 0.08, 1e-3)
"""Least weight of each kind of state: mixes of neighbouring tissues are never lost."""


def _states() -> NDArray[np.float32]:
    rows = [np.eye(3)[tissue] for tissue in (CSF, GM, WM)]
    for first, second in ((CSF, GM), (GM, WM), (CSF, WM)):
        rows += [share * np.eye(3)[first] + (1 - share) * np.eye(3)[second] for share in _STEPS]
    return np.array(rows, np.float32)


STATES = _states()
"""Tissue fractions of each state, shape (states, 3): three pure ones, then CSF/GM, GM/WM and CSF/WM mixes."""

_KIND = np.repeat(np.arange(6), [1, 1, 1, *([len(_STEPS)] * 3)])
"""Kind of each state: three pure tissues and three mixes; states of a mix share one weight."""


@dataclass(frozen=True)
class Settings:
    """How the mixture is fitted.

    Attributes:
        coupling: Strength of the Markov prior; 0 switches it off.
        gain_mm: Standard deviation of the smoothing of the gain, mm; 0 keeps the gain at 1.
        rounds: Rounds of means, gain and labels.
        sweeps: Mean-field sweeps at the end.
    """

    coupling: float = 2.5
    gain_mm: float = 10.0
    rounds: int = 20
    sweeps: int = 6


@dataclass(eq=False)
class Fit:
    """What was found.

    Attributes:
        means: Intensity of CSF, GM and WM at gain 1.
        sigmas: Standard deviation within each pure tissue.
        weights: Share of the voxels in each of the six kinds of state.
        fractions: CSF, GM and WM of each voxel of the box, shape (I, J, K, 3); 0 outside the mask.
        gain: Smooth gain on the box; 1 on average over the mask.
    """

    means: NDArray[np.float64]
    sigmas: NDArray[np.float64]
    weights: NDArray[np.float64]
    fractions: Array
    gain: Array


def fit_mixture(
    data: Array, mask: NDArray[np.bool_], spacing: tuple[float, float, float], *, order: tuple[int, int, int],
    settings: Settings,
) -> Fit:  # fmt: skip
    """Fit means, gain and labels together.

    Args:
        data: Intensities, shape (I, J, K).
        mask: Voxels to divide among the tissues.
        spacing: Voxel size in mm.
        order: Tissues from the darkest to the brightest, for example (CSF, GM, WM) for T1w.
        settings: Strengths and rounds.
    """
    weights_of = _neighbour_weights(spacing)
    count = _neighbours(mask[..., None].astype(np.float32), weights_of)[..., 0][mask]
    started = start_gain(data, mask, spacing) if settings.gain_mm > 0 else np.ones(mask.shape, np.float32)
    data = data / started
    values = data[mask]
    fit = _start(values, order)
    gain = np.ones(mask.shape, np.float32)
    corrected = values
    field: Array | None = None
    fractions = np.zeros((*mask.shape, 3), np.float32)
    rounds = settings.rounds + settings.sweeps
    for number in range(rounds):
        table, low, high = _likelihoods(fit, corrected)
        index = _bins(corrected, low, high)
        posterior, own = _posterior(table, index, field, settings.coupling)
        fractions[mask] = own
        around = _neighbours(fractions, weights_of)[mask]
        field = (around / np.maximum(count, 1e-6)[:, None]).astype(np.float32)
        if number < settings.rounds:
            fit = _update(fit, posterior, index, low, high)
            if settings.gain_mm > 0 and number >= 1:
                gain = _gain(data, mask, posterior, fit, spacing, settings.gain_mm)
                corrected = values / gain[mask]
    return Fit(fit.means, fit.sigmas, fit.weights, fractions, gain * started)


def _posterior(table: Array, index: NDArray[np.intp], field: Array | None, coupling: float) -> tuple[Array, Array]:
    """Probability of each state, shape (voxels, states), and tissue fractions, shape (voxels, 3), of each voxel.

    Some thousand voxels at a time, so that what is computed of them stays in the processor's cache.
    """
    posterior = np.empty((index.size, len(STATES)), np.float32)
    own = np.empty((index.size, 3), np.float32)
    for start in range(0, index.size, _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        chances = np.take(table, index[part], axis=0, out=posterior[part], mode="clip")
        if field is not None and coupling > 0:
            preferred = (np.float32(coupling) * field[part]) @ STATES.T
            chances *= np.exp(preferred, out=preferred)
        shares = np.matmul(chances, STATES, out=own[part])
        # Fractions of a state add up to 1, so those of all states add up to the sum of their chances.
        total = shares[:, :1] + shares[:, 1:2] + shares[:, 2:] + np.float32(_TINY)
        chances /= total
        shares /= total
    return posterior, own


@dataclass(frozen=True)
class _Mixture:
    """Parameters of the mixture."""

    means: NDArray[np.float64]
    sigmas: NDArray[np.float64]
    weights: NDArray[np.float64]

    def state_means(self) -> NDArray[np.float64]:
        return STATES.astype(np.float64) @ self.means

    def state_variances(self) -> NDArray[np.float64]:
        return STATES.astype(np.float64) @ self.sigmas**2


def _start(values: Array, order: tuple[int, int, int]) -> _Mixture:
    """Three means by k-means on the histogram, from several starts; the tightest wins."""
    low, high = np.percentile(values, (0.2, 99.8))
    counts, edges = np.histogram(values, bins=_BINS // 4, range=(low, max(high, low + 1e-6)))
    centres = (edges[:-1] + edges[1:]) / 2
    best: tuple[float, NDArray[np.float64], NDArray[np.float64]] | None = None
    for quantiles in ((5, 40, 80), (10, 50, 90), (2, 25, 70), (15, 60, 95)):
        means = np.percentile(values, quantiles).astype(np.float64)
        for _ in range(60):
            nearest = np.abs(centres[:, None] - means).argmin(axis=1)
            sums = np.bincount(nearest, counts * centres, 3)
            sizes = np.bincount(nearest, counts, 3)
            means = np.sort(np.where(sizes > 0, sums / np.maximum(sizes, 1), means))
        spread = np.bincount(nearest, counts * (centres - means[nearest]) ** 2, 3)
        cost = float(spread.sum())
        if best is None or cost < best[0]:
            best = (cost, means, np.sqrt(spread / np.maximum(sizes, 1)))
    if best is None:  # never: there is always a first start
        raise RuntimeError("no start")
    means, sigmas = np.empty(3), np.empty(3)
    means[list(order)], sigmas[list(order)] = best[1], best[2]
    sigmas = np.maximum(sigmas, 0.01 * (high - low))
    return _Mixture(means, sigmas, np.array([0.1, 0.3, 0.35, 0.1, 0.1, 0.05]))


def _likelihoods(fit: _Mixture, values: Array) -> tuple[Array, float, float]:
    """Weight times likelihood of each state for each intensity bin, shape (bins, states)."""
    low, high = (float(v) for v in np.percentile(values[:: max(1, values.size // 200_000)], (0.05, 99.95)))
    high = max(high, low + 1e-6)
    centres = low + (np.arange(_BINS) + 0.5) * (high - low) / _BINS
    variances = fit.state_variances()
    exponent = -((centres[:, None] - fit.state_means()) ** 2) / (2 * variances) - 0.5 * np.log(variances)
    exponent -= exponent.max(axis=1, keepdims=True)
    sizes = np.bincount(_KIND, minlength=6)
    weights = (fit.weights / sizes)[_KIND]
    return (np.exp(np.maximum(exponent, -60)) * weights).astype(np.float32), low, high


def _bins(values: Array, low: float, high: float) -> NDArray[np.intp]:
    return np.clip((values - low) * (_BINS / (high - low)), 0, _BINS - 1).astype(np.intp)


def _update(fit: _Mixture, posterior: Array, index: NDArray[np.intp], low: float, high: float) -> _Mixture:
    """New means and deviations from the pure states, new weights from all.

    Voxels further than three deviations from the mean of their tissue (vessels, fat, lesions) do not count.
    """
    means, sigmas = fit.means.copy(), fit.sigmas.copy()
    centres = low + (np.arange(_BINS) + 0.5) * (high - low) / _BINS
    total = posterior.sum(axis=0, dtype=np.float64)
    for tissue in (CSF, GM, WM):
        histogram = np.bincount(index, posterior[:, tissue], _BINS)
        histogram = np.where(np.abs(centres - means[tissue]) < 3 * sigmas[tissue], histogram, 0)
        mass = histogram.sum()
        if mass < 10:
            continue
        means[tissue] = (histogram * centres).sum() / mass
        spread = np.sqrt((histogram * (centres - means[tissue]) ** 2).sum() / mass)
        sigmas[tissue] = max(spread, (high - low) * 0.004)
    # Without a limit the grey and the fluid class widen until they hold all mixed voxels, and no mix is left.
    sigmas = np.minimum(sigmas, _WIDEST * sigmas[WM])
    weights = np.bincount(_KIND, total, 6) / max(total.sum(), _TINY)
    return _Mixture(means, sigmas, np.maximum(weights, _LEAST_WEIGHTS))


def _gain(
    data: Array, mask: NDArray[np.bool_], posterior: Array, fit: _Mixture, spacing: tuple[float, float, float],
    gain_mm: float,
) -> Array:  # fmt: skip
    """Local weighted least squares: gain = G*(I Σ p m / v) / G*(Σ p m² / v), G a wide gaussian."""
    means, variances = fit.state_means(), fit.state_variances()
    cross, square = (np.zeros(mask.shape, np.float32) for _ in range(2))
    cross[mask] = (posterior @ (means / variances).astype(np.float32)) * data[mask]
    square[mask] = posterior @ (means**2 / variances).astype(np.float32)
    step = tuple(max(1, round(_COARSE_MM / s)) for s in spacing)
    sigma = [gain_mm / (s * n) for s, n in zip(spacing, step, strict=True)]
    top, bottom = (gaussian_filter(_blocks(part, step), sigma, mode="constant") for part in (cross, square))
    coarse = (top + _TINY) / (bottom + _TINY)
    coarse = np.where(bottom > 1e-6 * bottom.max(), coarse, 1)
    gain = _stretch(coarse.astype(np.float32), step, mask.shape)
    inside = gain[mask]
    return gain / np.float32(np.exp(np.log(np.maximum(inside, 1e-3)).mean()))


def start_gain(data: Array, mask: NDArray[np.bool_], spacing: tuple[float, float, float]) -> Array:
    """A first gain: the upper quartile of blocks of 12 mm, smoothed; 1 on average over the mask.

    Args:
        data: Intensities, shape (I, J, K).
        mask: Voxels that count.
        spacing: Voxel size in mm.
    """
    step = tuple(max(1, round(_BLOCK_MM / s)) for s in spacing)
    shape = [size for n, s in zip(data.shape, step, strict=True) for size in (-(-n // s), s)]
    pad = [(0, -n % s) for n, s in zip(data.shape, step, strict=True)]
    blocks = np.pad(np.where(mask, data, -np.inf), pad, constant_values=-np.inf).reshape(shape)
    blocks = np.sort(blocks.transpose(0, 2, 4, 1, 3, 5).reshape(*shape[::2], -1), axis=-1)
    inside = np.isfinite(blocks).sum(axis=-1)
    place = blocks.shape[-1] - 1 - inside // 4
    quartile = np.take_along_axis(blocks, np.minimum(place, blocks.shape[-1] - 1)[..., None], axis=-1)[..., 0]
    usable = (inside > 0.15 * blocks.shape[-1]) & (quartile > 0)
    weight = np.where(usable, inside, 0).astype(np.float64)
    logarithm = np.log(np.where(usable, quartile, 1))
    sigma = [_BLOCK_BLUR_MM / (s * n) for s, n in zip(spacing, step, strict=True)]
    top, bottom = (gaussian_filter(part, sigma, mode="constant") for part in (weight * logarithm, weight))
    gain = _stretch(np.exp(top / np.maximum(bottom, 1e-9)).astype(np.float32), step, mask.shape)
    return gain / np.float32(np.exp(np.log(gain[mask]).mean()))


def _blocks(values: Array, step: tuple[int, ...]) -> Array:
    padded = np.pad(values, [(0, -n % s) for n, s in zip(values.shape, step, strict=True)])
    shape = [size for n, s in zip(padded.shape, step, strict=True) for size in (n // s, s)]
    return padded.reshape(shape).sum(axis=(1, 3, 5))


def _stretch(coarse: Array, step: tuple[int, ...], shape: tuple[int, ...]) -> Array:
    """Linear interpolation of block values at the centres of all voxels."""
    values: Any = coarse
    for axis, (s, n) in enumerate(zip(step, shape, strict=True)):
        position = np.clip((np.arange(n) - (s - 1) / 2) / s, 0, values.shape[axis] - 1)
        lower = np.minimum(position.astype(int), max(values.shape[axis] - 2, 0))
        upper = np.minimum(lower + 1, values.shape[axis] - 1)
        share = (position - lower).astype(np.float32).reshape([-1 if a == axis else 1 for a in range(3)])
        values = np.take(values, lower, axis) * (1 - share) + np.take(values, upper, axis) * share
    return np.asarray(values, np.float32)


def _neighbour_weights(spacing: tuple[float, float, float]) -> tuple[float, float, float]:
    """Weight of the neighbours along each axis: the inverse of their distance, 1 for the nearest."""
    nearest = min(spacing)
    return tuple(nearest / s for s in spacing)  # type: ignore[return-value]


def _neighbours(values: Array, weights: tuple[float, float, float]) -> Array:
    """Weighted sum over the six neighbours; nothing beyond the edge."""
    total = np.zeros_like(values)
    for axis, weight in enumerate(weights):
        ahead: list[slice] = [slice(None)] * values.ndim
        behind: list[slice] = [slice(None)] * values.ndim
        ahead[axis], behind[axis] = slice(1, None), slice(None, -1)
        total[tuple(behind)] += np.float32(weight) * values[tuple(ahead)]
        total[tuple(ahead)] += np.float32(weight) * values[tuple(behind)]
    return total
