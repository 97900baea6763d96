"""Whether the signals of a new scan lie where the training signals lie, voxel by voxel.

A pixel-wise translator is a function of the numbers of one voxel. Where training had no such numbers it continues the
function by chance. The joint distribution of the training signals is described by a mixture of gaussians; each new
voxel is told what share of the training voxels is as rare as it or rarer.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recontrast.errors import FormatError, GeometryError, IntensityError, RecontrastWarning

RARE = 1e-3
"""A voxel counts as outside when fewer of the training voxels than this are as rare."""

_WARNED = 0.01
_VOXELS = 40000
_CHUNK = 65536


@dataclass(frozen=True, eq=False)
class SignalCoverage:
    """The joint distribution of training signals.

    Attributes:
        weights: Share of each gaussian, (M,).
        means: (M, C).
        factors: Inverse of the lower Cholesky factor of each covariance, (M, C, C).
        levels: Log-likelihood of training voxels that were not used for the gaussians, rising.
    """

    weights: NDArray[np.float64]
    means: NDArray[np.float64]
    factors: NDArray[np.float64]
    levels: NDArray[np.float64]

    def rarity(self, signals: NDArray[Any]) -> NDArray[np.float32]:
        """Share of the training voxels that are as rare as each voxel or rarer: 0 (never seen) to 1 (commonest).

        Args:
            signals: (V, C), on the scale of the training signals.

        Raises:
            GeometryError: Another number of channels than in training.
        """
        if signals.ndim != 2 or signals.shape[1] != self.means.shape[1]:
            raise GeometryError(f"signals have shape {signals.shape}, expected (voxels, {self.means.shape[1]})")
        found = np.empty(len(signals), np.float32)
        for start in range(0, len(signals), _CHUNK):
            likelihood = self._log_likelihood(np.asarray(signals[start : start + _CHUNK], np.float64))
            found[start : start + _CHUNK] = np.searchsorted(self.levels, likelihood, side="right") / len(self.levels)
        return found

    def _log_likelihood(self, signals: NDArray[np.float64]) -> NDArray[np.float64]:
        channels = self.means.shape[1]
        terms = []
        for weight, mean, factor in zip(self.weights, self.means, self.factors, strict=True):
            apart = (signals - mean) @ factor.T
            constant = np.log(weight) + np.log(np.diag(factor)).sum() - 0.5 * channels * np.log(2 * np.pi)
            terms.append(constant - 0.5 * np.einsum("vc,vc->v", apart, apart))
        return np.logaddexp.reduce(terms, axis=0)

    def to_dict(self) -> dict[str, Any]:
        """Plain lists, for a file beside a translator."""
        return {name: getattr(self, name).tolist() for name in ("weights", "means", "factors", "levels")}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> SignalCoverage:
        """Read what `to_dict` made.

        Raises:
            FormatError: It is something else.
        """
        try:
            arrays = {name: np.asarray(content[name], np.float64) for name in ("weights", "means", "factors", "levels")}
            gaussians, channels = arrays["means"].shape
            fits = arrays["factors"].shape == (gaussians, channels, channels) and arrays["weights"].shape == (
                gaussians,
            )
        except (KeyError, TypeError, ValueError) as error:
            raise FormatError(f"not a signal distribution (weights, means, factors, levels): {error}") from error
        if not fits or arrays["levels"].ndim != 1 or not arrays["levels"].size:
            raise FormatError("not a signal distribution: the shapes of its arrays do not belong together")
        return cls(**arrays)


def fit_coverage(signals: NDArray[Any], *, gaussians: int = 12, seed: int = 0) -> SignalCoverage:
    """Describe training signals.

    Args:
        signals: Signals of training voxels inside the head, (V, C), on one scale.
        gaussians: How many describe them.
        seed: Of the choice of voxels and the start.

    Raises:
        IntensityError: Fewer voxels than 20 for each gaussian, or values that are not finite.

    Example:
        >>> training = np.random.default_rng(0).normal(size=(4000, 2))
        >>> coverage = fit_coverage(training, gaussians=2)
        >>> [bool(r > 0.01) for r in coverage.rarity(np.array([[0.0, 0.5], [9.0, 9.0]]))]
        [True, False]
    """
    from sklearn.mixture import GaussianMixture

    if len(signals) < 20 * gaussians:
        raise IntensityError(
            f"{len(signals)} training voxels are too few to describe their signals by {gaussians} gaussians; "
            f"at least {20 * gaussians} are needed"
        )
    if not np.isfinite(signals).all():
        raise IntensityError("training signals hold values that are not finite")
    chosen = np.random.default_rng(seed).permutation(len(signals))[: 2 * _VOXELS]
    voxels = np.asarray(signals[chosen], np.float64)
    half = len(voxels) // 2
    spread = float(voxels.var(axis=0).mean())
    mixture = GaussianMixture(gaussians, random_state=seed, reg_covar=max(1e-6 * spread, 1e-12), max_iter=60)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of not having converged to the last digit
        mixture.fit(voxels[:half])
    factors = np.linalg.inv(np.linalg.cholesky(mixture.covariances_))
    unlevelled = SignalCoverage(np.array(mixture.weights_), np.array(mixture.means_), factors, np.zeros(1))
    held_out = np.sort(unlevelled._log_likelihood(voxels[half:]))
    # A few thousand levels tell shares down to well below RARE.
    step = max(1, len(held_out) // 5000)
    return SignalCoverage(unlevelled.weights, unlevelled.means, unlevelled.factors, held_out[::step])


def check_coverage(
    coverage: SignalCoverage, channels: NDArray[Any], mask: NDArray[np.bool_], where: str
) -> NDArray[np.float32]:
    """Map of rarity; warns when many voxels have signals that training did not have.

    Args:
        coverage: Of the training signals.
        channels: The new scan, (C, I, J, K), on the scale of training.
        mask: The head, (I, J, K).
        where: The scan in words, for the warning.

    Returns:
        (I, J, K): rarity inside the mask (see `SignalCoverage.rarity`), 1 outside.

    Raises:
        GeometryError: Shapes do not fit.

    Example:
        >>> coverage = fit_coverage(np.random.default_rng(0).normal(size=(4000, 1)), gaussians=1)
        >>> check_coverage(coverage, np.zeros((1, 2, 2, 2)), np.ones((2, 2, 2), bool), "sub-01").shape
        (2, 2, 2)
    """
    if channels.shape[1:] != mask.shape:
        raise GeometryError(f"{where}: channels have shape {channels.shape[1:]}, the mask {mask.shape}")
    found = np.ones(mask.shape, np.float32)
    found[mask] = coverage.rarity(channels[:, mask].T)
    outside = float((found[mask] < RARE).mean()) if mask.any() else 0.0
    if outside > _WARNED:
        warnings.warn(
            f"{where}: {100 * outside:.1f} % of the voxels have signals that fewer than {100 * RARE:g} % of the "
            "training voxels were as far from the rest; the translator guesses there: look at the map of rarity, and "
            "check scale, sequence parameters and channel order",
            RecontrastWarning,
            stacklevel=2,
        )
    return found
