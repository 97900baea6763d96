"""The page says what there is, and what there is not."""

from __future__ import annotations

import pandas as pd
import pytest

from recontrast.preparation.cohort import read_cohort
from recontrast.study.compare import check_orderings
from recontrast.study.pages import Findings, _gains, _wide, claims_in_words, write_page
from recontrast.study.plan import plan_jobs
from recontrast.study.settings import read_study


def test_absent_evidence_is_printed_as_absent(make_study, make_prepared, tmp_path) -> None:  # type: ignore[no-untyped-def]
    study = read_study(make_study(), "cpu")
    jobs = plan_jobs(study, study.source(""), "cpu")
    orderings = check_orderings(study.orderings, [], ["T1w-T2w"])
    tables = [pd.DataFrame({"": ["T1w to T2w"], "PSNR, paper": ["30.0"], "PSNR, ours": ["—"]})]
    findings = Findings(
        study, study.source(""), read_cohort(make_prepared()), tmp_path, "cpu", jobs, pd.DataFrame({"job": ["x"]}), [],
        [], orderings, tables, {"train x": "the loss is nan"}, 0.5,
    )  # fmt: skip
    page = write_page(findings).read_text(encoding="utf-8")
    for said in ("Nothing was tested.", "No run has a log.", "the loss is nan", "8 steps for every run", "not tested"):
        assert said in page


def _claims(*verdicts: str) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "claim": f"claim {n}", "method": "", "metric": "psnr", "protocol": "recontrast", "verdict": verdict,
            "subjects": 4, "difference": 1.5, "ci_low": 1.0, "ci_high": 2.0, "margin": 0.0,
        }
        for n, verdict in enumerate(verdicts)
    )  # fmt: skip


def test_few_claims_are_said_one_by_one() -> None:
    said = claims_in_words(_claims("agrees", "disagrees", "undecided", "not tested"))
    assert [look for look, _ in said] == ["beats", "worse", "unknown"]
    assert said[0][1] == "claim 0: ours agrees, PSNR (dB) +1.5 [+1, +2]."


@pytest.mark.parametrize(
    ("metric", "protocol", "said"),
    [
        ("mae", "synthrad2023", "MAE (native units)"),
        ("ssim_axial+ssim_coronal", "grantjacob2021", "SSIM"),
        ("volumes.avd", "recontrast", "AVD (cm³)"),
        ("nosuch", "recontrast", "nosuch"),
    ],
)
def test_claims_are_said_with_the_unit_of_their_metric(metric: str, protocol: str, said: str) -> None:
    claims = _claims("agrees").assign(metric=metric, protocol=protocol)
    assert claims_in_words(claims)[0][1] == f"claim 0: ours agrees, {said} +1.5 [+1, +2]."


def test_an_interval_within_one_subject_says_so() -> None:
    within = _claims("agrees").assign(interval="WITHIN ONE SUBJECT: bootstrap over 8 slabs")
    assert claims_in_words(within)[0][1] == "claim 0: ours agrees, PSNR (dB) +1.5 [+1, +2] within one subject."


def test_scores_stand_with_unit_and_direction_of_their_protocol() -> None:
    shared = {"direction": "T1w-T2w", "method": "unit", "chosen": "", "region": "head", "metric": "mae"}
    plain = {**shared, "estimator": "synthetic", "mean": 31.2, "ci_low": 25.0, "ci_high": 37.0}
    assert "MAE (native units) ↓" in _wide(pd.DataFrame([plain]), "synthrad2023")
    compared = {
        **shared, "control": "identity", "difference": -2.0, "difference_ci_low": -3.0, "difference_ci_high": -1.0,
        "better": "synthetic",
    }  # fmt: skip
    assert _gains(pd.DataFrame([compared]), "recontrast")["metric"].tolist() == ["MAE (scaled intensity) ↓"]


def test_many_claims_are_said_outcome_by_outcome() -> None:
    said = dict(claims_in_words(_claims(*["agrees"] * 2, *["undecided"] * 7, "not tested")))
    assert said == {
        "beats": "2 of 9 claims, ours agrees: claim 0, PSNR (dB); claim 1, PSNR (dB).",
        "unknown": "7 of 9 claims, ours undecided, see the table of orderings.",
    }
