"""The fit of one or two unknowns against curves whose unknowns are known."""

from __future__ import annotations

import numpy as np
import pytest

from recontrast.relaxometry.separable import Search, refine, solve

TIMES = np.array([0.01, 0.03, 0.06, 0.1])


def decay(arguments: np.ndarray) -> np.ndarray:
    return np.exp(-TIMES * arguments[:, :1])


def search(count: int = 40) -> Search:
    rates = np.linspace(1, 80, count)[:, None]
    return Search(rates, *(np.array([v]) for v in (0.1, 100.0, 4.0, 1e-3)))


def test_noiseless_curves_are_found_exactly() -> None:
    rates = np.array([2.0, 12.5, 33.0, 79.0])[:, None]
    sizes = np.array([[1.0, -0.5], [3.0, 2.0], [0.1, 0.0], [7.0, 1.0]])
    found = solve(sizes[:, :, None] * decay(rates)[:, None, :], decay, search())
    np.testing.assert_allclose(found.unknowns, rates, rtol=1e-6)
    np.testing.assert_allclose(found.sizes, sizes, rtol=1e-6, atol=1e-9)
    assert found.misfit.max() < 1e-12


def test_it_is_the_least_squares_solution_of_noisy_data(rng: np.random.Generator) -> None:
    from scipy.optimize import curve_fit

    data = 2 * np.exp(-TIMES * 20) + 0.05 * rng.standard_normal((12, TIMES.size))
    found = solve(data[:, None, :], decay, search())
    for row, rate, size in zip(data, found.unknowns[:, 0], found.sizes[:, 0], strict=True):
        (a, r), _ = curve_fit(lambda t, a, r: a * np.exp(-t * r), TIMES, row, p0=(2, 20))
        assert rate == pytest.approx(r, rel=1e-4)
        assert size == pytest.approx(a, rel=1e-4)


def test_covariance_is_that_of_scipy(rng: np.random.Generator) -> None:
    from scipy.optimize import curve_fit

    data = 2 * np.exp(-TIMES * 20) + 0.02 * rng.standard_normal(TIMES.size)
    found = solve(data[None, None, :], decay, search())
    _, covariance = curve_fit(
        lambda t, a, r: a * np.exp(-t * r), TIMES, data, p0=(2, 20), sigma=np.ones(4), absolute_sigma=True
    )
    assert found.covariance()[0, 0, 0] == pytest.approx(covariance[1, 1], rel=0.01)


def test_two_unknowns() -> None:
    def curve(arguments: np.ndarray) -> np.ndarray:
        return np.exp(-TIMES * arguments[:, :1]) - arguments[:, 1:2]

    grid = np.stack(np.meshgrid(np.linspace(5, 60, 12), np.linspace(0.1, 1, 8), indexing="ij"), -1).reshape(-1, 2)
    limits = Search(grid, np.array([1.0, 0.0]), np.array([90.0, 1.5]), np.array([5.0, 0.2]), np.array([1e-3, 1e-4]))
    truth = np.array([[17.3, 0.43], [44.0, 0.77]])
    found = solve(2.5 * curve(truth)[:, None, :], curve, limits)
    np.testing.assert_allclose(found.unknowns, truth, rtol=1e-4)


def test_what_is_known_of_a_voxel_reaches_the_curve() -> None:
    def curve(arguments: np.ndarray) -> np.ndarray:
        return np.exp(-TIMES * arguments[:, :1] * arguments[:, 1:2])

    known = np.array([[0.813], [1.0], [1.27]])
    truth = np.full((3, 1), 21.0)
    found = solve(curve(np.hstack([truth, known]))[:, None, :], curve, search(), known)
    np.testing.assert_allclose(found.unknowns, truth, rtol=1e-6)


def test_unknowns_stay_within_their_limits_and_zero_signals_do_no_harm() -> None:
    growing = np.exp(TIMES * 30)[None, None, :]
    found = solve(np.concatenate([growing, np.zeros((1, 1, 4))]), decay, search())
    assert found.unknowns[0, 0] == pytest.approx(0.1)
    assert np.isfinite(found.unknowns).all()
    assert found.sizes[1, 0] == 0
    assert np.isinf(found.covariance()[1, 0, 0])


def test_refine_never_ends_worse_than_it_began(rng: np.random.Generator) -> None:
    data = rng.standard_normal((50, 1, 4))
    start = rng.uniform(1, 80, (50, 1))
    found = refine(data, start, decay, search())
    curve = decay(start)
    sizes = np.einsum("vrn,vn->vr", data, curve) / (curve**2).sum(1)[:, None]
    before = ((data - sizes[:, :, None] * curve[:, None]) ** 2).sum((1, 2))
    assert (found.misfit <= before + 1e-9).all()
