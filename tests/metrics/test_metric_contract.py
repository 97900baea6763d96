"""What every metric must do, whatever it measures."""

from __future__ import annotations

import math
import pickle
from pathlib import Path

import numpy as np
import pytest
from tests.metrics.conftest import tiny_weights

from recontrast.errors import ConfigError, GeometryError, IntensityError
from recontrast.metrics import METRICS, Metric

NAMES = METRICS.names()
SHAPE = (48, 33, 34)  # room for the longest wavelet and two scales

OPTIONS = {
    "ms_ssim": {"scales": 2, "window": "uniform7"},
    "lpips": {"axis": 2, "weights": tiny_weights()},
}
"""What a metric needs on images this small."""

WITHOUT_MAP = {
    "ssim_global", "dice", "hd95", "asd", "granularity_difference", "apparent_width_difference", "gradient_distance",
    "high_frequency_distance",
}  # fmt: skip
"""No voxel has a value of its own; the maps of the two distances are those of the ratios."""


def call(name: str, *images: np.ndarray, **options: object) -> float:
    return METRICS.get(name)(*images, **OPTIONS.get(name, {}), **options)


def badness(name: str, value: float) -> float:
    """The larger the worse, for every direction."""
    metric = METRICS.get(name)
    if metric.two_sided:
        return abs(math.log(value))
    return -value if metric.higher_is_better else value


@pytest.fixture
def pair(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    reference = rng.random(SHAPE)
    return reference, np.clip(reference + 0.1 * rng.standard_normal(SHAPE), 0, None)


@pytest.mark.parametrize("name", NAMES)
class TestEveryMetric:
    def test_is_declared(self, name: str, pair) -> None:
        metric = METRICS.get(name)
        assert isinstance(metric, Metric)
        assert metric.title
        assert "Example:" in (metric.__doc__ or "")
        assert isinstance(metric.higher_is_better, bool)

    def test_identical_images_get_the_best_value(self, name: str, pair) -> None:
        value = call(name, pair[0], pair[0].copy(), data_range=1.0)
        assert value == pytest.approx(METRICS.get(name).best, abs=1e-6)

    def test_a_worse_estimate_gets_a_worse_value(self, name: str, pair) -> None:
        reference, estimate = pair
        worse = {"dice": np.zeros(SHAPE), "nmi": reference[::-1]}.get(name, (reference < 0.5) * 1.0)
        near, far = (call(name, reference, image, data_range=1.0) for image in (estimate, worse))
        assert badness(name, near) < badness(name, far)

    def test_values_lie_within_its_bounds_also_for_opposite_images(self, name: str, pair) -> None:
        low, high = METRICS.get(name).bounds
        inverse = (pair[0] < 0.5) * 1.0 if name == "dice" else 1 - pair[0]
        for estimate in (pair[1], inverse):
            assert low - 1e-6 <= call(name, pair[0], estimate, data_range=1.0) <= high + 1e-6

    @pytest.mark.parametrize("dtype", ["float32", "float64", "uint8", "int16", "uint16", "bool"])
    def test_inputs_stay_untouched_and_integers_do_not_wrap(self, name: str, pair, dtype: str) -> None:
        scale = 1 if dtype in ("float32", "float64", "bool") else 200
        images = (
            [image > 0.5 for image in pair] if dtype == "bool" else [scale * np.clip(image, 0, 1) for image in pair]
        )
        reference, estimate = (image.astype(dtype) for image in images)
        before = reference.copy(), estimate.copy()
        value = call(name, reference, estimate, data_range=float(scale))
        assert np.array_equal(reference, before[0])
        assert np.array_equal(estimate, before[1])
        exact = call(name, reference.astype(np.float64), estimate.astype(np.float64), data_range=float(scale))
        assert value == pytest.approx(exact, rel=2e-5)

    def test_an_empty_region_is_nan_with_a_reason(self, name: str, pair) -> None:
        value, reason = METRICS.get(name).score(
            *pair, mask=np.zeros(SHAPE, bool), data_range=1.0, **OPTIONS.get(name, {})
        )
        assert math.isnan(value)
        assert "empty" in reason

    def test_only_the_region_counts(self, name: str, pair) -> None:
        if name == "lpips":
            pytest.skip("a deep feature sees the whole slice")
        reference, estimate = pair
        mask = np.zeros(SHAPE, bool)
        mask[:6] = True
        changed = estimate.copy()
        changed[44:] += 0.5  # farther from the region than any window
        inside = call(name, reference, estimate, mask=mask, data_range=1.0)
        # A mean that is taken away first may change the last digit.
        assert call(name, reference, changed, mask=mask, data_range=1.0) == pytest.approx(inside, abs=1e-5)

    def test_masks_may_be_bool_or_integer(self, name: str, pair) -> None:
        mask = np.zeros(SHAPE, np.uint8)
        mask[2:29, 3:29, 2:29] = 255
        assert call(name, *pair, mask=mask, data_range=1.0) == call(name, *pair, mask=mask > 0, data_range=1.0)

    @pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
    def test_a_voxel_that_is_not_finite_is_refused(self, name: str, pair, bad: float) -> None:
        for position in (0, 1):
            for dtype in (np.float32, np.float64):
                images = [image.astype(dtype) for image in pair]
                images[position][3, 4, 5] = bad
                with pytest.raises(IntensityError, match="NaN or infinite"):
                    METRICS.get(name)(*images, data_range=1.0)

    def test_shapes_that_differ_are_refused(self, name: str, pair) -> None:
        with pytest.raises(GeometryError, match="shape"):
            METRICS.get(name)(pair[0], pair[1][:-1], data_range=1.0)
        with pytest.raises(GeometryError, match="mask"):
            METRICS.get(name)(*pair, mask=np.ones((2, 2, 2), bool), data_range=1.0)

    @pytest.mark.parametrize("data_range", [0.0, -1.0, np.inf, np.nan])
    def test_an_impossible_data_range_is_refused(self, name: str, pair, data_range: float) -> None:
        with pytest.raises(ConfigError, match="data_range"):
            METRICS.get(name)(*pair, data_range=data_range)

    def test_a_constant_image_gives_a_number_or_a_reason(self, name: str, pair) -> None:
        value, reason = METRICS.get(name).score(np.full(SHAPE, 0.5), pair[1], data_range=1.0, **OPTIONS.get(name, {}))
        assert math.isfinite(value) != bool(reason)

    def test_views_and_fortran_order_do_not_matter(self, name: str, pair) -> None:
        plain = call(name, *pair, data_range=1.0)
        turned = call(name, np.asfortranarray(pair[0]), pair[1][::-1][::-1], data_range=1.0)
        assert turned == pytest.approx(plain, rel=1e-5)

    def test_its_voxel_form_gives_the_same_number(self, name: str, pair) -> None:
        metric = METRICS.get(name)
        if metric.form is None:
            return
        reference, estimate = pair
        mask = reference > 0.3
        values = metric.form.map(reference, estimate, data_range=1.0)
        constant = metric.form.constant(reference[mask], estimate[mask], data_range=1.0)
        assert values.shape == SHAPE
        expected = metric(reference, estimate, mask=mask, data_range=1.0)
        assert metric.form.finish(values[mask].mean(dtype=np.float64), constant) == pytest.approx(expected, rel=1e-6)

    def test_its_map_has_a_value_for_each_voxel_and_is_best_for_identical_images(self, name: str, pair) -> None:
        metric = METRICS.get(name)
        if metric.map is None:
            assert name in WITHOUT_MAP
            return
        equal = metric.map(pair[0], pair[0].copy(), data_range=1.0, **OPTIONS.get(name, {}))
        other = metric.map(*pair, data_range=1.0, **OPTIONS.get(name, {}))
        assert equal.shape == other.shape == SHAPE
        if metric.form is None and name != "nmi":  # a pair of common intensities tells less than one of rare ones
            np.testing.assert_allclose(equal[np.isfinite(equal)], metric.best, atol=1e-6)
        assert np.isfinite(other).mean() > 0.9
        assert other.std() > 0

    def test_the_documentation_explains_it(self, name: str) -> None:
        page = (Path(__file__).parents[2] / "docs" / "concepts" / "metrics.md").read_text(encoding="utf-8")
        assert f"`{name}`" in page

    def test_can_be_sent_to_another_process(self, name: str, pair) -> None:
        assert pickle.loads(pickle.dumps(METRICS.get(name))) is METRICS.get(name)
