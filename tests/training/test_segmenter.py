"""A segmenter learned from a prepared folder, and a translator learned with its features."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from recontrast import cli
from recontrast.errors import ConfigError, LayoutError, MissingContrastError, RecontrastWarning
from recontrast.io.nifti import read_volume, write_volume
from recontrast.io.tables import read_table
from recontrast.losses.segmentation import DESCRIPTION, WEIGHTS, load_segmenter
from recontrast.training.command import TrainSettings, train
from recontrast.training.segmenter import TABLE, TeachSettings, teach_segmenter
from recontrast.translation.description import read_description

MakePrepared = Callable[..., Path]


@pytest.fixture
def prepared(make_prepared: MakePrepared) -> Path:
    """Tiny heads with masks: the bright core is WM, a block in it a lesion, the rest GM, the lowest slices CSF."""
    folder = make_prepared()
    for image in folder.glob("sub-*/anat/*_T1w.nii.gz"):
        volume = read_volume(image)
        head, core = volume.data > 200, volume.data > 550
        lesion = np.zeros_like(head)
        lesion[8:11, 8:11, 4:8] = True
        low = np.zeros_like(head)
        low[..., :3] = True
        masks = {"CSF": head & low, "GM": head & ~core & ~low, "WM": core & ~low, "lesion": lesion}
        for name, mask in masks.items():
            path = image.with_name(image.name.replace("desc-prepared_T1w", f"desc-{name}_mask"))
            write_volume(path, volume.with_data(mask), np.uint8)
    return folder


def settings(prepared: Path, out: Path, **changed: object) -> TeachSettings:
    small = {"contrast": "FLAIR", "steps": 3, "width": 4, "depth": 2, "batch": 4}
    return TeachSettings(prepared=prepared, out=out, **{**small, **changed})  # type: ignore[arg-type]


def test_it_learns_to_tell_tissues_apart_in_a_case_it_did_not_see(prepared: Path, tmp_path: Path) -> None:
    out = tmp_path / "segmenter"
    summary = teach_segmenter(settings(prepared, out, steps=100, width=8, learning_rate=1e-2))
    table = read_table(out / TABLE).set_index("class")
    assert list(table.index) == ["CSF", "GM", "WM", "lesion"]
    assert set(table["case"]) == {"sub-03"}
    assert table.loc["WM", "dice"] > 0.6  # lesions look like it
    assert table.loc["GM", "dice"] > 0.7
    assert summary.done[0].startswith("mean Dice in 1 validation case: CSF 0.")
    assert {path.name for path in out.iterdir()} == {DESCRIPTION, WEIGHTS, TABLE, "provenance.json"}
    network, about = load_segmenter(out)
    assert about.classes == ("other", "CSF", "GM", "WM", "lesion")
    assert len(about.training_subjects) == 2
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_the_same_seed_gives_the_same_bytes(prepared: Path, tmp_path: Path) -> None:
    for name, seed in (("one", 0), ("again", 0), ("other", 1)):
        teach_segmenter(settings(prepared, tmp_path / name, seed=seed))
    one, again, other = ((tmp_path / name / WEIGHTS).read_bytes() for name in ("one", "again", "other"))
    assert one == again != other


def test_one_of_volumes_is_one_argument(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recontrast.training.segmenter._PATCH", (16, 16, 8))
    teach_segmenter(settings(prepared, tmp_path / "s", plane="volume", steps=2, batch=1))
    network, about = load_segmenter(tmp_path / "s")
    assert about.plane == "volume"
    assert network.head.weight.ndim == 5
    assert len(read_table(tmp_path / "s" / TABLE)) == 4


def test_a_translator_learns_with_it_and_knows_its_subjects(
    prepared: Path, make_prepared: MakePrepared, tiny: tuple[str, ...], tmp_path: Path
) -> None:
    teach_segmenter(settings(prepared, tmp_path / "s"))
    elsewhere = make_prepared({"08": "train", "09": "train"}, name="elsewhere")
    term = "recipe.options.terms.segmentation"
    given = (*tiny, f"{term}.segmenter={tmp_path / 's'}", f"{term}.weight=0.5", "loop.steps=2", "loop.log_every=1")
    told = {"source": ("T1w",), "target": "FLAIR", "preset": "osman2022"}
    with pytest.warns(RecontrastWarning, match="no validation subject"):
        train(TrainSettings(prepared=elsewhere, run=tmp_path / "run", set=given, **told))  # type: ignore[arg-type]
    steps = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    parts = [step["parts"] for step in steps if step["event"] == "step"]
    assert all(part["segmentation"] > 0 for part in parts)
    assert len(read_description(tmp_path / "run" / "translator").training_subjects) == 4
    again = TrainSettings(prepared=elsewhere, run=tmp_path / "run", set=given, resume=True, **told)  # type: ignore[arg-type]
    with pytest.warns(RecontrastWarning, match="no validation subject"):
        assert "nothing was done" in train(again).done[0]
    with pytest.raises(ConfigError, match=r"holds other results \(settings differ: seed\); choose another folder"):
        teach_segmenter(settings(prepared, tmp_path / "s", seed=1))
    shutil.rmtree(tmp_path / "s")
    teach_segmenter(settings(prepared, tmp_path / "s", seed=1))
    with (
        pytest.warns(RecontrastWarning, match="no validation subject"),
        pytest.raises(ConfigError, match="segmenters differ: the segmenter of the loss segmentation has other weights"),
    ):
        train(dataclasses.replace(again, set=(*given, "loop.steps=4")))
    told["target"] = "T2w"
    with pytest.raises(ConfigError, match="reads FLAIR, and the target is T2w"):
        train(TrainSettings(prepared=prepared, run=tmp_path / "other", set=given, **told))  # type: ignore[arg-type]
    assert not (tmp_path / "other").exists()


def test_mistakes_are_one_line_before_anything_is_written(prepared: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--contrast FLAIR"):
        teach_segmenter(settings(prepared, tmp_path / "s", contrast=""))
    with pytest.raises(MissingContrastError, match="no case has PDw"):
        teach_segmenter(settings(prepared, tmp_path / "s", contrast="PDw"))
    with pytest.raises(ConfigError, match="at least 1"):
        settings(prepared, tmp_path / "s", steps=0)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match="holds files"):
        teach_segmenter(settings(prepared, tmp_path / "mine"))
    assert not (tmp_path / "s").exists()


def test_without_training_or_validation_subjects(make_prepared: MakePrepared, tmp_path: Path) -> None:
    with pytest.raises(LayoutError, match="no training subject has FLAIR"):
        teach_segmenter(settings(make_prepared({"01": "test"}, name="a"), tmp_path / "s"))


def test_the_command_line_has_it(prepared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [str(prepared), str(tmp_path / "s"), "--contrast", "FLAIR", "--steps", "1", "--width", "4"]
    assert cli.run(["train-segmenter", *arguments]) == cli.DONE
    assert f"segmenter: {tmp_path / 's'}" in capsys.readouterr().out
