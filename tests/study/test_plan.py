"""Jobs are all combinations once, under one budget; two that are the same are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from recontrast.errors import ConfigError
from recontrast.study.plan import Candidate, candidates_of, groups_of, plan_jobs
from recontrast.study.settings import read_study


def jobs_of(path: Path, scale: str = "cpu", overrides: tuple[str, ...] = ()):  # type: ignore[no-untyped-def]
    study = read_study(path, scale)
    return plan_jobs(study, study.source(""), scale, overrides)


def test_tagawas_sweep_has_its_120_candidates() -> None:
    study = read_study("tagawa2025", "paper")
    jobs = plan_jobs(study, study.source(""), "paper")
    assert len(jobs) == 30
    assert len(candidates_of(jobs)) == 120
    assert len(groups_of(candidates_of(jobs))) == 1
    options = [job.plan.recipe.options for job in jobs]
    assert len({(o["reconstruction_weight"], o["perceptual_weight"]) for o in options}) == 30


def test_osmans_six_directions() -> None:
    study = read_study("osman2022", "cpu")
    jobs = plan_jobs(study, study.source(""), "cpu")
    assert {job.direction.label for job in jobs} == {
        "T1w-T2w", "T2w-T1w", "T1w-FLAIR", "FLAIR-T1w", "T2w-FLAIR", "FLAIR-T2w",
    }  # fmt: skip


def test_every_method_has_the_same_budget() -> None:
    study = read_study("grantjacob2021", "cpu")
    jobs = plan_jobs(study, study.source(""), "cpu")
    loops = {(job.plan.loop.steps, job.plan.loop.epochs, job.plan.loop.minutes) for job in jobs}
    assert loops == {(study.budget.steps, 0, 0.0)}
    assert all(job.adversarial for job in jobs)


def test_seeds_and_command_line(make_study) -> None:  # type: ignore[no-untyped-def]
    path = make_study(('citation = "Nobody 2026"', "seeds = [1, 2]"))
    jobs = jobs_of(path, overrides=("loop.learning_rate=0.5",))
    assert [job.name for job in jobs][:2] == ["osman2022_loss-mse_seed-1", "osman2022_loss-mse_seed-2"]
    assert [job.plan.loop.seed for job in jobs] == [1, 2, 1, 2]
    assert {job.plan.loop.learning_rate for job in jobs} == {0.5}


def test_duplicate_candidates_are_refused(make_study) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ConfigError, match=r"osman2022_loss-mse and .* are the same"):
        jobs_of(make_study(('["mse", "l1"]', '["mse", "mse"]')))
    same = ("[budget]\nsteps", '[[methods]]\npreset = "osman2022"\nname = "copy"\n[budget]\nsteps')
    with pytest.raises(ConfigError, match="are the same"):
        jobs_of(make_study(same, ('grid = { "recipe.options.loss" = ["mse", "l1"] }', "")))
    with pytest.raises(ConfigError, match="stands there twice"):
        jobs_of(make_study(("snapshots = [0.5, 1.0]", "snapshots = [0.5, 0.5]")))


def test_snapshots_at_stated_fractions(make_study, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    job = jobs_of(make_study(("snapshots = [0.5, 1.0]", "snapshots = [0.25, 1.0]")))[0]
    assert job.plan.loop.snapshots == 4
    assert job.snapshots == ((0.25, 1), (1.0, 4))
    first, last = Candidate(job, *job.snapshots[0]), Candidate(job, *job.snapshots[1])
    assert first.name == "osman2022_loss-mse@0.25"
    assert first.translator(tmp_path) is None
    for step in (2, 4, 6, 8):
        folder = job.run(tmp_path) / "snapshots" / f"step-{step:08d}"
        folder.mkdir(parents=True)
        (folder / "translator.json").write_text("{}")
    assert first.translator(tmp_path).name == "step-00000002"  # type: ignore[union-attr]
    assert last.translator(tmp_path).name == "step-00000008"  # type: ignore[union-attr]
    for bad in ("[1.5]", "[0.0]"):
        with pytest.raises(ConfigError, match="fraction"):
            jobs_of(make_study(("snapshots = [0.5, 1.0]", f"snapshots = {bad}")))


def test_a_budget_of_minutes_alone_has_no_snapshots(make_study) -> None:  # type: ignore[no-untyped-def]
    path = make_study(("steps = 8", "minutes = 1.0"), ("loop.warmup_steps=0", "loop.schedule=constant"))
    with pytest.raises(ConfigError, match="snapshots"):
        jobs_of(path)


def test_a_second_stage_starts_from_the_first(make_study) -> None:  # type: ignore[no-untyped-def]
    first = 'preset = "osman2022"\nname = "first"\ntarget = "FLAIR"\njudged = false\n'
    second = '[[methods]]\npreset = "osman2022"\nname = "second"\nstart = "first"'
    stages = ('preset = "osman2022"\ngrid = { "recipe.options.loss" = ["mse", "l1"] }', first + second)
    jobs = jobs_of(make_study(stages))
    assert [(job.name, job.direction.target, job.start) for job in jobs] == [
        ("first", "FLAIR", ""), ("second", "T2w", "first"),
    ]  # fmt: skip
    assert {candidate.job.name for candidate in candidates_of(jobs)} == {"second"}


GRID = 'grid = { "recipe.options.loss" = ["mse", "l1"] }'


def stages(first: str = "", second: str = "") -> tuple[str, str]:
    """Two stages in place of the study's method, with these lines of their own."""
    one = f'preset = "osman2022"\nname = "first"\ntarget = "FLAIR"\njudged = false\n{first}\n'
    two = f'[[methods]]\npreset = "osman2022"\nname = "second"\nstart = "first"\n{second}'
    return f'preset = "osman2022"\n{GRID}', one + two


def test_a_second_stage_starts_from_the_job_of_its_seed_and_grid(make_study) -> None:  # type: ignore[no-untyped-def]
    seeds = ('citation = "Nobody 2026"', "seeds = [0, 1]")
    found = {job.name: job.start for job in jobs_of(make_study(seeds, stages(GRID, GRID)))}
    assert found == {
        **{f"first_loss-{loss}_seed-{seed}": "" for loss in ("mse", "l1") for seed in (0, 1)},
        **{
            f"second_loss-{loss}_seed-{seed}": f"first_loss-{loss}_seed-{seed}"
            for loss in ("mse", "l1")
            for seed in (0, 1)
        },
    }
    found = {job.name: job.start for job in jobs_of(make_study(stages("", GRID)))}
    assert found == {"first": "", "second_loss-mse": "first", "second_loss-l1": "first"}


def test_a_second_stage_of_several_or_of_no_first_ones_is_refused(make_study) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ConfigError, match=r"for second there are 2 trainings of it \(first_loss-mse, first_loss-l1\)"):
        jobs_of(make_study(stages(GRID)))
    with pytest.raises(ConfigError, match="for second_loss-l1 there are 0 trainings of it"):
        jobs_of(make_study(stages(GRID.replace(', "l1"', ""), GRID)))
