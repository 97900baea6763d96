"""The preset that configures itself: what it decides, that it is kept, edited and used again."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from recontrast.config import read_toml
from recontrast.errors import ConfigError
from recontrast.io.nifti import read_volume
from recontrast.preparation.cohort import read_cohort
from recontrast.training import automatic, pace
from recontrast.training.automatic import decide, fit_memory, fit_steps, slice_size
from recontrast.training.command import TrainSettings, train
from recontrast.training.fingerprint import Fingerprint, available_memory_gb, take_fingerprint
from recontrast.training.plan import Plan, read_plan
from recontrast.translation.description import read_description
from recontrast.translation.translator import load_translator

MakePrepared = Callable[..., Path]

HEADS = Fingerprint(
    subjects=2, cases=2, validation_subjects=0, sources=1, spacing_mm=(1.0, 1.0, 1.0), head=(140, 176, 140),
    voxels=1_200_000, cores=2, memory_gb=16.0, accelerator="cpu", minutes=3.0,
)  # fmt: skip


def plan_for(about: Fingerprint) -> Plan:
    return read_plan("auto", "cpu", (), decide(about).values)


@pytest.mark.parametrize(
    ("spacing", "plane"),
    [((1, 1, 1), "axial"), ((0.7, 0.7, 4.0), "axial"), ((4.0, 0.7, 0.7), "sagittal"), ((1, 3.0, 1), "coronal")],
)
def test_thick_slices_are_taken_as_they_were_acquired(spacing: tuple[float, float, float], plane: str) -> None:
    plan = plan_for(dataclasses.replace(HEADS, spacing_mm=spacing))
    assert plan.data.plane == plane
    assert plan.data.context_voxels[0] == pytest.approx([1 / mm for mm in spacing], abs=1e-3)
    assert plan.data.held_out == (0.06 if plane == "axial" else 0)


def test_more_time_and_cores_give_a_wider_network() -> None:
    widths = [
        plan_for(dataclasses.replace(HEADS, minutes=minutes, cores=cores, accelerator=kind)).model.options["width"]
        for minutes, cores, kind in ((2, 2, "cpu"), (30, 2, "cpu"), (30, 16, "cpu"), (10, 2, "cuda"))
    ]
    assert widths == sorted(widths)
    assert widths[0] < widths[1] < widths[2]


def test_nothing_is_held_out_with_validation_subjects_and_many_sources_have_no_table() -> None:
    assert plan_for(dataclasses.replace(HEADS, validation_subjects=3)).data.held_out == 0
    assert plan_for(dataclasses.replace(HEADS, sources=3)).model.options["start"] == "context"
    assert plan_for(dataclasses.replace(HEADS, sources=4)).model.options["start"] == "none"


def test_the_batch_gives_way_to_memory_and_then_there_is_a_line() -> None:
    plan = plan_for(dataclasses.replace(HEADS, accelerator="cuda"))
    assert plan.data.batch > 8
    smaller, reason = fit_memory(plan, dataclasses.replace(HEADS, memory_gb=1.5))
    assert 1 <= smaller.data.batch < plan.data.batch
    assert "GB" in reason
    assert fit_memory(smaller, HEADS) == (smaller, "")
    with pytest.raises(ConfigError, match=r"140|takes .* GB, there are 0\.3 GB"):
        fit_memory(plan, dataclasses.replace(HEADS, memory_gb=0.3))


def test_steps_fit_into_the_time() -> None:
    plan, reason = fit_steps(plan_for(HEADS), 3.0, False, lambda _: 0.5)
    assert plan.loop.steps == 324
    assert (plan.loop.minutes, plan.loop.validate_every, plan.loop.epochs) == (3.0, 81, 0)
    assert "0.5 s" in reason
    with_validation, _ = fit_steps(plan, 3.0, True, lambda _: 0.5)
    assert with_validation.loop.steps < plan.loop.steps
    few, reason = fit_steps(plan, 3.0, False, lambda _: 60.0)
    assert few.loop.steps == 2
    assert "too few to learn much" in reason
    with pytest.raises(ConfigError, match="give it some"):
        decide(dataclasses.replace(HEADS, minutes=0.0))


def test_slices_have_the_size_the_batches_will_have() -> None:
    assert slice_size(plan_for(HEADS).data, HEADS) == (160, 192)


def test_the_fingerprint_of_a_prepared_folder(make_prepared: MakePrepared) -> None:
    cohort = read_cohort(make_prepared(shapes={"02": (24, 20, 12)}))
    about = take_fingerprint(cohort.split("train"), cohort.split("validation"), ("T1w",), 3.0)
    assert (about.subjects, about.validation_subjects, about.sources, about.minutes) == (2, 1, 1, 3.0)
    masks = [read_volume(case.regions["head"], np.uint8).reoriented("RAS") for case in cohort.split("train")]
    extents = [np.ptp(np.argwhere(mask.data), axis=0) + 1 for mask in masks]
    assert about.head == tuple(np.max(extents, axis=0))
    assert about.spacing_mm == pytest.approx(masks[0].spacing, abs=1e-3)


def test_memory_is_what_is_free_or_allowed(tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_text("MemTotal: 9000000 kB\nMemAvailable:    4000000 kB\n")
    (tmp_path / "group").write_text("2000000000\n")
    assert available_memory_gb(tmp_path / "meminfo", tmp_path / "none") == pytest.approx(4.096)
    assert available_memory_gb(tmp_path / "meminfo", tmp_path / "group") == pytest.approx(2.0)


TINY = ("model.options.width=4", "model.options.blocks=[1,1]", "loop.precision=fp32", "loop.accelerator=cpu",
        "data.context_voxels=[[1,1,1],[3,3,1]]")  # fmt: skip


@pytest.fixture
def settings(
    make_prepared: MakePrepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., TrainSettings]:
    monkeypatch.setattr(pace, "seconds_of_step", lambda *_: 10.0)
    prepared = make_prepared({"01": "train", "02": "train", "04": "test"})

    def make(**changes: object) -> TrainSettings:
        given = {"run": tmp_path / "run", "set": TINY, "minutes": 3.0, **changes}
        return TrainSettings(prepared=prepared, source=("T1w", "FLAIR"), target="T2w", **given)  # type: ignore[arg-type]

    return make


@pytest.mark.filterwarnings("ignore:.*no validation subject")
def test_the_default_plans_trains_and_translates(settings: Callable[..., TrainSettings]) -> None:
    given = settings()
    assert given.preset == "auto"
    summary = train(given)
    assert any("kept of what the network adds" in line for line in summary.done)
    text = (given.run / "plan.toml").read_text()
    assert "training subjects" not in text or "subjects: 2" in text
    assert "# What was decided, and why:" in text
    assert "loop.steps: a step took 10 s: 16 fit into 3 minutes" in text
    plan = read_plan(str(given.run / "plan.toml"), "cpu")
    assert read_toml(given.run / "config.toml")["plan"] == read_toml(given.run / "plan.toml")
    assert plan.loop.steps == 16
    about = read_description(given.run)
    assert about.channels == 2 * 3 + 3
    assert set(about.source_levels) == {"T1w", "FLAIR"}
    case = read_cohort(given.prepared).split("test")[0]
    sources = {label: read_volume(case.images[label]) for label in about.sources}
    translator = load_translator(given.run)
    made = translator.translate(sources)
    brighter = {label: volume.with_data(3 * volume.data) for label, volume in sources.items()}
    assert np.allclose(translator.translate(brighter).data, made.data, rtol=1e-3, atol=0.5)
    target = read_volume(case.images["T2w"]).data
    inside = target > 0
    assert np.corrcoef(made.data[inside], target[inside])[0, 1] > 0.9


@pytest.mark.filterwarnings("ignore:.*no validation subject")
def test_a_kept_plan_is_used_again_and_can_be_edited(
    settings: Callable[..., TrainSettings], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = settings()
    train(given)
    monkeypatch.setattr(pace, "seconds_of_step", lambda *_: 1.0)
    assert train(given).done[0].endswith("nothing was done")
    with pytest.raises(ConfigError, match="is a plan for 3 minutes, not 5"):
        train(dataclasses.replace(given, minutes=5.0))
    with pytest.raises(ConfigError, match="is the plan of preset auto, not osman2022"):
        train(dataclasses.replace(given, preset="osman2022"))
    edited = given.run.with_name("plan.toml")
    edited.write_text((given.run / "plan.toml").read_text().replace("steps = 16", "steps = 3"))
    again = dataclasses.replace(given, run=given.run.with_name("again"), preset=str(edited), minutes=0.0, set=())
    train(again)
    assert read_description(again.run).trained_steps == 3
    assert not (again.run / "plan.toml").exists()


@pytest.mark.filterwarnings("ignore:.*no validation subject")
def test_any_preset_is_fitted_to_the_minutes(settings: Callable[..., TrainSettings], tiny: tuple[str, ...]) -> None:
    overrides = tuple(entry for entry in tiny if "minutes" not in entry)
    train(settings(preset="osman2022", set=overrides))
    plan = read_plan(str(settings().run / "plan.toml"), "cpu")
    assert (plan.model.name, plan.loop.steps, plan.loop.schedule) == ("unet", 16, "cosine")


def test_the_pace_of_a_step_is_measured() -> None:
    plan = read_plan("auto", "cpu", TINY)
    options = {
        **plan.model.options,
        "in_channels": 9,
        "out_channels": 1,
        "spatial_dims": 2,
        "contrasts": 2,
        "slices": 1,
    }
    assert 0 < pace.seconds_of_step(plan, options, (32, 32)) < 60
    assert automatic.AUTO == "auto"


def test_validation_subjects_say_what_is_kept(
    make_prepared: MakePrepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pace, "seconds_of_step", lambda *_: 20.0)
    given = TrainSettings(prepared=make_prepared(), run=tmp_path / "run", source=("T1w",), target="T2w",
                          set=TINY, minutes=3.0)  # fmt: skip
    summary = train(given)
    assert any("kept of what the network adds" in line for line in summary.done)
    plan = read_plan(str(given.run / "plan.toml"), "cpu")
    assert (plan.loop.steps, plan.loop.validate_every, plan.data.held_out) == (6, 2, 0.0)
    kept = json.loads((given.run / "provenance.json").read_text())["result"]["kept_share"]
    assert 0 <= kept <= 1
