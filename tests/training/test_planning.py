"""The plan of a run: made, kept, edited, used again; and the default preset as a whole."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from tests.training.conftest import Stopped

from recontrast.config import read_toml
from recontrast.datasets.patches import SliceBatches
from recontrast.errors import ConfigError
from recontrast.io.nifti import read_volume
from recontrast.preparation.cohort import read_cohort
from recontrast.training import command, memory, pace
from recontrast.training.command import TrainSettings, train
from recontrast.training.learner import Learner
from recontrast.training.plan import preset_paths, read_plan
from recontrast.training.planning import gives_source_back, model_options
from recontrast.translation.description import read_description
from recontrast.translation.engines.choice import EngineSettings
from recontrast.translation.translator import load_translator

MakePrepared = Callable[..., Path]

TINY = ("model.options.width=4", "model.options.blocks=[1,1]", "loop.precision=fp32", "loop.accelerator=cpu",
        "data.context_voxels=[[1,1,1],[3,3,1]]")  # fmt: skip


@pytest.fixture
def settings(
    make_prepared: MakePrepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., TrainSettings]:
    monkeypatch.setattr(pace, "seconds_of_step", lambda *_: 10.0)
    monkeypatch.setattr(pace, "seconds_of_beginning", lambda *_: 0.0)
    monkeypatch.setattr(pace, "seconds_of_slices", lambda *_: 0.0)
    prepared = make_prepared({"01": "train", "02": "train", "04": "test"})

    def make(**changes: object) -> TrainSettings:
        given = {"run": tmp_path / "run", "set": TINY, "minutes": 3.0, **changes}
        return TrainSettings(prepared=prepared, source=("T1w", "FLAIR"), target="T2w", **given)  # type: ignore[arg-type]

    return make


def plan_of(given: TrainSettings) -> dict[str, Any]:
    """Plan of a training that is stopped before its first step."""
    with pytest.raises(Stopped):
        train(given)
    plan: dict[str, Any] = json.loads((given.run / "provenance.json").read_text())["plan"]
    return plan


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*no validation subject")
def test_the_default_plans_trains_and_translates(settings: Callable[..., TrainSettings]) -> None:
    given = settings()
    assert given.preset == "auto"
    summary = train(given)
    assert any("kept of what the network adds" in line for line in summary.done)
    text = (given.run / "plan.toml").read_text()
    assert "#   subjects: 2\n" in text
    assert "# What was decided, and why:" in text
    assert "loop.steps: a step took 10 s: 16 fit into 3 minutes" in text
    plan = read_plan(str(given.run / "plan.toml"), "cpu")
    assert read_toml(given.run / "config.toml")["plan"] == read_toml(given.run / "plan.toml")
    assert plan.loop.steps == 16
    about = read_description(given.run)
    assert about.channels == 2 * 5 + 3  # blurred twice, and the steepness of these
    assert set(about.source_levels) == {"T1w", "FLAIR"}
    case = read_cohort(given.prepared).split("test")[0]
    sources = {label: read_volume(case.images[label]) for label in about.sources}
    translator = load_translator(given.run, EngineSettings(engine="torch", precision="fp32"))
    made = translator.translate(sources)
    brighter = {label: volume.with_data(3 * volume.data) for label, volume in sources.items()}
    assert np.allclose(translator.translate(brighter).data, made.data, rtol=1e-3, atol=0.5)
    target = read_volume(case.images["T2w"]).data
    inside = target > 0
    assert np.corrcoef(made.data[inside], target[inside])[0, 1] > 0.9


@pytest.mark.slow
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
def test_what_was_set_is_kept_and_the_same_command_finds_the_same_plan(
    settings: Callable[..., TrainSettings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "launch", lambda _: (_ for _ in ()).throw(Stopped))
    need = {1: 0.0, 2: 1e15, 4: 1e15}  # of a batch: only one image at a time fits
    monkeypatch.setattr(memory, "training_memory", lambda plan, *_: SimpleNamespace(most=need[plan.data.batch]))
    given = settings(set=(*TINY, "data.batch=4", "loop.validate_every=5", "loop.patience=3", "loop.warmup_steps=4"))
    first = plan_of(given)
    assert [first["loop"][name] for name in ("steps", "validate_every", "patience", "warmup_steps")] == [16, 5, 3, 4]
    assert first["data"]["batch"] == 1
    assert plan_of(given) == first
    longer = dataclasses.replace(given, set=(*given.set, "loop.steps=20"))
    for _ in range(2):  # what is new counts however often it is said
        assert plan_of(longer) == {**first, "loop": {**first["loop"], "steps": 20}}
    assert plan_of(given) == first


@pytest.mark.filterwarnings("ignore:.*no validation subject")
def test_slices_that_are_bent_take_their_time(
    settings: Callable[..., TrainSettings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "launch", lambda _: (_ for _ in ()).throw(Stopped))
    monkeypatch.setattr(pace, "seconds_of_slices", lambda plan, *_: 10.0 * plan.data.augment.reshapes)
    bent = plan_of(settings())
    assert bent["data"]["augment"]["bend_mm"] > 0
    assert bent["loop"]["steps"] == 8
    plain = plan_of(settings(run=settings().run.with_name("plain"), set=(*TINY, "data.augment.reshape_share=0")))
    assert plain["loop"]["steps"] == 16


@pytest.mark.filterwarnings("ignore:.*no validation subject")
def test_the_default_plans_for_the_plane_that_was_set(
    settings: Callable[..., TrainSettings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "launch", lambda _: (_ for _ in ()).throw(Stopped))
    plan = plan_of(settings(set=(*TINY, "data.plane=coronal")))
    assert (plan["data"]["plane"], plan["data"]["held_out"]) == ("coronal", 0.0)
    said = (settings().run / "plan.toml").read_text()
    assert "#   data.plane: as it was set\n" in said
    assert "#   model.options.width: as it was set\n" in said  # TINY names it


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*no validation subject")
def test_any_preset_is_fitted_to_the_minutes(settings: Callable[..., TrainSettings], tiny: tuple[str, ...]) -> None:
    overrides = tuple(entry for entry in tiny if "minutes" not in entry)
    train(settings(preset="osman2022", set=overrides))
    plan = read_plan(str(settings().run / "plan.toml"), "cpu")
    assert (plan.model.name, plan.loop.steps, plan.loop.schedule) == ("unet", 16, "cosine")


@pytest.mark.filterwarnings("ignore:.*no validation subject")
def test_minutes_limit_what_has_steps_of_its_own(settings: Callable[..., TrainSettings], tiny: tuple[str, ...]) -> None:
    overrides = (*(entry for entry in tiny if "minutes" not in entry), "loop.steps=2")
    train(settings(preset="osman2022", set=overrides))
    plan = read_plan(str(settings().run / "plan.toml"), "cpu")
    assert (plan.loop.steps, plan.loop.minutes) == (2, 3.0)


@pytest.mark.filterwarnings("ignore:.*no validation subject")
def test_minutes_are_named_once_and_are_a_number(settings: Callable[..., TrainSettings]) -> None:
    with pytest.raises(ConfigError, match=r"--minutes 3 and --set loop\.minutes=5: give one"):
        train(settings(set=(*TINY, "loop.minutes=5")))
    for minutes in (float("nan"), float("inf"), -1.0):
        with pytest.raises(ConfigError, match="--minutes is"):
            train(settings(minutes=minutes))


@pytest.mark.filterwarnings("ignore:.*no validation subject")
@pytest.mark.parametrize(("contrasts", "least", "most"), [(("T1w", "T2w", "FLAIR"), 18, 23), (("T1w", "T2w"), 23, 26)])
def test_minutes_are_left_for_the_controls_of_every_set_of_sources_and_target(
    make_prepared: MakePrepared,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    contrasts: tuple[str, ...],
    least: int,
    most: int,
) -> None:
    monkeypatch.setattr(command, "launch", lambda _: (_ for _ in ()).throw(Stopped))
    monkeypatch.setattr(pace, "seconds_of_step", lambda *_: 1.0)
    monkeypatch.setattr(Learner, "begin", lambda *_: time.sleep(0.4))
    given = TrainSettings(prepared=make_prepared({"01": "train"}), run=tmp_path / "run", source=contrasts,
                          target=contrasts, set=TINY, minutes=0.5)  # fmt: skip
    assert least <= plan_of(given)["loop"]["steps"] <= most  # of 27 seconds nine fits take 3.6, or two 0.8


@pytest.mark.slow
def test_validation_subjects_say_what_is_kept(
    make_prepared: MakePrepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pace, "seconds_of_step", lambda *_: 20.0)
    monkeypatch.setattr(pace, "seconds_of_beginning", lambda *_: 0.0)
    given = TrainSettings(prepared=make_prepared(), run=tmp_path / "run", source=("T1w",), target="T2w",
                          set=TINY, minutes=3.0)  # fmt: skip
    summary = train(given)
    assert any("kept of what the network adds" in line for line in summary.done)
    plan = read_plan(str(given.run / "plan.toml"), "cpu")
    assert (plan.loop.steps, plan.loop.validate_every, plan.data.held_out) == (6, 2, 0.0)
    kept = json.loads((given.run / "provenance.json").read_text())["result"]["kept_share"]
    assert 0 <= kept <= 1
    assert read_description(given.run).model.options["share"] == load_translator(given.run).network.share == kept


@pytest.mark.slow
def test_what_has_no_control_keeps_no_share(
    make_prepared: MakePrepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pace, "seconds_of_step", lambda *_: 100.0)
    given = TrainSettings(prepared=make_prepared(), run=tmp_path / "run", source=("T1w",), target="T2w",
                          set=(*TINY, "model.options.start=none"), minutes=3.0)  # fmt: skip
    assert not any("kept of what the network adds" in line for line in train(given).done)
    assert "share" not in read_description(given.run).model.options


@pytest.mark.slow
def test_validation_slices_are_no_more_than_fit_into_memory(
    make_prepared: MakePrepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    plain = SliceBatches.as_they_are
    monkeypatch.setattr(SliceBatches, "as_they_are", lambda self, most: asked.append(most) or plain(self, most))
    monkeypatch.setattr(memory, "_VALUES_OF_A_CONTROL", 1)
    monkeypatch.setattr(pace, "seconds_of_step", lambda *_: 100.0)
    train(TrainSettings(prepared=make_prepared(), run=tmp_path / "run", source=("T1w",), target="T2w", set=TINY,
                        minutes=3.0))  # fmt: skip
    assert asked == [16, 16]


def test_channels_follow_from_sources_and_context() -> None:
    plan = read_plan("auto", "cpu", TINY)
    options = model_options(plan, 2)
    assert (options["in_channels"], options["contrasts"], options["slices"]) == (13, 2, 1)
    with pytest.raises(ConfigError, match="the sources and slices need 13; leave it out"):
        model_options(read_plan("auto", "cpu", (*TINY, "model.options.in_channels=1")), 2)


def test_one_recipe_needs_no_target() -> None:
    assert [name for name in preset_paths() if gives_source_back(read_plan(name, "cpu"))] == ["masked-reconstruction"]
