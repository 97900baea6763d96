"""Bland-Altman: do two ways to measure the same number agree, and how far apart may they lie?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import NDArray

from recontrast.errors import StatisticsError
from recontrast.metrics.agreement.result import CONFIDENCE

Array = NDArray[np.float64]


@dataclass(frozen=True)
class BlandAltman:
    """Differences estimate - reference and their limits of agreement. What is absent is nan.

    Attributes:
        items: Number of pairs.
        bias: Mean difference, in the units of the values.
        sd: SD of the differences.
        lower: Lower limit: bias - z sd; z is 1.96 for limits that hold 95 %.
        upper: Upper limit.
        bias_interval: Interval of the bias.
        lower_interval: Interval of the lower limit.
        upper_interval: Interval of the upper limit.
        slope: Of the differences on the means of both: not zero when the bias grows with the size.
        slope_p: Two-sided p of a slope of zero.
        normality_p: Shapiro-Wilk p of the differences; limits and intervals assume normal ones.
    """

    items: int
    bias: float
    sd: float
    lower: float
    upper: float
    bias_interval: tuple[float, float]
    lower_interval: tuple[float, float]
    upper_interval: tuple[float, float]
    slope: float
    slope_p: float
    normality_p: float


def bland_altman(
    reference: Sequence[float] | Array,
    estimate: Sequence[float] | Array,
    *,
    share: float = 0.95,
    confidence: float = CONFIDENCE,
) -> BlandAltman:
    """Bias, limits of agreement and their intervals.

    Bland and Altman 1986, Lancet 327:307. The intervals of the limits are exact for normal differences, by the
    noncentral t distribution (Carkeet 2015, Optom Vis Sci 92:e71); the usual approximation is too narrow for few pairs.

    Args:
        reference: One value a subject (average its sessions first).
        estimate: The other measurement of the same subjects.
        share: Share of differences that the limits hold.
        confidence: Level of the intervals, 0 to 1.

    Raises:
        StatisticsError: The values are not of the same subjects, there are fewer than 2, or one is not finite.

    Example:
        >>> found = bland_altman([10.0, 12, 14, 16], [10.5, 12, 15, 16.5])
        >>> found.bias
        0.5
    """
    first, second = np.asarray(reference, dtype=np.float64), np.asarray(estimate, dtype=np.float64)
    if first.shape != second.shape or first.ndim != 1:
        raise StatisticsError(f"Bland-Altman needs both values of each subject, got {first.shape} and {second.shape}")
    if first.size < 2 or not (np.isfinite(first).all() and np.isfinite(second).all()):
        raise StatisticsError(
            f"Bland-Altman needs 2 or more subjects with finite values, got {first.size}; leave out what is missing, "
            "and say so"
        )
    differences, means, n = second - first, (first + second) / 2, first.size
    bias, sd = float(differences.mean()), float(differences.std(ddof=1))
    z = float(scipy.stats.norm.ppf((1 + share) / 2))
    error = sd / np.sqrt(n)
    half = float(scipy.stats.t.ppf((1 + confidence) / 2, n - 1)) * error
    tails = (1 - confidence) / 2, (1 + confidence) / 2
    # (true limit - bias) / error is noncentral t with shift z sqrt(n); turned around for the lower limit
    near, far = (float(scipy.stats.nct.ppf(tail, n - 1, z * np.sqrt(n))) * error for tail in tails)
    flat = sd <= 1e-12 * max(1.0, abs(bias))
    varied = float(np.ptp(means)) > 1e-12 * max(1.0, float(np.abs(means).max()))
    fit = scipy.stats.linregress(means, differences) if varied and n > 2 and not flat else None
    return BlandAltman(
        items=n,
        bias=bias,
        sd=sd,
        lower=bias - z * sd,
        upper=bias + z * sd,
        bias_interval=(bias - half, bias + half),
        lower_interval=(bias - far, bias - near),
        upper_interval=(bias + near, bias + far),
        slope=float(fit.slope) if fit is not None else float("nan"),
        slope_p=float(fit.pvalue) if fit is not None else float("nan"),
        normality_p=float(scipy.stats.shapiro(differences).pvalue) if 3 <= n <= 5000 and not flat else float("nan"),
    )
