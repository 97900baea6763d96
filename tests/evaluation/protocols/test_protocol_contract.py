"""What every protocol must be, and that protocols are never mixed."""

from __future__ import annotations

import dataclasses
import inspect
import json

import numpy as np
import pytest

from recontrast.config import to_plain
from recontrast.errors import ConfigError, UnknownNameError
from recontrast.evaluation.protocols import PROTOCOLS, WHOLE_IMAGE, MetricUse, Protocol, require_one_protocol
from recontrast.evaluation.scores import OK, score_volume
from recontrast.metrics import METRICS
from recontrast.preparation.normalize import ScaleSettings

NAMES = PROTOCOLS.names()


@pytest.mark.parametrize("name", NAMES)
class TestEveryProtocol:
    def test_is_complete_data(self, name: str) -> None:
        protocol = PROTOCOLS.get(name)
        assert protocol.name == name
        assert dataclasses.is_dataclass(protocol)
        assert protocol.data_range > 0
        assert protocol.description
        assert protocol.aggregation
        assert protocol.citation
        json.dumps(to_plain(protocol))

    def test_names_metrics_and_options_that_exist(self, name: str) -> None:
        for use in PROTOCOLS.get(name).metrics:
            options = inspect.signature(METRICS.get(use.metric)).parameters
            assert set(use.options) <= set(options) - {"mask", "data_range", "reference", "estimate"}

    def test_scores_a_volume(self, name: str, pair, regions) -> None:
        protocol = PROTOCOLS.get(name)
        records = score_volume(protocol, *pair, regions)
        assert {record.metric for record in records} == {use.label for use in protocol.metrics}
        undefined = {record.metric: record.status for record in records if record.status != OK}
        # Weights are the user's, and slices this small have no fifth scale and no room for the longest wavelet.
        assert {label.split("_")[0] for label in undefined} <= {"lpips", "ms", "cw"}, undefined

    def test_float32_images_give_the_same_to_rounding(self, name: str, pair, regions) -> None:
        protocol = PROTOCOLS.get(name)
        single = [image.astype(np.float32) for image in pair]
        for exact, rounded in zip(
            score_volume(protocol, *pair, regions), score_volume(protocol, *single, regions), strict=True
        ):
            assert rounded.value == pytest.approx(exact.value, rel=2e-4, abs=2e-5, nan_ok=True), exact

    def test_its_primary_region_is_found(self, name: str) -> None:
        protocol = PROTOCOLS.get(name)
        assert protocol.primary_region(["head", "brain", "brainUnion", WHOLE_IMAGE, "lesion"]) == protocol.primary[0]
        with pytest.raises(ConfigError, match="decides in"):
            protocol.primary_region(["lesion"])


def test_protocols_are_not_mixed() -> None:
    with pytest.raises(ConfigError, match=r"2 protocols \(osman2022, recontrast\).*not comparable"):
        require_one_protocol(["recontrast", "osman2022", "recontrast"], "scores.tsv")
    with pytest.raises(ConfigError, match="none"):
        require_one_protocol([], "scores.tsv")


def build(**changes: object) -> Protocol:
    fields: dict[str, object] = {
        "name": "mine", "normaliser": ScaleSettings(), "synthetic_scale": "own", "data_range": 1.0, "regions": (),
        "primary": ("head",), "metrics": (MetricUse(label="mae", metric="mae"),), "primary_metric": "mae",
        "aggregation": "", "description": "",
    }  # fmt: skip
    return Protocol(**(fields | changes))  # type: ignore[arg-type]


def test_a_protocol_that_contradicts_itself_is_refused() -> None:
    twice = (MetricUse(label="mae", metric="mae"), MetricUse(label="mae", metric="mse"))
    with pytest.raises(ConfigError, match="same label"):
        build(metrics=twice)
    with pytest.raises(UnknownNameError, match="did you mean 'mae'"):
        build(primary_metric="mea")
    with pytest.raises(UnknownNameError, match="unknown metric"):
        build().use("psnr")
    ratio = (MetricUse(label="mae", metric="gradient_ratio"),)
    with pytest.raises(ConfigError, match="use 'gradient_distance'"):
        build(metrics=ratio)
