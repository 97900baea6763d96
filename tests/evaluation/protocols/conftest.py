"""A pair of images with regions, and a way to score it that gives label -> value."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pytest

from recontrast.evaluation.protocols import PROTOCOLS
from recontrast.evaluation.scores import OK, CaseScorer

SHAPE = (26, 24, 20)


@pytest.fixture
def regions() -> dict[str, np.ndarray]:
    """Head, brain and three tissues; nothing touches the outer voxels."""
    i, j, k = np.meshgrid(*[np.linspace(-1, 1, n) for n in SHAPE], indexing="ij")
    radius = np.sqrt((i / 0.75) ** 2 + (j / 0.8) ** 2 + (k / 0.7) ** 2)
    brain = radius < 0.8
    return {
        "head": radius < 1, "brain": brain, "GM": brain & (radius > 0.5), "WM": radius < 0.4,
        "CSF": brain & (radius < 0.5) & (radius >= 0.4),
    }  # fmt: skip


@pytest.fixture
def pair(regions: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Reference in [0, 1] with exact zeros and ones, zero outside the head; estimate with blur, gain and noise."""
    rng = np.random.default_rng(7)
    reference = np.where(regions["head"], 0.2 + 0.6 * rng.random(SHAPE), 0.0)
    reference[regions["WM"]] += 0.1
    reference[13, 12, 10] = 1.0
    noisy = 0.92 * reference + 0.04 * rng.standard_normal(SHAPE)
    return reference, np.where(regions["head"], np.clip(noisy, 0, 1), 0.0)


@pytest.fixture
def score(regions: dict[str, np.ndarray]) -> Callable[..., dict[str, float]]:
    """Values of a protocol in one region, all defined but LPIPS without weights."""

    def run(
        protocol: str, reference: np.ndarray, estimate: np.ndarray, region: str = "image",
        masks: Mapping[str, np.ndarray] | None = None, **options: object,
    ) -> dict[str, float]:  # fmt: skip
        scorer = CaseScorer(PROTOCOLS.get(protocol), reference, regions if masks is None else masks, **options)
        records = [record for record in scorer.score(estimate) if record.region == region]
        assert all(record.status == OK or record.metric.startswith("lpips") for record in records), records
        return {record.metric: record.value for record in records}

    return run
