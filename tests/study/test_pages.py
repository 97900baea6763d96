"""The page says what there is, and what there is not."""

from __future__ import annotations

import pandas as pd

from recontrast.preparation.cohort import read_cohort
from recontrast.study.compare import check_orderings
from recontrast.study.pages import Findings, write_page
from recontrast.study.plan import plan_jobs
from recontrast.study.settings import read_study


def test_absent_evidence_is_printed_as_absent(make_study, make_prepared, tmp_path) -> None:  # type: ignore[no-untyped-def]
    study = read_study(make_study(), "cpu")
    jobs = plan_jobs(study, study.source(""), "cpu")
    orderings = check_orderings(study.orderings, [])
    tables = [pd.DataFrame({"": ["T1w to T2w"], "PSNR, paper": ["30.0"], "PSNR, ours": ["—"]})]
    findings = Findings(
        study, study.source(""), read_cohort(make_prepared()), tmp_path, "cpu", jobs, pd.DataFrame({"job": ["x"]}), [],
        [], orderings, tables, {"train x": "the loss is nan"}, 0.5,
    )  # fmt: skip
    page = write_page(findings).read_text(encoding="utf-8")
    for said in ("Nothing was tested.", "No run has a log.", "the loss is nan", "8 steps for every run", "not tested"):
        assert said in page
