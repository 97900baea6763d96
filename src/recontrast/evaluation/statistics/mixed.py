"""Sessions repeat within subjects: a mixed-effects model with a random intercept for each subject."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray

from recontrast.errors import DependencyError, StatisticsError
from recontrast.evaluation.statistics.intervals import CONFIDENCE, FEWEST_FOR_INTERVAL, Interval, all_equal, no_interval

Array = NDArray[np.float64]


@dataclass(frozen=True)
class MixedResult:
    """Mean over subjects when sessions repeat.

    Attributes:
        mean: The fixed intercept; of differences, the mean difference.
        interval: Wald interval with Student's t of subjects - 1 degrees of freedom.
        p: Two-sided p of a mean of zero, from the same t; nan when there is none.
        sd_between: SD between subjects.
        sd_within: SD between sessions of one subject.
        fitted: Whether the mixed model was fitted; False: means of subjects and their t interval are given instead.
        words: What was done, and why if it was not the model.
    """

    mean: float
    interval: Interval
    p: float
    sd_between: float
    sd_within: float
    fitted: bool
    words: str


def mixed_model(sessions: Sequence[Sequence[float]], *, confidence: float = CONFIDENCE) -> MixedResult:
    """Mean of values of which a subject may have several: value = mean + subject + session, by restricted likelihood.

    Subjects with more sessions weigh more, but never as much as if their sessions were people. statsmodels fits it
    (Laird and Ware 1982, Biometrics 38:963); its normal quantile is replaced by Student's t with subjects - 1 degrees
    of freedom, because the normal one is too narrow for few subjects. Where the model cannot be fitted or does not
    converge, sessions are averaged within subjects and Student's t is used, and the words say so.

    Args:
        sessions: For each subject the values of its sessions (values or differences), finite.
        confidence: Level, 0 to 1.

    Raises:
        DependencyError: statsmodels is not installed.
        StatisticsError: There is no subject, or one without a session.

    Example:
        >>> result = mixed_model([[1.0, 1.2], [2.0], [3.0, 2.9, 3.1], [2.5, 2.4]])
        >>> result.fitted
        True
    """
    if not sessions or any(len(values) == 0 for values in sessions):
        raise StatisticsError("the mixed model needs one or more sessions of each subject")
    model = _statsmodels()
    values = np.concatenate([np.asarray(v, dtype=np.float64) for v in sessions])
    subjects = np.repeat(np.arange(len(sessions)), [len(v) for v in sessions])
    n = len(sessions)
    if n < FEWEST_FOR_INTERVAL:
        return _of_means(sessions, confidence, f"{n} subject(s)")
    if values.size == n:
        return _of_means(sessions, confidence, "no subject has several sessions")
    if all_equal(values):
        return _of_means(sessions, confidence, "all values are equal")
    scale = float(values.std())
    # Standardised values: the optimiser's tolerances then fit any unit.
    fit, problem = _fit(model, (values - values.mean()) / scale, subjects)
    if fit is None:
        return _of_means(sessions, confidence, problem)
    mean = float(values.mean() + scale * fit.fe_params[0])
    error = scale * float(fit.bse_fe[0])
    half = float(scipy.stats.t.ppf((1 + confidence) / 2, n - 1)) * error
    words = f"mixed model over {values.size} sessions of {n} subjects{problem}"
    p = float(2 * scipy.stats.t.sf(abs(mean) / error, n - 1))
    between, within = scale * float(np.sqrt(max(fit.cov_re[0, 0], 0.0))), scale * float(np.sqrt(fit.scale))
    return MixedResult(mean, Interval(mean - half, mean + half, words), p, between, within, True, words)


def _fit(model: Any, values: Array, subjects: NDArray[np.int64]) -> tuple[Any, str]:
    """The fit and a remark, or None and why."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        try:
            fit = model.MixedLM(values, np.ones((values.size, 1)), groups=subjects).fit(reml=True)
        except (np.linalg.LinAlgError, ValueError) as error:
            return None, f"the mixed model could not be fitted ({error})"
    if not fit.converged:
        return None, "the mixed model did not converge"
    if not (np.isfinite(fit.bse_fe[0]) and fit.bse_fe[0] > 0):
        return None, "the mixed model gave no standard error"
    boundary = any("boundary" in str(warning.message).lower() for warning in told)
    return fit, "; no variance between subjects was found beyond that of sessions" if boundary else ""


def _of_means(sessions: Sequence[Sequence[float]], confidence: float, reason: str) -> MixedResult:
    means = np.array([float(np.mean(values)) for values in sessions])
    n, mean = means.size, float(means.mean())
    words = f"means of {n} subject(s), no mixed model: {reason}"
    if n < FEWEST_FOR_INTERVAL or all_equal(means):
        return MixedResult(mean, no_interval(reason), float("nan"), float("nan"), float("nan"), False, words)
    spread = float(means.std(ddof=1))
    error = spread / np.sqrt(n)
    half = float(scipy.stats.t.ppf((1 + confidence) / 2, n - 1)) * error
    p = float(2 * scipy.stats.t.sf(abs(mean) / error, n - 1))
    return MixedResult(mean, Interval(mean - half, mean + half, words), p, spread, float("nan"), False, words)


def _statsmodels() -> Any:
    try:
        return importlib.import_module("statsmodels.regression.mixed_linear_model")
    except ImportError as error:
        raise DependencyError(
            "mixed-effects models need statsmodels, which is not installed: pip install 'recontrast[stats]'"
        ) from error
