"""P values adjusted for several comparisons. nan (no test) stays nan and does not count."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from recontrast.errors import ConfigError

Array = NDArray[np.float64]
Adjustment = Literal["none", "bonferroni", "holm", "benjamini-hochberg"]


def bonferroni(p_values: Sequence[float]) -> list[float]:
    """Each p times the number of tests. Holds the chance of any false finding; needs no assumption; loses power.

    Dunn 1961, J Am Stat Assoc 56:52.

    Example:
        >>> bonferroni([0.01, 0.04, 0.5])
        [0.03, 0.12, 1.0]
    """
    return _of_tests(p_values, lambda p: p * p.size)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down method: holds the chance of any false finding like Bonferroni, and is never weaker.

    The smallest p counts m times, the next m - 1 times …; no adjusted p is below that of a smaller one.
    Holm 1979, Scand J Stat 6:65.

    Example:
        >>> holm([0.01, 0.04, 0.03])
        [0.03, 0.06, 0.06]
    """
    return _of_tests(p_values, lambda p: np.maximum.accumulate(p * np.arange(p.size, 0, -1)))


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """Holds the expected share of false findings among the findings, not the chance of one.

    The i-th smallest of m p values becomes p m / i; no adjusted p is above that of a larger one. For independent or
    positively dependent tests. Benjamini and Hochberg 1995, J R Stat Soc B 57:289.

    Example:
        >>> benjamini_hochberg([0.01, 0.04, 0.03, 0.5])
        [0.04, 0.05333333333333334, 0.05333333333333334, 0.5]
    """
    return _of_tests(p_values, lambda p: np.minimum.accumulate((p * p.size / np.arange(1, p.size + 1))[::-1])[::-1])


def adjust(p_values: Sequence[float], method: Adjustment) -> list[float]:
    """P values adjusted by a method named in a table or a setting.

    Raises:
        ConfigError: There is no such method.

    Example:
        >>> adjust([0.01, 0.2], "bonferroni")
        [0.02, 0.4]
    """
    methods: dict[str, Callable[[Sequence[float]], list[float]]] = {
        "none": lambda p: _of_tests(p, lambda sorted_p: sorted_p),
        "bonferroni": bonferroni,
        "holm": holm,
        "benjamini-hochberg": benjamini_hochberg,
    }
    if method not in methods:
        raise ConfigError(f"there is no adjustment '{method}'; there is: {', '.join(methods)}")
    return methods[method](p_values)


def _of_tests(p_values: Sequence[float], of_sorted: Callable[[Array], Array]) -> list[float]:
    """Apply a rule to the ascending p values that exist; results stand at their places, 1 at most."""
    p = np.asarray(p_values, dtype=np.float64)
    adjusted = np.full(p.shape, np.nan)
    real = np.flatnonzero(np.isfinite(p))
    order = real[np.argsort(p[real], kind="stable")]
    adjusted[order] = np.minimum(1.0, of_sorted(p[order]))
    return [float(value) for value in adjusted]
