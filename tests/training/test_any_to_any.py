"""One network for several targets: trained, saved, used with every subset; what it refuses."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from recontrast.config import read_toml
from recontrast.datasets.cases import cache_cases
from recontrast.datasets.settings import DataSettings
from recontrast.errors import ConfigError, UnknownNameError
from recontrast.io.bids import read_sidecar, write_sidecar
from recontrast.io.nifti import read_volume
from recontrast.io.tables import read_table
from recontrast.preparation.acquisition import usual_of
from recontrast.preparation.cohort import read_cohort
from recontrast.training import error_bars
from recontrast.training.command import TrainSettings, train
from recontrast.training.levels import source_levels
from recontrast.training.log import read_log
from recontrast.training.validation import Validator
from recontrast.translation.command import TranslateSettings, translate
from recontrast.translation.description import direction_name, read_description
from recontrast.translation.engines.choice import EngineSettings
from recontrast.translation.translator import load_translator

MakePrepared = Callable[..., Path]
MakeSettings = Callable[..., TrainSettings]

TINY = ("model.options.width=4", "model.options.blocks=[1,1]", "data.batch=4", "loop.minutes=0", "loop.steps=3",
        "loop.warmup_steps=0", "loop.accelerator=cpu", "loop.precision=fp32")  # fmt: skip
PLAIN = ("data.context_voxels=[]", "model.options.start=curves")
"""Fitting what surroundings say takes seconds for each subset and target; one test does it."""
ALL = ("T2w", "T1w", "FLAIR")


@pytest.fixture
def settings(make_prepared: MakePrepared, tmp_path: Path) -> MakeSettings:
    """Training subject 02 lacks T2w, test subject 04 has nothing but FLAIR, 05 all."""
    splits = {"01": "train", "02": "train", "03": "validation", "04": "test", "05": "test"}
    prepared = make_prepared(splits, absent=(("02", "T2w"), ("04", "T1w"), ("04", "T2w")))

    def make(*overrides: str, **others: object) -> TrainSettings:
        given = {"run": tmp_path / "run", "source": ALL, "target": ALL, "prepared": prepared, **others}
        start = () if any(override.startswith("model.options.start") for override in overrides) else PLAIN
        return TrainSettings(set=(*TINY, *start, *overrides), **given)  # type: ignore[arg-type]

    return make


@pytest.mark.slow
def test_one_network_makes_every_contrast_from_what_there_is(settings: MakeSettings, tmp_path: Path) -> None:
    given = settings()
    summary = train(given)
    assert summary.done[0].startswith("any of T2w, T1w, FLAIR -> T2w, T1w, FLAIR: 3 steps done")
    assert any(line.startswith("no distance: it takes whatever sources") for line in summary.done)
    about = read_description(given.run)
    assert (about.preset, about.sources, about.target) == ("any-to-any", ALL, "")
    assert about.bank is not None
    assert tuple(about.bank.targets) == ALL
    cohort = read_cohort(given.prepared)
    factors = [case.scales["T2w"].factor for case in cohort.split("train") if "T2w" in case.scales]
    assert about.bank.targets["T2w"].factor == pytest.approx(np.median(factors))
    assert read_toml(given.run / "config.toml")["train"]["target"] == list(ALL)
    validation = read_table(given.run / "validation.tsv")
    assert set(validation["target"]) == set(ALL)
    assert set(validation["case"]) == {"sub-03"}
    assert "nothing was done" in train(given).done[0]

    out = tmp_path / "T1w"
    made = translate(TranslateSettings(run=given.run, input=given.prepared, out=out, split="test", target="T1w"))
    assert not made.failed
    used = {}
    for subject in ("04", "05"):
        image = out / f"sub-{subject}/anat/sub-{subject}_desc-synthetic_T1w.nii.gz"
        assert np.isfinite(read_volume(image).data).all()
        used[subject] = read_sidecar(image)["SourceContrasts"]
    assert used == {"04": ["FLAIR"], "05": ["T2w", "FLAIR"]}
    made = translate(
        TranslateSettings(run=given.run, input=given.prepared, out=tmp_path / "F", split="test", target="FLAIR")
    )
    assert list(made.failed) == ["sub-04"]
    assert made.failed["sub-04"] == "has none of T2w, T1w, of which FLAIR is made; there is: FLAIR"


@pytest.mark.slow
def test_terms_and_tolerated_shifts_for_several_targets(settings: MakeSettings) -> None:
    terms = ("recipe.options.terms.ssim=0.1", "recipe.options.terms.edges.weight=1", "recipe.options.terms.lesions=4")
    given = settings(*terms, "recipe.options.misaligned_voxels=2", "data.lesion_regions=['brain']", "loop.log_every=1")
    train(given)
    parts = [event["parts"] for event in read_log(given.run) if event["event"] == "step"]
    assert len(parts) == 3
    for part in parts:
        assert part.keys() == {"l1", "ssim", "edges", "lesions"}
        assert 0 < part["lesions"] < part["l1"]


@pytest.mark.slow
def test_a_run_goes_on_to_the_same_weights(settings: MakeSettings, tmp_path: Path) -> None:
    often = ("loop.schedule=constant", "loop.validate_every=2")  # the best weights are asked for at the same steps
    train(settings("loop.steps=4", *often))
    parted = settings("loop.steps=2", *often, run=tmp_path / "parted")
    train(parted)
    train(settings("loop.steps=4", *often, run=tmp_path / "parted", resume=True))
    whole, other = (read_description(tmp_path / name).weights_sha256 for name in ("run", "parted"))
    assert whole == other


@pytest.mark.slow
def test_one_target_by_name_needs_no_choice(settings: MakeSettings) -> None:
    given = settings("model.options.start=context", preset="any-to-any", source=("T1w", "T2w"), target="FLAIR")
    train(given)
    translator = load_translator(given.run)
    assert translator.description.target == "FLAIR"
    assert json.loads((given.run / "translator/translator.json").read_text())["bank"]["sources"] == ["T1w", "T2w"]
    (case,) = (case for case in read_cohort(given.prepared).cases if case.key == "sub-05")
    one = {"T1w": read_volume(case.images["T1w"])}
    assert np.isfinite(translator.given(one).translate(one).data).all()
    assert translator.network.surroundings.mean.any()  # what is around was learned from
    with pytest.raises(UnknownNameError, match="target of this translator 'T2w'"):
        translator.making("T2w")


@pytest.mark.slow
def test_error_bars_of_every_set_of_sources_and_every_target(settings: MakeSettings, tmp_path: Path) -> None:
    given = settings("loop.error_bars=true")
    summary = train(given)
    assert any(line.startswith("9 of 9 directions have error bars; of these ") for line in summary.done)
    calibrations = read_description(given.run).calibrations
    bank = read_description(given.run).bank
    assert bank is not None
    assert list(calibrations) == [direction_name(*direction) for direction in bank.directions()]
    assert len({calibration.factor for calibration in calibrations.values()}) == 9
    assert "9 of 9 directions" in (given.run / "translator/README.md").read_text()
    out = tmp_path / "T1w"
    translate(TranslateSettings(run=given.run, input=given.prepared, out=out, split="test", target="T1w"))
    for subject, there in (("04", ["FLAIR"]), ("05", ["T2w", "FLAIR"])):
        path = out / f"sub-{subject}/anat/sub-{subject}_desc-synthetic_T1w_uncertainty.nii.gz"
        assert read_volume(path).data.min() > 0
        bars = load_translator(given.run, target="T1w").given(there).error_bars
        assert bars is not None
        assert bars.calibration == calibrations[direction_name(there, "T1w")]
        made = read_sidecar(out / f"sub-{subject}/anat/sub-{subject}_desc-synthetic_T1w.nii.gz")
        assert made["Settings"]["uncertainty"][1] == bars.calibration.factor


def test_sources_come_to_their_level_and_targets_stay(settings: MakeSettings, tmp_path: Path) -> None:
    given = settings("data.level_sources=true", "model.options.start=none", "loop.steps=1")
    train(given)
    about = read_description(given.run)
    cohort = read_cohort(given.prepared)
    assert about.source_levels == source_levels(cohort.split("train"), ALL)
    assert list(about.source_levels) == list(ALL)
    (case,) = cohort.split("validation")
    dark = {**case.scales, "T1w": dataclasses.replace(case.scales["T1w"], factor=3 * case.scales["T1w"].factor)}
    other = dataclasses.replace(case, scales=dark)
    exact = EngineSettings(engine="torch", precision="fp32")
    translator = load_translator(given.run, exact, target="FLAIR").given(("T1w",))
    volumes = {"T1w": read_volume(case.images["T1w"])}
    plain, darker = (translator.run(volumes, scales=one.scales).volume.data for one in (case, other))
    np.testing.assert_allclose(darker, plain, rtol=1e-4, atol=1e-2)
    scores = []
    for number, one in enumerate((case, other)):
        cached = cache_cases([one], ALL, "", DataSettings(), tmp_path / f"cache-{number}", partly=True)
        validator = Validator([one], cached, "recontrast", translator.description)
        scores.append(validator.score_cases(translator.network, "fp32").numpy())
    np.testing.assert_allclose(scores[1], scores[0], rtol=1e-4)
    errors = [error_bars._errors(translator, one, DataSettings(), "head", 0) for one in (case, other)]
    np.testing.assert_allclose(errors[1].errors, errors[0].errors, atol=1e-4)
    np.testing.assert_allclose(errors[1].channels, errors[0].channels, atol=1e-3)


def test_how_scans_were_acquired_is_learned_from(settings: MakeSettings) -> None:
    given = settings("data.acquisition=true", "model.options.start=none", "loop.steps=2")
    for number, path in enumerate(sorted(given.prepared.rglob("*T1w.nii.gz"))):
        write_sidecar(path, {**read_sidecar(path), "InversionTime": 0.5 + 0.2 * number, "FlipAngle": 9})
    train(given)
    about = read_description(given.run)
    cohort = read_cohort(given.prepared)
    assert about.acquisition == usual_of([case.acquired for case in cohort.split("train")], ALL)
    assert list(about.acquisition) == ["T1w"]
    assert about.acquisition["T1w"]["FlipAngle"] == pytest.approx((np.log(9), 0.05))
    (case,) = cohort.split("validation")
    translator = load_translator(given.run, target="FLAIR").given(("T1w",))
    source = {"T1w": read_volume(case.images["T1w"])}
    silent, told = (one.translate(source).data for one in (translator, translator.given(source, case.acquired)))
    unknown = translator.given(source, {"T1w": {"EchoTime": 0.01}, "T2w": {"InversionTime": 0.1}})
    assert np.abs(told - silent).max() > 0
    assert unknown.acquired == {}
    np.testing.assert_array_equal(unknown.translate(source).data, silent)
    cached = cache_cases([case], ALL, "", DataSettings(), given.run / "own", partly=True)
    seen = Validator([case], cached, "recontrast", translator.description).score_cases(translator.network, "fp32")
    as_told, as_silent = (
        Validator([case], [dataclasses.replace(cached[0], acquired=known)], "recontrast", translator.description)
        .score_cases(translator.network, "fp32") for known in (case.acquired, {})
    )  # fmt: skip
    assert seen.tolist() == as_told.tolist() != as_silent.tolist()
    with pytest.raises(ConfigError, match=r"data.acquisition: only a network of several contrasts"):
        train(settings("data.acquisition=true", "model.options.targets=0", preset="any-to-any", source=("T1w",),
                       target="FLAIR", run=given.run.with_name("one")))  # fmt: skip


def test_the_same_network_can_learn_one_target_the_ordinary_way(settings: MakeSettings) -> None:
    given = settings("model.options.targets=0", preset="any-to-any", source=("T1w",), target="FLAIR")
    train(given)
    about = read_description(given.run)
    assert about.bank is None
    assert (about.sources, about.target, about.channels) == (("T1w",), "FLAIR", 1)
    with pytest.raises(ConfigError, match="makes one target"):
        train(settings("model.options.targets=0", run=given.run.with_name("other")))


@pytest.mark.parametrize(
    ("others", "message"),
    [
        ({"preset": "osman2022"}, "osman2022 makes one target, not T2w T1w FLAIR: train it once for each, or take the"),
        ({"target": ("T1w", "T1w")}, "a target is named twice"),
        ({"source": ("T1w",), "target": ("T1w", "T2w")}, "T1w is a target and the only source"),
    ],
)
def test_what_several_targets_cannot_be(settings: MakeSettings, others: dict[str, object], message: str) -> None:
    given = settings(**{"preset": "auto", **others})
    given = TrainSettings(**{**vars(given), "set": ()})
    with pytest.raises(ConfigError, match=message):
        train(given)
    assert not given.run.exists()


@pytest.mark.parametrize("override", ["data.plane=volume", "data.augment.source_gain=0.1"])
def test_settings_that_it_does_not_know(settings: MakeSettings, override: str) -> None:
    with pytest.raises(ConfigError, match=f"does not know .*{override.partition('=')[0]}"):
        train(settings(override))
