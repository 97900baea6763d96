"""A training that fails is listed, and the others go on."""

from __future__ import annotations

from pathlib import Path

import pytest

from recontrast.errors import TrainingError
from recontrast.study import run
from recontrast.study.plan import plan_jobs
from recontrast.study.settings import read_study


def test_a_failed_job_does_not_stop_the_others(
    make_study,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,  # type: ignore[no-untyped-def]
) -> None:
    study = read_study(make_study(), "cpu")
    jobs = plan_jobs(study, study.source(""), "cpu")
    begun = jobs[1].run(tmp_path / "out") / "checkpoints" / "last"
    begun.mkdir(parents=True)
    (begun / "state.json").write_text("{}")
    seen = []

    def train(settings):  # type: ignore[no-untyped-def]
        seen.append(settings)
        if "mse" in settings.run.name:
            raise TrainingError("the loss is nan after step 3")

    monkeypatch.setattr(run, "train", train)
    trained = run.run_jobs(jobs, tmp_path / "prepared", tmp_path / "out", "cpu")
    assert [settings.run.name for settings in seen] == ["osman2022_loss-mse", "osman2022_loss-l1"]
    assert [settings.resume for settings in seen] == [False, True]  # nothing is said of resuming where nothing lies
    assert list(trained.failed) == ["T1w-T2w/osman2022_loss-mse"]
    assert "nan after step 3" in trained.failed["T1w-T2w/osman2022_loss-mse"]
    assert trained.table["status"].tolist() == ["failed", "ok"]
    assert (tmp_path / "out" / run.TABLE).is_file()
