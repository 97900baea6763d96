"""Separable least squares, voxel by voxel: signals that are an unknown size times a curve of one or two unknowns.

Every row r of a voxel (an echo, or its real or imaginary part) follows s_r = a_r f(u): one curve f over the images
for all rows, a size a_r for each row. For a given u the best sizes are a_r = <s_r, f> / <f, f>, so that only u has to
be searched: first among curves laid out beforehand, then by Gauss-Newton steps in which the sizes are eliminated.
G. H. Golub and V. Pereyra, The differentiation of pseudo-inverses and nonlinear least squares problems whose variables
separate, SIAM Journal on Numerical Analysis 10:413, 1973; the derivative is that of L. Kaufman, BIT 15:49, 1975.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
Curve = Callable[[Values], Values]
"""Unknowns, followed by what is known of each voxel, (V, U + K), to curve (V, N): the signal for size 1."""

_STEPS = 20
_CLOSE_ENOUGH = 1e-6
_TINY = 1e-30
_KNOWN_STEP = 0.02
"""Candidates are compared with what is known of a voxel (B1) rounded to this; the steps after that use it exactly."""


@dataclass(frozen=True)
class Search:
    """Where the unknowns are looked for.

    Attributes:
        candidates: Unknowns laid out beforehand, (G, U).
        low: Smallest value of each unknown, (U,).
        high: Largest value of each unknown, (U,).
        reach: Longest step of each unknown, (U,).
        nudge: Step of each unknown for central differences, (U,).
    """

    candidates: Values
    low: Values
    high: Values
    reach: Values
    nudge: Values


@dataclass(frozen=True)
class Solution:
    """What was found in each voxel.

    Attributes:
        unknowns: (V, U).
        sizes: (V, R).
        misfit: Sum of squared differences over rows and images, (V,).
        curvature: <f, f>, (V,).
        information: U x U matrices whose inverse, times the noise variance, is the covariance of the unknowns.
        tilt: <f, df/du> / <f, f>, (V, U): how much a size changes, relatively, with the unknowns.
    """

    unknowns: Values
    sizes: Values
    misfit: Values
    curvature: Values
    information: Values
    tilt: Values

    def covariance(self) -> Values:
        """Covariance of the unknowns for noise variance 1, (V, U, U); infinite where the data do not tell."""
        return _inverse(self.information)


def solve(signals: NDArray[Any], curve: Curve, search: Search, known: Values | None = None) -> Solution:
    """Fit all voxels at once.

    Args:
        signals: Real signals, (V, R, N): voxels, rows, images.
        curve: The curve and, by central differences, its slope.
        search: Candidates and limits.
        known: What the curve is told of each voxel after its unknowns, (V, K).

    Example:
        >>> times = np.array([0.01, 0.05])
        >>> decay = lambda u: np.exp(-times * u)
        >>> rates = np.linspace(1, 50, 20)[:, None]
        >>> limits = Search(rates, *(np.array([v]) for v in (0.1, 100.0, 5.0, 1e-4)))
        >>> found = solve(3 * decay(np.array([[12.5]]))[:, None], decay, limits)
        >>> round(float(found.unknowns[0, 0]), 6), round(float(found.sizes[0, 0]), 6)
        (12.5, 3.0)
    """
    data = np.asarray(signals, dtype=np.float64)
    if known is None:
        return refine(data, _nearest(data, curve, search, np.empty(0)), curve, search)
    start = np.empty((len(data), search.candidates.shape[1]))
    rounded, group = np.unique(np.round(known / _KNOWN_STEP) * _KNOWN_STEP, axis=0, return_inverse=True)
    for number, values in enumerate(rounded):
        inside = group.ravel() == number
        start[inside] = _nearest(data[inside], curve, search, values)
    return refine(data, start, curve, search, known)


def refine(data: Values, start: Values, curve: Curve, search: Search, known: Values | None = None) -> Solution:
    """Gauss-Newton steps from given unknowns (V, U); arguments otherwise as for `solve`.

    A step that does not lower the misfit is halved until it does, or until it is too short to matter.
    """
    told = np.empty((len(data), 0)) if known is None else known
    unknowns = np.clip(start, search.low, search.high)
    misfit = _sizes(data, curve(np.hstack([unknowns, told])))[1]
    active = np.flatnonzero(np.isfinite(misfit))
    damping = np.ones(len(unknowns))
    for _ in range(_STEPS):
        if not active.size:
            break
        here = unknowns[active]
        step = _step(data[active], here, told[active], curve, search)
        moved = np.clip(here + damping[active, None] * np.clip(step, -search.reach, search.reach), search.low,
                        search.high)  # fmt: skip
        after = _sizes(data[active], curve(np.hstack([moved, told[active]])))[1]
        better = after <= misfit[active]
        unknowns[active[better]] = moved[better]
        misfit[active[better]] = after[better]
        damping[active] = np.where(better, np.minimum(1.0, 2 * damping[active]), 0.25 * damping[active])
        still = (np.abs(moved - here) > _CLOSE_ENOUGH * search.reach).any(axis=1)
        active = active[still & (damping[active] > 1e-3)]
    sizes, _, length, tilt, information, _ = _linearised(data, unknowns, told, curve, search)
    return Solution(unknowns, sizes, misfit, length, information, tilt)


def _nearest(data: Values, curve: Curve, search: Search, known: Values) -> Values:
    """The candidate whose curve, with its best sizes, is nearest to each voxel."""
    curves = curve(np.hstack([search.candidates, np.tile(known, (len(search.candidates), 1))]))
    length = np.linalg.norm(curves, axis=1, keepdims=True)
    unit = np.divide(curves, length, out=np.zeros_like(curves), where=length > 0).astype(np.float32)
    score = np.zeros((len(data), len(unit)), np.float32)
    for row in range(data.shape[1]):
        projected = data[:, row].astype(np.float32) @ unit.T
        score += projected * projected
    return np.array(search.candidates[score.argmax(axis=1)])


def _sizes(data: Values, curve: Values) -> tuple[Values, Values, Values]:
    """Best sizes (V, R), misfit (V,) and <f, f> (V,) of given curves (V, N)."""
    length = np.einsum("vn,vn->v", curve, curve)
    sizes = np.einsum("vrn,vn->vr", data, curve) / np.maximum(length, _TINY)[:, None]
    rest = data - sizes[:, :, None] * curve[:, None, :]
    return sizes, np.einsum("vrn,vrn->v", rest, rest), length


def _slopes(arguments: Values, curve: Curve, search: Search) -> Values:
    """Central differences of the curve by the unknowns, (V, U, N)."""
    slopes = []
    for which, nudge in enumerate(search.nudge):
        moved = np.zeros(arguments.shape[1])
        moved[which] = nudge
        slopes.append((curve(arguments + moved) - curve(arguments - moved)) / (2 * nudge))
    return np.stack(slopes, axis=1)


def _linearised(data: Values, unknowns: Values, known: Values, curve: Curve, search: Search) -> tuple[Values, ...]:
    arguments = np.hstack([unknowns, known])
    values = curve(arguments)
    sizes, misfit, length = _sizes(data, values)
    slopes = _slopes(arguments, curve, search)
    tilt = np.einsum("vun,vn->vu", slopes, values) / np.maximum(length, _TINY)[:, None]
    across = slopes - tilt[:, :, None] * values[:, None, :]  # what a change of size cannot imitate
    power = np.einsum("vr,vr->v", sizes, sizes)
    information = power[:, None, None] * np.einsum("vun,vwn->vuw", across, across)
    rest = data - sizes[:, :, None] * values[:, None, :]
    pull = np.einsum("vr,vrn,vun->vu", sizes, rest, across, optimize=True)
    return sizes, misfit, length, tilt, information, pull


def _step(data: Values, unknowns: Values, known: Values, curve: Curve, search: Search) -> Values:
    *_, information, pull = _linearised(data, unknowns, known, curve, search)
    return np.einsum("vuw,vw->vu", np.nan_to_num(_inverse(information), posinf=0.0, neginf=0.0), pull)


def _inverse(matrices: Values) -> Values:
    """Inverse of symmetric 1 x 1 or 2 x 2 matrices (V, U, U); infinite diagonal where there is none."""
    if matrices.shape[1] == 1:
        with np.errstate(divide="ignore", over="ignore"):
            return np.asarray(1.0 / matrices)
    a, b, d = matrices[:, 0, 0], matrices[:, 0, 1], matrices[:, 1, 1]
    determinant = a * d - b * b
    clear = determinant > 1e-12 * a * d
    swapped = np.stack([np.stack([d, -b], -1), np.stack([-b, a], -1)], -2)
    inverse = np.full(matrices.shape, np.inf)
    inverse[:, 0, 1] = inverse[:, 1, 0] = 0.0
    inverse[clear] = swapped[clear] / determinant[clear, None, None]
    return inverse
