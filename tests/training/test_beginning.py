"""A training begins with the weights of another one, and says when they do not fit."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from recontrast.datasets.settings import DataSettings
from recontrast.errors import CheckpointError, ConfigError, RecontrastWarning
from recontrast.preparation.bank import Bank
from recontrast.training.beginning import Beginning, read_beginning
from recontrast.training.command import TrainSettings, train
from recontrast.translation.command import TranslateSettings, translate
from recontrast.translation.description import (
    OPEN_SCALE,
    Member,
    TranslatorDescription,
    read_description,
    subject_hash,
)
from recontrast.translation.translator import load_translator

MakePrepared = Callable[..., Path]
SMALL = (
    "model.options.width=4", "model.options.blocks=[1, 1]", "data.context_voxels=[[1, 1, 1]]", "data.batch=2",
    "loop.error_bars=false", "loop.checkpoint_minutes=100",
)  # fmt: skip


@pytest.fixture
def first(make_prepared: MakePrepared, tmp_path: Path) -> Path:
    run = tmp_path / "first"
    train(auto(make_prepared(), run, "loop.steps=3", *SMALL))
    return run


def auto(prepared: Path, run: Path, *overrides: str, **others: object) -> TrainSettings:
    values = {"source": ("T1w",), "target": "T2w", "set": overrides, **others}
    return TrainSettings(prepared=prepared, run=run, **values)  # type: ignore[arg-type]


def weights(run: Path) -> dict[str, torch.Tensor]:
    return dict(load_translator(run).network.state_dict())


@pytest.mark.slow
def test_network_is_taken_over_and_its_controls_are_fitted_anew(
    first: Path, make_prepared: MakePrepared, tmp_path: Path
) -> None:
    others = make_prepared({"05": "train", "06": "validation", "01": "test"}, name="others")
    run = tmp_path / "second"
    # One that is held out bears the name of one that the first network learned from.
    # The learning rate is next to nothing: what the network has is what it began with. Its size is not said again.
    nothing = ("loop.learning_rate=1e-9", "loop.weight_decay=0", "loop.steps=1", *SMALL[2:])
    with pytest.warns(RecontrastWarning, match="sub-01 are held out, and"):
        train(auto(others, run, *nothing, start_from=first))
    before, after = weights(first), weights(run)
    assert before.keys() == after.keys()
    fitted = {name for name in before if name.split(".")[0] in ("expected", "surroundings")}
    for name in before.keys() - fitted:
        assert torch.allclose(before[name], after[name], atol=1e-6), name
    for name in ("expected.table", "surroundings.mean"):  # no step of training changes these
        assert not torch.equal(before[name], after[name]), name
    about = read_description(run)
    assert about.training_subjects == tuple(sorted(subject_hash(s) for s in ("01", "02", "05")))
    assert set(read_description(first).training_images) < set(about.training_images)
    assert about.source_levels == read_description(first).source_levels
    assert "nothing was done" in train(auto(others, run, *nothing, start_from=first)).done[0]  # the same once more
    # The weights count, not how their folder is written; none at all are others.
    assert "nothing was done" in train(auto(others, run, *nothing, start_from=first / "translator")).done[0]
    with pytest.raises(ConfigError, match=r"begins with .*first, not with random weights"):
        train(auto(others, run, *nothing))
    record = json.loads((run / "provenance.json").read_text())
    assert record["start_from"] == read_description(first).weights_sha256


@pytest.mark.slow
def test_a_network_that_gave_its_source_back_is_taken_over_but_for_its_last_layer(
    make_prepared: MakePrepared, tmp_path: Path
) -> None:
    hidden = tmp_path / "hidden"
    unpaired = make_prepared({"01": "train", "02": "train", "03": "validation"}, (("01", "T2w"),), name="unpaired")
    summary = train(auto(unpaired, hidden, "loop.steps=3", *SMALL, preset="masked-reconstruction", target=""))
    assert summary.done[0].startswith("T1w -> T1w: 3 steps done")
    about = read_description(hidden)
    assert about.reconstructs
    assert about.training_subjects == tuple(sorted(subject_hash(s) for s in ("01", "02")))
    for use in (
        load_translator,
        lambda run: translate(TranslateSettings(run=run, input=unpaired, out=tmp_path / "no")),
    ):
        with pytest.raises(ConfigError, match="gives back T1w, of which parts were hidden"):
            use(hidden)
    before = read_beginning(hidden).weights()
    assert before["head.weight"].abs().max() > 0, "three steps have changed it"
    run = tmp_path / "second"
    nothing = ("loop.learning_rate=1e-9", "loop.weight_decay=0", "loop.steps=1", *SMALL[2:])
    train(auto(make_prepared({"05": "train", "06": "validation"}), run, *nothing, start_from=hidden))
    after = weights(run)
    assert after["head.weight"].abs().max() < 1e-6, "the new network begins at its control"
    anew = ("expected", "surroundings", "head")
    for name in [name for name in before if name.split(".")[0] not in anew]:
        assert torch.allclose(before[name], after[name], atol=1e-6), name


def test_weights_that_do_not_fit_are_refused(first: Path, make_prepared: MakePrepared, tmp_path: Path) -> None:
    prepared, run = make_prepared(name="others"), tmp_path / "second"
    begin = {"start_from": first}
    for settings, said in (
        (auto(prepared, run, preset="osman2022", **begin), "holds a residual_encoder, this preset trains a"),
        (auto(prepared, run, *SMALL, source=("T1w", "FLAIR"), **begin), "reads T1w, this training T1w FLAIR"),
        (
            auto(prepared, run, *SMALL, "model.options.width=8", **begin),
            r"is \(4, 4, 3, 3\) there, \(8, 8, 3, 3\) here",
        ),
        (auto(prepared, run, *SMALL, "data.neighbours=1", **begin), "data.neighbours was 0, is 1 here"),
        (auto(prepared, run, *SMALL, "data.level_sources=false", **begin), "level_sources was True, is False here"),
    ):
        with pytest.raises(ConfigError, match=said):
            train(settings)
    with pytest.raises(CheckpointError, match="no such folder"):
        train(auto(prepared, run, start_from=tmp_path / "absent"))
    assert not run.exists()


def test_contrasts_keep_their_places(tmp_path: Path) -> None:
    about = TranslatorDescription(
        preset="auto", sources=("T1w", "FLAIR"), target="T2w", model=Member(name="unet"),
        recipe=Member(name="supervised"), target_scale=OPEN_SCALE, spacing_mm=(1, 1, 1), source_levels={"T1w": 0.7},
        training_subjects=(subject_hash("01"),),
    )  # fmt: skip
    beginning = Beginning(tmp_path, about)
    leveled = DataSettings(level_sources=True)
    beginning.check(("T2w", "PDw"), ("FLAIR",), leveled)  # other names
    with pytest.raises(ConfigError, match="reads the same contrasts in the same order"):
        beginning.check(("FLAIR", "T1w"), ("T2w",), leveled)
    with pytest.raises(ConfigError, match="makes T2w, this training T2w PDw"):
        beginning.check(("T1w", "FLAIR"), ("T2w", "PDw"), leveled)
    with pytest.warns(RecontrastWarning, match="another plane than these"):
        beginning.warn_of_differences(about.scale_settings, None, "sagittal")


def test_levels_and_acquisitions_are_those_that_the_network_learned() -> None:
    usual = {"T1w": {"FlipAngle": (2.0, 0.5)}}
    about = TranslatorDescription(
        preset="any-to-any", sources=("T1w", "T2w"), target="", model=Member(name="film_unet"),
        recipe=Member(name="supervised"), target_scale=OPEN_SCALE, spacing_mm=(1, 1, 1), source_levels={"T2w": 0.3},
        acquisition=usual, bank=Bank(sources=("T1w", "T2w"), targets={"FLAIR": OPEN_SCALE}),
    )  # fmt: skip
    beginning = Beginning(Path("first"), about)
    learned = beginning.as_learned(("PDw", "T2w"), {"PDw": 0.5, "T2w": 0.6}, {"T2w": {"EchoTime": (1.0, 1.0)}})
    assert learned == ({"T2w": 0.3}, {"PDw": usual["T1w"], "T2w": {}})
    assert beginning.as_learned(("T1w", "T2w"), {}, None) == ({}, None)
    told = DataSettings(acquisition=True, level_sources=True)
    beginning.check(("T1w", "T2w"), ("FLAIR",), told)
    with pytest.raises(ConfigError, match=r"data.acquisition was True, is False here"):
        beginning.check(("T1w", "T2w"), ("FLAIR",), DataSettings(level_sources=True))


def test_who_the_run_learned_from_that_a_recipe_starts_from_is_not_forgotten(
    make_prepared: MakePrepared, tmp_path: Path
) -> None:
    def learn(prepared: Path, name: str, *overrides: str) -> Path:
        small = (
            "model.options.width=4", "recipe.options.discriminator=none", "recipe.options.first_steps=2",
            "loop.steps=2", "loop.accelerator=cpu", "data.size=[32,32]",
        )  # fmt: skip
        train(auto(prepared, tmp_path / name, *small, *overrides, preset="hagiwara2019"))
        return tmp_path / name

    one = learn(make_prepared({"01": "train", "02": "train", "03": "validation"}, name="others"), "one")
    prepared = make_prepared({"04": "train", "05": "validation", "01": "test"})
    two = learn(prepared, "two", f'recipe.options.start="{one}"')
    about = read_description(two)
    assert about.training_subjects == tuple(sorted(subject_hash(s) for s in ("01", "02", "04")))
    assert about.validation_subjects == tuple(sorted(subject_hash(s) for s in ("03", "05")))
    assert set(read_description(one).training_images) < set(about.training_images)
    shutil.rmtree(one / "translator")
    with pytest.warns(RecontrastWarning, match="nobody knows which subjects it learned from"):  # of an older version
        learn(prepared, "two", f'recipe.options.start="{one}"')
    with pytest.raises(ConfigError, match=r"must name a run that has ended.*--resume") as error:
        learn(prepared, "three", f'recipe.options.start="{one}"')
    assert "\n" not in str(error.value)
    assert not (tmp_path / "three").exists()
