"""Intensity scales: fitted, applied, inverted, saved."""

from __future__ import annotations

import numpy as np
import pytest

from recontrast.errors import ConfigError, FormatError, IntensityError, UnknownNameError
from recontrast.preparation.mask import head_mask
from recontrast.preparation.normalize import SCALES, Scale, ScaleSettings, fit_scale
from recontrast.volume import Volume


@pytest.mark.parametrize("name", SCALES)
def test_every_scale_is_inverted_and_saved(head, name):
    volume = head()
    scale = fit_scale(volume, ScaleSettings(name=name, fixed_offset=10, fixed_factor=500))
    there = scale.apply(volume.data)
    assert there.dtype == np.float32
    np.testing.assert_allclose(scale.invert(there), volume.data, atol=1e-3)
    assert Scale.from_dict(scale.to_dict()) == scale
    assert scale.name == name


def test_percentile_keeps_zero_and_brings_the_top_of_the_head_to_one(head):
    volume = head()
    scale = fit_scale(volume)
    assert scale.offset == 0
    assert scale.factor == pytest.approx(np.percentile(volume.data[head_mask(volume).data], 99.9))


def test_percentile_with_a_lower_end(head):
    volume = head()
    scale = fit_scale(volume, ScaleSettings(low=1, high=99))
    inside = scale.apply(volume.data[head_mask(volume).data])
    np.testing.assert_allclose(np.percentile(inside, (1, 99)), (0, 1), atol=1e-5)


def test_zscore_of_the_head(head):
    volume = head()
    inside = fit_scale(volume, ScaleSettings(name="zscore")).apply(volume.data)[head_mask(volume).data]
    assert inside.mean() == pytest.approx(0, abs=1e-4)
    assert inside.std() == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("orientation", ["LPS", "PIR"])
def test_raw_and_turned_give_the_very_same_scale(head, orientation):
    assert fit_scale(head().reoriented(orientation)) == fit_scale(head())


def test_a_known_head_is_used(head):
    volume = head()
    assert fit_scale(volume, head=head_mask(volume)) == fit_scale(volume)
    corner = volume.with_data(np.zeros(volume.shape, np.uint8))
    corner.data[:3] = 1
    assert fit_scale(volume, head=corner).factor < 100


def test_input_is_untouched_and_integers_do_not_wrap():
    values = np.array([0, 200, 255], np.uint8)
    np.testing.assert_allclose(Scale("x", 100, 50).apply(values), [-2, 2, 3.1])
    assert values.tolist() == [0, 200, 255]


@pytest.mark.parametrize("fill", [0.0, 3.0, np.nan])
def test_images_without_signal(fill):
    with pytest.raises(IntensityError):
        fit_scale(Volume(np.full((8, 8, 8), fill, np.float32), np.eye(4)))


def test_a_negative_image_is_explained():
    data = -np.abs(np.random.default_rng(0).normal(100, 10, (8, 8, 8))).astype(np.float32)
    with pytest.raises(IntensityError, match=r"scale\.low"):
        fit_scale(Volume(data, np.eye(4)))
    assert fit_scale(Volume(data, np.eye(4)), ScaleSettings(low=1.0)).factor > 0


@pytest.mark.parametrize(("low", "high"), [(99.0, 1.0), (-1.0, 99.0), (None, 101.0), (None, 0.0)])
def test_percentiles_must_make_sense(head, low, high):
    with pytest.raises(ConfigError, match="low < high"):
        fit_scale(head(), ScaleSettings(low=low, high=high))


def test_wrong_names_and_missing_options(head):
    with pytest.raises(UnknownNameError, match="did you mean 'percentile'"):
        fit_scale(head(), ScaleSettings(name="percentiles"))
    with pytest.raises(ConfigError, match="fixed_factor"):
        fit_scale(head(), ScaleSettings(name="fixed"))


@pytest.mark.parametrize("factor", [0.0, -1.0, np.nan, np.inf])
def test_a_scale_must_be_invertible(factor):
    with pytest.raises(IntensityError, match="inverted"):
        Scale("x", 0, factor)


@pytest.mark.parametrize("content", [{}, {"name": "x", "offset": "a", "factor": 1}, {"name": "x", "offset": None}])
def test_a_damaged_scale(content):
    with pytest.raises(FormatError, match="intensity scale"):
        Scale.from_dict(content)


def test_fixed_numbers_of_single_contrasts(head):
    settings = ScaleSettings(name="fixed", contrasts=("T1w=1200", "ce-gadolinium_T1w=10:800"))
    assert fit_scale(head(), settings, contrast="T1w") == Scale("fixed", 0.0, 1200.0)
    assert fit_scale(head(), settings, contrast="ce-gadolinium_T1w") == Scale("fixed", 10.0, 800.0)
    with pytest.raises(ConfigError, match=r"scale 'fixed' of T2w needs .* there are numbers for T1w"):
        fit_scale(head(), settings, contrast="T2w")
    with pytest.raises(ConfigError, match=r"scale\.contrasts 'T1w=much'"):
        fit_scale(head(), ScaleSettings(name="fixed", contrasts=("T1w=much",)), contrast="T1w")
