"""What every control must do."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from recontrast.evaluation.controls import CONTROLS

NAMES = CONTROLS.names()


@pytest.fixture
def voxels(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Two sources and a target that depends on both."""
    sources = rng.random((2000, 2)).astype(np.float32)
    target = (0.9 - 0.5 * sources[:, 0] + 0.3 * sources[:, 1] ** 2).astype(np.float32)
    return sources, target


def test_the_blueprint_names_five() -> None:
    assert set(NAMES) >= {"identity", "affine", "quantile", "ridge", "boosting"}


@pytest.mark.parametrize("name", NAMES)
class TestEveryControl:
    def test_makes_finite_voxels_and_leaves_its_input_alone(self, name: str, voxels) -> None:
        control = CONTROLS.get(name)()
        before = voxels[0].copy()
        assert isinstance(control.fit(*voxels, 0), str)
        made = control.predict(voxels[0][:500])
        assert made.shape == (500,)
        assert np.isfinite(made).all()
        assert np.array_equal(voxels[0], before)
        assert control.title

    def test_same_seed_same_result(self, name: str, voxels) -> None:
        first, second = CONTROLS.get(name)(), CONTROLS.get(name)()
        first.fit(*voxels, 3)
        second.fit(*voxels, 3)
        assert np.array_equal(first.predict(voxels[0]), second.predict(voxels[0]))

    def test_bears_constant_sources_and_values_beyond_training(self, name: str, voxels) -> None:
        control = CONTROLS.get(name)()
        control.fit(np.full_like(voxels[0], 0.5), voxels[1], 0)
        assert np.isfinite(control.predict(np.array([[0.5, 0.5], [-1.0, 9.0]], np.float32))).all()

    def test_works_with_one_and_with_three_sources(self, name: str, voxels) -> None:
        for columns in ([0], [0, 1, 0]):
            control = CONTROLS.get(name)()
            control.fit(voxels[0][:, columns], voxels[1], 0)
            assert np.isfinite(control.predict(voxels[0][:, columns])).all()

    def test_can_be_sent_to_another_process(self, name: str, voxels) -> None:
        control = CONTROLS.get(name)()
        control.fit(*voxels, 0)
        again = pickle.loads(pickle.dumps(control))
        assert np.array_equal(again.predict(voxels[0]), control.predict(voxels[0]))
