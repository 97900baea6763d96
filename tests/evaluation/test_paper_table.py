"""The table as papers print it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from recontrast.evaluation.paper_table import in_markdown, paper_table, pooled
from recontrast.evaluation.protocols import PROTOCOLS
from recontrast.evaluation.scores import CaseScorer
from recontrast.evaluation.tables import ScoredCase, scores_table
from recontrast.io.bids import Case

SHAPE = (14, 15, 16)


def scored(protocol: str, estimates: dict[str, float]) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """Scores of estimates that are off by a constant and by noise; and the images."""
    rng = np.random.default_rng(5)
    reference = rng.random(SHAPE)
    images = {s: np.clip(reference + off + 0.02 * rng.standard_normal(SHAPE), 0, 1) for s, off in estimates.items()}
    head = np.ones(SHAPE, bool)
    cases = [
        ScoredCase(Case(s), {"synthetic": CaseScorer(PROTOCOLS.get(protocol), reference, {"head": head}).score(image)})
        for s, image in images.items()
    ]
    return scores_table(cases, PROTOCOLS.get(protocol), "passed"), {"reference": reference, **images}


def test_mean_and_sd_over_subjects_and_over_all_slices_by_hand() -> None:
    scores, images = scored("osman2022", {"01": 0.0, "02": 0.1, "03": 0.2})
    row = paper_table(scores, PROTOCOLS.get("osman2022")).set_index("metric").loc["mae"]
    errors = np.stack([np.abs(images[s] - images["reference"]).mean(axis=(0, 1)) for s in ("01", "02", "03")])
    assert row["mean"] == pytest.approx(errors.mean(axis=1).mean())
    assert row["sd"] == pytest.approx(errors.mean(axis=1).std(ddof=1))
    assert (row["subjects"], row["slices"], row["slices_undefined"]) == (3, 48, 0)
    assert row["slices_mean"] == pytest.approx(errors.mean())
    assert row["slices_sd"] == pytest.approx(errors.std(ddof=1))


def test_several_planes_are_put_together_slice_by_slice() -> None:
    scores, images = scored("grantjacob2021", {"01": 0.1})
    table = paper_table(scores, PROTOCOLS.get("grantjacob2021")).set_index("metric")
    assert list(table.index[-3:]) == ["nrmse of all planes", "psnr of all planes", "ssim of all planes"]
    levels = {name: np.rint(np.clip(image, 0, 1) * 255) / 255 for name, image in images.items()}
    values = []
    for axis in range(3):
        for k in range(SHAPE[axis]):
            true, made = (np.take(levels[name], k, axis=axis) for name in ("reference", "01"))
            values.append(np.sqrt(((made - true) ** 2).mean()) / np.ptp(true))
    row = table.loc["nrmse of all planes"]
    assert row["slices"] == sum(SHAPE)
    assert row["slices_mean"] == pytest.approx(np.mean(values), rel=1e-6)
    assert row["slices_sd"] == pytest.approx(np.std(values, ddof=1), rel=1e-6)
    assert row["mean"] == pytest.approx(np.mean(values), rel=1e-6)


def test_volumes_have_no_slices_and_the_page_says_what_the_sd_is_over() -> None:
    scores, _ = scored("recontrast", {"01": 0.0, "02": 0.1})
    table = paper_table(scores, PROTOCOLS.get("recontrast"))
    assert table["slices"].isna().all()
    text = in_markdown(table, PROTOCOLS.get("recontrast"))
    assert "Region head: mean ± SD over subjects." in text
    assert "all slices" not in text
    assert "Protocol recontrast" in text


def test_pooled_groups_equal_all_values_together(rng: np.random.Generator) -> None:
    groups = [rng.normal(i, 1 + i, n) for i, n in enumerate((3, 7, 5))]
    together = np.concatenate(groups)
    found = pooled([g.size for g in groups], [g.mean() for g in groups], [g.std() for g in groups])
    assert found == pytest.approx((together.mean(), together.std(ddof=1)))
    assert all(np.isnan(pooled([], [], [])))
