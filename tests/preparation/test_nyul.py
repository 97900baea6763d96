"""Standard scale by landmarks."""

from __future__ import annotations

import json

import numpy as np
import pytest

from recontrast.errors import ConfigError, FormatError, IntensityError
from recontrast.preparation.nyul import NyulScale, NyulStandard, learn_standard
from recontrast.volume import Volume


def image(low, high, power=1.0):
    values = low + (high - low) * np.linspace(0, 1, 8000) ** power
    return Volume(values.reshape(20, 20, 20).astype(np.float32), np.eye(4))


def everywhere(volume):
    return volume.with_data(np.ones(volume.shape, bool))


@pytest.fixture
def standard():
    images = [image(0, 100), image(50, 900, 2.0)]
    return learn_standard([(v, everywhere(v)) for v in images], (0, 25, 50, 75, 100))


def test_the_standard_is_the_mean_of_the_landmarks(standard):
    # The ramp has 0, .25, .5, .75, 1; the square of it 0, .0625, .25, .5625, 1.
    np.testing.assert_allclose(standard.values, (0, 0.15625, 0.375, 0.65625, 1), atol=1e-3)


def test_another_gain_and_offset_give_the_same_standard_values(standard):
    plain, other = image(0, 100), image(300, 1300)
    scaled = [standard.fit(v, everywhere(v)).apply(v.data) for v in (plain, other)]
    np.testing.assert_allclose(scaled[0], scaled[1], atol=1e-4)


def test_landmarks_meet_and_values_beyond_go_on(standard):
    volume = image(10, 410, 1.5)
    scale = standard.fit(volume, everywhere(volume))
    np.testing.assert_allclose(scale.apply(np.array(scale.native)), standard.values, atol=1e-6)
    slope = (standard.values[-1] - standard.values[-2]) / (scale.native[-1] - scale.native[-2])
    assert scale.apply(np.array([510.0]))[0] == pytest.approx(1 + 100 * slope, rel=1e-5)
    assert scale.apply(np.array([-90.0]))[0] < 0


def test_it_is_inverted_and_saved(standard, tmp_path):
    volume = image(10, 410, 1.5)
    scale = standard.fit(volume, everywhere(volume))
    np.testing.assert_allclose(scale.invert(scale.apply(volume.data)), volume.data, rtol=1e-4, atol=1e-2)
    assert NyulScale.from_dict(json.loads(json.dumps(scale.to_dict()))) == scale
    standard.save(tmp_path / "standard.json")
    assert NyulStandard.load(tmp_path / "standard.json") == standard


def test_the_head_is_found_when_no_mask_is_given(head):
    scale = learn_standard([(head("T1w"), None), (head("T1w", seed=1), None)]).fit(head("T1w", seed=2))
    assert len(scale.native) >= 5


def test_bad_input(standard, tmp_path):
    flat = image(5, 5.0001).with_data(np.where(np.arange(8000).reshape(20, 20, 20) == 0, 1, 7).astype(np.float32))
    with pytest.raises(IntensityError, match="one value only"):
        standard.fit(flat, flat.with_data(flat.data == 7))
    with pytest.raises(ConfigError, match="at least one image"):
        learn_standard([])
    with pytest.raises(ConfigError, match="must rise strictly"):
        learn_standard([(image(0, 1), None)], (50, 10))
    with pytest.raises(FormatError, match="not a standard scale"):
        NyulStandard.load(tmp_path / "nothing.json")
    with pytest.raises(FormatError, match="not a scale by landmarks"):
        NyulScale.from_dict({})
    with pytest.raises(IntensityError, match="cannot be inverted"):
        NyulScale((1.0, 1.0), (0.0, 1.0))
