"""The command on a folder that holds an earlier run: left alone, gone on with, or refused."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from tests.training.conftest import MakePrepared, MakeSettings

from recontrast.errors import ConfigError
from recontrast.io.bids import read_sidecar, write_sidecar
from recontrast.io.nifti import read_volume, write_volume
from recontrast.losses.perceptual import expected_weights
from recontrast.preparation.cohort import read_cohort
from recontrast.provenance import sha256_of
from recontrast.training import command
from recontrast.training.command import train


def test_finished_run_is_left_alone(make_prepared: MakePrepared, settings: MakeSettings) -> None:
    given = settings(make_prepared())
    train(given)
    before = (given.run / "translator/translator.json").stat().st_mtime_ns
    assert "nothing was done" in train(given).done[0]
    assert (given.run / "translator/translator.json").stat().st_mtime_ns == before


def test_other_settings_are_not_mixed_in(make_prepared: MakePrepared, settings: MakeSettings) -> None:
    prepared = make_prepared()
    train(settings(prepared))
    with pytest.raises(ConfigError, match=r"other settings.*plan\.loop\.seed was 0, is 1"):
        train(settings(prepared, "loop.seed=1", resume=True))
    with pytest.raises(ConfigError, match=r"other settings \(sources differ"):
        train(settings(prepared, source=("FLAIR",)))


def test_images_that_were_prepared_anew_are_noticed(make_prepared: MakePrepared, settings: MakeSettings) -> None:
    prepared = make_prepared()
    given = settings(prepared)
    train(given)
    image = read_cohort(prepared).cases[0].images["T1w"]
    write_sidecar(image, {**read_sidecar(image), "Scale": {"name": "percentile", "offset": 0.0, "factor": 99.0}})
    for resume in (False, True):
        with pytest.raises(ConfigError, match="prepared differ: it learned from other images: they were prepared anew"):
            train(dataclasses.replace(given, resume=resume))
    path = given.run / "provenance.json"
    older = {name: fact for name, fact in json.loads(path.read_text()).items() if name != "prepared"}
    path.write_text(json.dumps(older))
    assert "nothing was done" in train(given).done[0]


def test_masks_that_were_made_anew_are_noticed(make_prepared: MakePrepared, settings: MakeSettings) -> None:
    prepared = make_prepared()
    given = settings(prepared)
    train(given)
    path = read_cohort(prepared).cases[0].regions["brain"]
    mask = read_volume(path, np.uint8)
    write_volume(path, mask.with_data(np.roll(mask.data, 1, axis=0)), np.uint8)
    with pytest.raises(ConfigError, match="masks differ: it learned within other masks: they were made anew"):
        train(given)


def test_weights_of_a_perceptual_loss_are_known_by_what_is_in_them(
    make_prepared: MakePrepared, settings: MakeSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "launch", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
    file = tmp_path / "vgg19.safetensors"
    save_file({name: torch.zeros(shape) for name, shape in expected_weights("vgg19_22").items()}, file)
    asked = ("perceptual=vgg19_22", "perceptual_weight=1", f"perceptual_weights={file}")
    given = dataclasses.replace(
        settings(make_prepared(), preset="tagawa2025"), set=tuple(f"recipe.options.{each}" for each in asked)
    )
    with pytest.raises(KeyboardInterrupt):
        train(given)
    told = json.loads((given.run / "provenance.json").read_text())
    assert told["perceptual_weights"] == [sha256_of(file)]


@pytest.mark.slow
def test_a_run_can_go_on_with_a_larger_budget(make_prepared: MakePrepared, settings: MakeSettings) -> None:
    prepared = make_prepared()
    train(settings(prepared))
    with pytest.raises(ConfigError, match="another budget; add --resume"):
        train(settings(prepared, "loop.steps=5"))
    train(settings(prepared, "loop.steps=5", resume=True))
    provenance = json.loads((settings(prepared).run / "provenance.json").read_text())
    assert provenance["result"]["step"] == 5


@pytest.mark.slow
def test_unfinished_run_asks_for_resume(
    make_prepared: MakePrepared, settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared = make_prepared()
    with monkeypatch.context() as patch:
        patch.setattr(command, "save_translators", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            train(settings(prepared))
    with pytest.raises(ConfigError, match="unfinished training; add --resume"):
        train(settings(prepared))
    train(settings(prepared, resume=True))
    assert (settings(prepared).run / "translator/translator.json").is_file()


def test_resume_without_a_run_starts_one(make_prepared: MakePrepared, settings: MakeSettings) -> None:
    assert train(settings(make_prepared(), resume=True)).done
