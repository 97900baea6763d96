"""The map of local SSIM is that of the score: its mean is the protocol's SSIM."""

from __future__ import annotations

import json

import numpy as np
import pytest

from recontrast.config import to_plain
from recontrast.evaluation.protocols import PROTOCOLS, WHOLE_IMAGE, Protocol
from recontrast.evaluation.scores import score_volume
from recontrast.metrics.structure import ssim_margin
from recontrast.reporting.similarity import map_settings, similarity_map

SHAPE = (22, 24, 20)
WITH_SSIM = [
    name
    for name, protocol in PROTOCOLS.items()
    if protocol.regions == (WHOLE_IMAGE,) and any(use.metric == "ssim" for use in protocol.metrics)
]


def recorded(protocol: Protocol) -> dict:
    """A protocol as it comes back from `evaluation.json`."""
    return json.loads(json.dumps(to_plain(protocol)))


@pytest.fixture
def images(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    reference = (400 + 300 * rng.random(SHAPE)).astype(np.float32)
    synthetic = (reference + 60 * rng.standard_normal(SHAPE)).astype(np.float32)
    head = np.ones(SHAPE, bool)
    return reference, synthetic, {"head": head, "brain": head}


@pytest.mark.parametrize("name", WITH_SSIM)
def test_its_mean_over_the_image_is_the_protocols_ssim(images, name: str) -> None:
    protocol = PROTOCOLS.get(name)
    reference, synthetic, masks = images
    if protocol.normaliser.name != "fixed":
        reference, synthetic = reference / 1000, synthetic / 1000
    use = next(use for use in protocol.metrics if use.metric == "ssim")
    (score,) = [r for r in score_volume(protocol, reference, synthetic, masks) if r.metric == use.label]
    assert score.status == "ok"
    found, reason = similarity_map(reference, synthetic, masks, map_settings(recorded(protocol)))
    assert reason == ""
    options = {key: use.options[key] for key in ("window", "axis") if key in use.options}
    margin = (0, 0, 0) if use.options.get("whole") else ssim_margin(**options)
    inner = found[tuple(slice(m, n - m) for m, n in zip(margin, SHAPE, strict=True))]
    assert float(inner.mean(dtype=np.float64)) == pytest.approx(score.value, abs=2e-5)


def test_a_slice_that_cannot_be_normalised_has_no_map(images) -> None:
    reference, synthetic, masks = images
    reference[..., 7] = 0
    found, reason = similarity_map(reference, synthetic, masks, map_settings(recorded(PROTOCOLS.get("selfrdb"))))
    assert reason == ""
    assert np.isnan(found[..., 7]).all()
    assert np.isfinite(found[..., 8]).all()
    nothing, why = similarity_map(0 * reference, synthetic, masks, map_settings(recorded(PROTOCOLS.get("selfrdb"))))
    assert np.isnan(nothing).all()
    assert why == "the reference cannot be normalised as the protocol asks"


@pytest.mark.parametrize("name", ["hagiwara2019", "syndiff", "bottani2024-code"])
def test_a_protocol_without_local_ssim_has_no_map(images, name: str) -> None:
    found, reason = similarity_map(*images, map_settings(recorded(PROTOCOLS.get(name))))
    assert np.isnan(found).all()
    assert reason == "the protocol has no local SSIM"


def test_what_cannot_be_done_again_is_said(images) -> None:
    assert "does not say how" in similarity_map(*images, map_settings({}))[1]
    fields = recorded(PROTOCOLS.get("tagawa2025"))
    other = {**fields, "steps": [{"step": "of another version"}]}
    assert "is no step of a protocol" in similarity_map(*images, map_settings(other))[1]
    cropped = {**fields, "steps": [{"step": "centre_crop", "size": [10, 0, 0]}]}
    assert "crops the images" in similarity_map(*images, map_settings(cropped))[1]
    masked = {**fields, "steps": [{"step": "keep_region", "region": "tumour"}]}
    assert "the case has no 'tumour'" in similarity_map(*images, map_settings(masked))[1]
