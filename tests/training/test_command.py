"""The command: what it asks for, what it refuses, what it leaves behind."""

from __future__ import annotations

import dataclasses
import json
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.training.conftest import MakePrepared, MakeSettings

from recontrast.config import read_toml
from recontrast.errors import (
    ConfigError,
    LayoutError,
    MissingContrastError,
    OutputError,
    RecontrastWarning,
    UnknownNameError,
)
from recontrast.io.nifti import read_volume
from recontrast.preparation.cohort import read_cohort
from recontrast.training import command
from recontrast.training.command import TrainSettings, train
from recontrast.training.log import read_log
from recontrast.training.validation import Validator
from recontrast.translation.description import read_description, subject_hash
from recontrast.translation.translator import load_translator


@pytest.mark.slow
def test_a_run_holds_a_translator_that_works(make_prepared: MakePrepared, settings: MakeSettings) -> None:
    prepared = make_prepared()
    given = settings(prepared)
    summary = train(given)
    assert not summary.failed
    assert summary.done[-1].endswith("translator")
    assert any(line.startswith("no distance: learned from fewer than 4 subjects") for line in summary.done)
    names = {path.name for path in given.run.iterdir()}
    assert names == {"config.toml", "provenance.json", "log.jsonl", "validation.tsv", "checkpoints", "translator"}
    description = read_description(given.run)
    cohort = read_cohort(prepared)
    scales = [case.scales["T2w"].factor for case in cohort.split("train")]
    assert (description.sources, description.target, description.preset) == (("T1w",), "T2w", "osman2022")
    assert description.target_scale.factor == pytest.approx(np.median(scales))
    assert description.training_subjects == tuple(sorted(subject_hash(s) for s in ("01", "02")))
    assert description.validation_subjects == (subject_hash("03"),)
    assert len(description.training_images) == 4
    assert description.clip_output
    assert description.trained_steps == 3
    case = cohort.split("test")[0]
    synthetic = load_translator(given.run).translate({"T1w": read_volume(case.images["T1w"])})
    assert synthetic.shape == (18, 20, 12)
    assert np.isfinite(synthetic.data).all()


@pytest.mark.slow
def test_four_subjects_tell_the_translator_what_it_knows(make_prepared: MakePrepared, settings: MakeSettings) -> None:
    splits = {"01": "train", "02": "train", "03": "train", "04": "validation", "05": "test"}
    prepared = make_prepared(splits)
    given = settings(prepared)
    assert not any(line.startswith("no distance") for line in train(given).done)
    translator = load_translator(given.run)
    assert translator.training is not None
    assert translator.training.subjects == 4
    assert any(name.startswith("network / ") for name in translator.training.names)
    (case,) = read_cohort(prepared).split("test")
    volume = read_volume(case.images["T1w"])
    assert translator.run({"T1w": volume}, scales=case.scales).distance is not None
    inverted = volume.with_data(np.where(volume.data > 0, 800 - volume.data, 0).astype(np.float32))
    with pytest.warns(RecontrastWarning, match="is unlike the scans the translator was trained on"):
        translator.run({"T1w": inverted}, scales=case.scales, where="odd")


def test_settings_are_kept_resolved(make_prepared: MakePrepared, settings: MakeSettings) -> None:
    given = settings(make_prepared())
    train(given)
    config = read_toml(given.run / "config.toml")
    assert config["plan"]["loop"]["steps"] == 3
    assert config["plan"]["loop"]["betas"] == [0.9, 0.999]
    assert config["train"]["source"] == ["T1w"]
    provenance = json.loads((given.run / "provenance.json").read_text())
    assert provenance["stage"] == "train"
    assert provenance["train_cases"] == ["sub-01", "sub-02"]
    assert provenance["result"]["step"] == 3


def test_last_weights_are_not_called_those_of_the_best_validation(
    make_prepared: MakePrepared, settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores, original = iter([20.0, 25.0, 19.0]), Validator.summarise
    monkeypatch.setattr(
        Validator, "summarise", lambda self, values: dataclasses.replace(original(self, values), score=next(scores))
    )
    given = settings(make_prepared(), "loop.keep=last", "loop.validate_every=1")
    said = [line for line in train(given).done if "best validation" in line]
    assert said == ["weights of the last step; best validation at step 2: psnr in brain 25"]
    end, result = read_log(given.run)[-1], json.loads((given.run / "provenance.json").read_text())["result"]
    for record in (end, result):
        assert (record["step"], record["kept_step"], record["best_step"]) == (3, 3, 2)
    assert result["best_score"] == 25.0
    assert read_description(given.run).trained_steps == 3


def test_folder_of_another_command_is_refused(make_prepared: MakePrepared, settings: MakeSettings) -> None:
    prepared = make_prepared()
    with pytest.raises(ConfigError, match="made by `recontrast prepare`"):
        train(settings(prepared, run=prepared))


@pytest.mark.parametrize(
    ("contrasts", "message"),
    [
        ({"source": ("T1w",), "target": "T1w"}, "source and target"),
        ({"source": (), "target": "T2w"}, "name the contrasts"),
        ({"source": ("T1w",), "target": ""}, "name the contrasts"),
        ({"source": ("T1w", "T1w"), "target": "T2w"}, "named twice"),
        ({"source": ("T1w",), "target": "T2w", "preset": "masked-reconstruction"}, "name one --source and no other"),
        ({"source": ("T1w", "T2w"), "target": "", "preset": "masked-reconstruction"}, "name one --source and no other"),
    ],
)
def test_contrasts_must_make_sense(
    make_prepared: MakePrepared, settings: MakeSettings, contrasts: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        train(settings(make_prepared(), **contrasts))


@pytest.mark.parametrize("contrasts", [{"source": ("PDw",)}, {"target": "PDw"}])
def test_missing_contrast_is_answered_with_those_that_exist(
    make_prepared: MakePrepared, settings: MakeSettings, contrasts: dict[str, object]
) -> None:
    with pytest.raises(MissingContrastError, match="no case has PDw; there is: FLAIR, T1w, T2w"):
        train(settings(make_prepared(), **contrasts))


def test_a_case_without_the_contrast_is_left_out_and_named(make_prepared: MakePrepared, settings: MakeSettings) -> None:
    given = settings(make_prepared(absent=(("02", "T2w"),)))
    with pytest.warns(RecontrastWarning, match=r"sub-02: has no T2w, it is left out of the train"):
        train(given)
    assert len(read_description(given.run).training_subjects) == 1


def test_one_subject_only(make_prepared: MakePrepared, settings: MakeSettings) -> None:
    given = settings(make_prepared({"01": "train"}))
    with pytest.warns(RecontrastWarning, match="no validation subject"):
        train(given)
    assert not (given.run / "validation.tsv").exists()
    assert read_description(given.run).trained_steps == 3


def test_without_validation_the_averaged_weights_are_saved(make_prepared: MakePrepared, settings: MakeSettings) -> None:
    given = settings(make_prepared({"01": "train"}), "loop.ema=0.9")
    with pytest.warns(RecontrastWarning, match="no validation subject"):
        train(given)
    from recontrast.training.checkpoint import load_checkpoint

    averaged = load_checkpoint(given.run / "checkpoints/last").part("averaged.network")
    for name, value in load_translator(given.run).network.state_dict().items():
        assert torch.equal(value, averaged[name])


def test_no_training_subject(make_prepared: MakePrepared, settings: MakeSettings) -> None:
    with pytest.raises(LayoutError, match=r"no training subject \(cases: 0 train, 0 validation, 1 test\)"):
        train(settings(make_prepared({"01": "test"})))


@pytest.mark.parametrize(
    ("override", "error"),
    [
        ("loop.stps=1", UnknownNameError),
        ("model.options.widht=8", ConfigError),
        ("model.options.in_channels=4", ConfigError),
        ("model.name=umet", UnknownNameError),
        ("recipe.options.loss=mes", UnknownNameError),
        ("loop.protocol=recontrats", UnknownNameError),
        ("loop.precision=fp8", UnknownNameError),
        ("loop.devices=3", ConfigError),
        ("loop.minutes=nan", ConfigError),
        ("loop.minutes=inf", ConfigError),
    ],
)
def test_wrong_overrides(
    make_prepared: MakePrepared, settings: MakeSettings, override: str, error: type[Exception]
) -> None:
    prepared = make_prepared()
    with pytest.raises(error):
        train(settings(prepared, override))
    assert not settings(prepared).run.exists()


def test_a_run_that_never_began_may_be_begun_differently(
    make_prepared: MakePrepared, settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared = make_prepared()
    with monkeypatch.context() as patch:
        patch.setattr(command, "launch", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            train(settings(prepared))
    assert train(settings(prepared, "loop.seed=1")).done


def test_unwritable_run_folder(make_prepared: MakePrepared, settings: MakeSettings, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="file"):
        train(settings(make_prepared(), run=tmp_path / "file" / "run"))


def test_cache_is_kept_where_asked(make_prepared: MakePrepared, settings: MakeSettings) -> None:
    given = settings(make_prepared(), "data.keep_cache=true")
    train(given)
    assert len(list((given.run / "cache").glob("*.npy"))) == 6


def test_recipe_and_pairing_must_agree(make_prepared: MakePrepared, settings: MakeSettings) -> None:
    with pytest.raises(ConfigError, match=r"recipe supervised learns from paired slices: set data\.paired=true"):
        train(settings(make_prepared(), "data.paired=false"))


@pytest.mark.parametrize(
    ("preset", "overrides", "said"),
    [
        ("osman2022", (), r"adds to no control .* may lie voxels off; take a preset .*\(auto, any-to-any\)$"),
        ("auto", ("model.options.start=none",), r"adds to no control .*, or another model\.options\.start than none$"),
        ("auto", (), ""),
    ],
)
def test_tolerance_of_shifts_without_a_control_is_warned_of(
    make_prepared: MakePrepared, settings: MakeSettings, monkeypatch: pytest.MonkeyPatch, preset: str,
    overrides: tuple[str, ...], said: str,
) -> None:  # fmt: skip
    monkeypatch.setattr(command, "launch", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
    asked = ("loop.steps=3", "recipe.options.misaligned_voxels=2", *overrides)
    given = dataclasses.replace(settings(make_prepared(), preset=preset), set=asked)
    with pytest.warns(RecontrastWarning, match=said) if said else nullcontext(), pytest.raises(KeyboardInterrupt):
        train(given)


def test_absent_weights_of_a_preset_are_one_line_before_anything_is_written(
    make_prepared: MakePrepared, tmp_path: Path
) -> None:
    given = TrainSettings(prepared=make_prepared(), run=tmp_path / "run", source=("T1w",), target="T2w",
                          preset="tagawa2025", scale="paper")  # fmt: skip
    with pytest.raises(ConfigError, match=r"lpips_vgg needs the weights.*nothing is downloaded") as error:
        train(given)
    assert "\n" not in str(error.value)
    assert not given.run.exists()


def test_a_network_with_a_fit_and_no_control_trains_with_validation(
    make_prepared: MakePrepared, tmp_path: Path
) -> None:
    given = TrainSettings(
        prepared=make_prepared(), run=tmp_path / "run", source=("T1w",), target="T2w", preset="hagiwara2019",
        set=("model.options.width=4", "model.options.whitened=true", "recipe.options.discriminator=none",
             "recipe.options.first_steps=2", "loop.steps=2", "loop.accelerator=cpu", "data.size=[32,32]"),
    )  # fmt: skip
    assert train(given).failed == {}
    assert read_description(given.run).model.options["whitened"] is True


def test_a_stage_two_without_discriminator_is_refused_at_the_start_or_not_begun(
    make_prepared: MakePrepared, tmp_path: Path
) -> None:
    prepared = make_prepared()

    def learn(first_steps: int, *budget: str) -> Path:
        given = TrainSettings(
            prepared=prepared, run=tmp_path / "-".join(budget), source=("T1w",), target="T2w", preset="hagiwara2019",
            set=("model.options.width=4", "recipe.options.discriminator=none", "loop.accelerator=cpu",
                 "data.size=[32,32]", f"recipe.options.first_steps={first_steps}", *budget),
        )  # fmt: skip
        train(given)
        return given.run

    for first_steps, steps in ((3, 6), (0, 0)):
        with pytest.raises(ConfigError, match=f"stage two begins after {first_steps} steps and needs a discriminator"):
            learn(first_steps, f"loop.steps={steps}")
        assert not (tmp_path / f"loop.steps={steps}").exists()
    # How many steps there will be is not known beforehand: it ends in time, with a translator.
    run = learn(3, "loop.steps=0", "loop.minutes=5")
    assert read_description(run).trained_steps == 3
    assert "3 steps done" in read_log(run)[-1]["reason"]


@pytest.mark.filterwarnings("ignore:.*no validation subject")
def test_what_is_held_out_must_not_be_learned_from(make_prepared: MakePrepared, settings: MakeSettings) -> None:
    held = ("data.held_out=0.2", "data.plane=volume", "data.patch=[16,16,8]")
    with pytest.raises(ConfigError, match="by the mask of the loss"):
        train(settings(make_prepared({"01": "train"}), *held))


def test_batch_norm_of_single_images_is_warned_of(make_prepared: MakePrepared, settings: MakeSettings) -> None:
    given = settings(make_prepared(), "data.batch=1", "model.options.norm=batch", "loop.steps=1")
    with pytest.warns(RecontrastWarning, match="norm=batch_of_one"):
        train(given)


UNPAIRED = ("model.options.width=4", "recipe.options.discriminator_options.width=4", "loop.steps=2", "data.batch=2",
            "loop.precision=fp32", "loop.accelerator=cpu")  # fmt: skip


def test_unpaired_learning_takes_subjects_that_have_one_contrast_only(
    make_prepared: MakePrepared, tmp_path: Path
) -> None:
    splits = {"01": "train", "02": "train", "05": "train", "03": "validation"}
    prepared = make_prepared(splits, absent=(("01", "T2w"), ("02", "T1w"), ("05", "T1w")))
    given = TrainSettings(prepared=prepared, run=tmp_path / "run", source=("T1w",), target="T2w",
                          preset="grantjacob2021-cyclegan", set=UNPAIRED)  # fmt: skip
    train(given)
    description = read_description(given.run)
    assert len(description.training_subjects) == 3
    assert len(description.training_images) == 3
    paired = TrainSettings(prepared=prepared, run=tmp_path / "paired", source=("T1w",), target="T2w",
                           preset="osman2022")  # fmt: skip
    with pytest.warns(RecontrastWarning, match="left out"), pytest.raises(LayoutError, match="no training subject"):
        train(paired)


def test_unpaired_learning_needs_both_contrasts_among_the_training_cases(
    make_prepared: MakePrepared, tmp_path: Path
) -> None:
    prepared = make_prepared({"01": "train", "02": "test"}, absent=(("01", "T2w"),))
    given = TrainSettings(prepared=prepared, run=tmp_path / "run", source=("T1w",), target="T2w",
                          preset="grantjacob2021-cyclegan", set=UNPAIRED)  # fmt: skip
    with pytest.raises(MissingContrastError, match="no train case has T2w"):
        train(given)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*no validation subject")
@pytest.mark.parametrize("shape", [(21, 26, 13), (18, 20, 1)])
@pytest.mark.parametrize("neighbours", [0, 1])
@pytest.mark.parametrize(
    "preset", ["tagawa2025", "grantjacob2021-pix2pix", "grantjacob2021-cyclegan", "grantjacob2021-unit"]
)
def test_every_preset_of_issue_four_trains_and_translates(
    make_prepared: MakePrepared, tmp_path: Path, preset: str, neighbours: int, shape: tuple[int, int, int]
) -> None:
    splits = {"01": "train", "02": "validation"}
    prepared = make_prepared(splits, shapes=dict.fromkeys(splits, shape))
    given = TrainSettings(
        prepared=prepared, run=tmp_path / "run", source=("T1w", "FLAIR"), target="T2w", preset=preset,
        set=(f"data.neighbours={neighbours}", "loop.steps=2", "loop.validate_every=2", "loop.accelerator=cpu",
             "model.options.width=4", "recipe.options.discriminator_options.width=4"),
    )  # fmt: skip
    train(given)
    case = read_cohort(prepared).cases[0]
    sources = {label: read_volume(case.images[label]) for label in ("T1w", "FLAIR")}
    synthetic = load_translator(given.run).translate(sources)
    assert synthetic.shape == shape
    assert np.isfinite(synthetic.data).all()
