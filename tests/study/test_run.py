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


CHAIN = "".join(
    f'[[methods]]\npreset = "osman2022"\nname = "{name}"\n{start}'
    for name, start in (("two", 'start = "one"\n'), ("three", 'start = "two"\n'))
)
STAGES = (
    'preset = "osman2022"\ngrid = { "recipe.options.loss" = ["mse", "l1"] }',
    f'preset = "osman2022"\nname = "one"\n{CHAIN}',
)


def test_what_starts_from_a_failed_job_is_not_trained(
    make_study,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,  # type: ignore[no-untyped-def]
) -> None:
    study = read_study(make_study(STAGES), "cpu")
    jobs = plan_jobs(study, study.source(""), "cpu")
    seen, broken = [], ["one"]

    def train(settings):  # type: ignore[no-untyped-def]
        seen.append((settings.run.name, [entry for entry in settings.set if entry.startswith("recipe.options.start")]))
        folder = settings.run / "checkpoints" / "last"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "weights").write_text(settings.run.name)
        (folder / "state.json").write_text('{"tensors": "weights"}')
        if settings.run.name in broken:
            raise TrainingError("the loss is nan after step 3")

    monkeypatch.setattr(run, "train", train)
    out = tmp_path / "out"
    trained = run.run_jobs(jobs, tmp_path / "prepared", out, "cpu")
    assert [name for name, _ in seen] == ["one"]  # it left a checkpoint, but it is not finished
    assert trained.failed == {
        "T1w-T2w/one": "the loss is nan after step 3",
        "T1w-T2w/two": "one, which it starts from, failed: the loss is nan after step 3",
        "T1w-T2w/three": "two, which it starts from, failed: one, which it starts from, failed: the loss is nan after "
        "step 3",
    }
    assert trained.table["status"].tolist() == ["failed"] * 3
    broken[:] = ["two"]
    assert list(run.run_jobs(jobs, tmp_path / "prepared", out, "cpu").failed) == ["T1w-T2w/two", "T1w-T2w/three"]
    broken.clear()
    seen.clear()
    assert not run.run_jobs(jobs, tmp_path / "prepared", out, "cpu").failed
    runs = (out / "runs" / "T1w-T2w").resolve()
    assert seen == [
        ("one", []),
        ("two", [f'recipe.options.start="{runs / "one"}"']),
        ("three", [f'recipe.options.start="{runs / "two"}"']),
    ]


PIXELWISE = """
[[methods]]
preset = "hagiwara2019"
name = "one"
target = "FLAIR"
judged = false
[[methods]]
preset = "hagiwara2019"
name = "two"
start = "one"
"""
TINY = (
    '"model.options.width=4", "model.options.depth=2", "model.options.dropout=[0.1]", "data.batch=4",',
    '"model.options.width=4", "data.batch=4", "data.size=[16, 16]", "loop.ema=0.0", "loop.minutes=0",',
)


@pytest.mark.slow
def test_two_stages_of_two_seeds_are_finished_wherever_the_study_is_called_from(
    make_study,
    make_prepared,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,  # type: ignore[no-untyped-def]
) -> None:
    path = make_study(
        TINY,
        ('citation = "Nobody 2026"', "seeds = [0, 1]"),
        (f"[[methods]]\n{STAGES[0]}\n", PIXELWISE.lstrip()),
        ("snapshots = [0.5, 1.0]\n", ""),
    )
    study = read_study(path, "cpu")
    jobs = plan_jobs(study, study.source(""), "cpu")
    prepared = make_prepared()
    monkeypatch.chdir(tmp_path)
    assert run.run_jobs(jobs, prepared, Path("out"), "cpu").failed == {}
    logs = {path: path.read_bytes() for path in Path("out").glob("runs/**/log.jsonl")}
    assert len(logs) == 4
    monkeypatch.chdir("/")
    assert run.run_jobs(jobs, prepared, tmp_path / "out", "cpu").failed == {}
    assert {path: (tmp_path / path).read_bytes() for path in logs} == logs
    moved = tmp_path / "another disk" / "out"
    moved.parent.mkdir()
    (tmp_path / "out").rename(moved)
    assert run.run_jobs(jobs, prepared, moved, "cpu").failed == {}
    assert {path: (moved.parent / path).read_bytes() for path in logs} == logs
