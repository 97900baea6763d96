"""The mixture against images whose means, gain and fractions are known."""

from __future__ import annotations

import numpy as np
import pytest
from tests.evaluation.segmentation.conftest import MadeBrain

from recontrast.evaluation.segmentation import mixture
from recontrast.evaluation.segmentation.mixture import CSF, GM, STATES, WM, Settings, fit_mixture, start_gain

LARGE = (4.0, 4.0, 6.0)
"""Voxels in mm that make the brain 16 cm wide: a gain is smooth on that scale."""


def test_states_are_mixes_that_add_up_to_one() -> None:
    assert STATES.shape == (15, 3)
    np.testing.assert_allclose(STATES.sum(axis=1), 1, atol=1e-6)
    np.testing.assert_array_equal(STATES[:3], np.eye(3))


def test_means_gain_and_labels_are_found(made_brain: MadeBrain) -> None:
    image = made_brain.t1w
    fit = fit_mixture(image.data, made_brain.brain, image.spacing, order=(CSF, GM, WM), settings=Settings())
    assert fit.means[CSF] < fit.means[GM] < fit.means[WM]
    assert fit.means[WM] / fit.means[GM] == pytest.approx(1.5, rel=0.05)
    assert np.exp(np.log(fit.gain[made_brain.brain]).mean()) == pytest.approx(1, abs=0.02)
    np.testing.assert_allclose(fit.fractions[made_brain.brain].sum(axis=1), 1, atol=1e-4)
    assert not fit.fractions[~made_brain.brain].any()


def test_the_gain_matters_and_so_does_the_neighbourhood(made_brain: MadeBrain) -> None:
    image, truth = made_brain.t1w, made_brain.tissues

    def right(settings: Settings) -> float:
        fit = fit_mixture(image.data, made_brain.brain, LARGE, order=(CSF, GM, WM), settings=settings)
        found = np.array([3, 1, 2])[fit.fractions.argmax(axis=-1)]
        inside = made_brain.brain & ~made_brain.lesions
        return float((found == truth)[inside].mean())

    full = right(Settings())
    assert full > 0.95
    assert full > right(Settings(gain_mm=0))
    assert full >= right(Settings(coupling=0))


def test_partial_volume_is_between_the_tissues() -> None:
    rng = np.random.default_rng(0)
    share = np.repeat(np.linspace(0, 1, 11), 3)[:, None, None] * np.ones((1, 24, 24))
    data = (600 * share + 400 * (1 - share) + 8 * rng.standard_normal(share.shape)).astype(np.float32)
    data[:3, :6] = 150
    fit = fit_mixture(data, np.ones(data.shape, bool), (1, 1, 1), order=(CSF, GM, WM), settings=Settings(gain_mm=0))
    middle = fit.fractions[15:18].mean(axis=(0, 1, 2))
    assert 0.1 < middle[WM] < 0.9
    assert 0.1 < middle[GM] < 0.9
    white = fit.fractions[:, 6:, :, WM].mean(axis=(1, 2))
    assert (np.diff(white) > -0.02).all()
    assert white[0] < 0.05
    assert white[-1] > 0.95


def test_the_first_gain_follows_the_coil(made_brain: MadeBrain) -> None:
    gain = start_gain(made_brain.t1w.data, made_brain.brain, LARGE)
    right, left = (gain[part][made_brain.brain[part]].mean() for part in (slice(30, None), slice(0, 10)))
    assert right > 1.1 * left


def test_the_same_image_gives_the_same_answer(made_brain: MadeBrain) -> None:
    image = made_brain.t1w
    first, second = (
        fit_mixture(image.data, made_brain.brain, image.spacing, order=(CSF, GM, WM), settings=Settings(rounds=3))
        for _ in range(2)
    )
    np.testing.assert_array_equal(first.fractions, second.fractions)


def test_how_many_voxels_are_worked_on_at_once_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    table, field = rng.random((1024, len(STATES)), np.float32), rng.dirichlet((1, 1, 1), 50).astype(np.float32)
    index = rng.integers(0, 1024, 50)
    whole, own = mixture._posterior(table, index, field, coupling=2.5)
    expected = table[index].astype(np.float64) * np.exp(2.5 * field.astype(np.float64) @ STATES.T)
    expected /= expected.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(whole, expected, rtol=1e-5)
    np.testing.assert_allclose(own, expected @ STATES, rtol=1e-5)
    monkeypatch.setattr(mixture, "_AT_ONCE", 7)
    for parts, together in zip(mixture._posterior(table, index, field, coupling=2.5), (whole, own), strict=True):
        np.testing.assert_allclose(parts, together, rtol=1e-6)
