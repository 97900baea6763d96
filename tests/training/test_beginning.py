"""A training begins with the weights of another one, and says when they do not fit."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from recontrast.errors import CheckpointError, ConfigError, RecontrastWarning
from recontrast.training.command import TrainSettings, train
from recontrast.translation.description import read_description, subject_hash
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
    assert any(not torch.equal(before[name], after[name]) for name in fitted)
    about = read_description(run)
    assert about.training_subjects == tuple(sorted(subject_hash(s) for s in ("01", "02", "05")))
    assert set(read_description(first).training_images) < set(about.training_images)
    assert about.source_levels == read_description(first).source_levels
    record = json.loads((run / "provenance.json").read_text())
    assert record["start_from"] == read_description(first).weights_sha256


def test_weights_that_do_not_fit_are_refused(first: Path, make_prepared: MakePrepared, tmp_path: Path) -> None:
    prepared, run = make_prepared(name="others"), tmp_path / "second"
    for settings, said in (
        (
            auto(prepared, run, preset="osman2022", start_from=first),
            "holds a residual_encoder, this preset trains",
        ),
        (
            auto(prepared, run, *SMALL, source=("T1w", "FLAIR"), start_from=first),
            "reads T1w, this training T1w FLAIR",
        ),
        (auto(prepared, run, *SMALL, "model.options.width=8", start_from=first), r"width is 4 there and 8 here"),
    ):
        with pytest.raises(ConfigError, match=said):
            train(settings)
    with pytest.raises(CheckpointError, match="no such folder"):
        train(auto(prepared, run, start_from=tmp_path / "absent"))
    assert not run.exists()
