"""What lies in a run folder decides whether a training may start, go on, or is done."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from recontrast.config import to_plain
from recontrast.errors import ConfigError, RecontrastWarning
from recontrast.training.former import RECORD, has_begun, is_finished, without_lost_best
from recontrast.training.plan import read_plan

FACTS = {"plan": {"loop": {"seed": 0, "steps": 3}}, "sources": ["T1w"], "start_from": None}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    checkpoint = tmp_path / "checkpoints" / "last"
    checkpoint.mkdir(parents=True)
    (checkpoint / "state.json").write_text("{}")
    (tmp_path / "provenance.json").write_text(json.dumps({"stage": "train", **FACTS}))
    return tmp_path


def finish(run: Path, content: dict[str, object]) -> None:
    (run / "provenance.json").write_text(json.dumps({"stage": "train", **content, "result": {}}))
    (run / "translator").mkdir(exist_ok=True)
    (run / "translator" / "translator.json").write_text("{}")


def test_a_best_validation_counts_while_its_weights_are_there(run: Path) -> None:
    told, best, table = {"step": 8, "best_score": 21.0, "best_step": 4}, run / "checkpoints" / "best", run / "v.tsv"
    table.write_text("of the best")
    assert without_lost_best(told, best, table, aloud=False)["best_score"] is None
    assert table.exists()
    with pytest.warns(RecontrastWarning, match="of step 4, are gone; the best of those after step 8 takes their place"):
        assert without_lost_best(told, best, table, aloud=True) == {"step": 8, "best_score": None, "best_step": 0}
    assert not table.exists()
    best.mkdir()
    (best / "state.json").write_text('{"tensors": "step-00000004.safetensors"}')
    assert without_lost_best(told, best, table, aloud=False)["best_score"] is None  # the large file alone was removed
    (best / "step-00000004.safetensors").touch()
    assert without_lost_best(told, best, table, aloud=True) == told


def test_an_empty_folder_holds_nothing(tmp_path: Path) -> None:
    assert not has_begun(tmp_path)
    assert not is_finished(tmp_path, FACTS, resume=False)


def test_a_begun_run_goes_on_when_asked_to(run: Path) -> None:
    assert has_begun(run)
    assert not is_finished(run, FACTS, resume=True)
    with pytest.raises(ConfigError, match="an unfinished training; add --resume"):
        is_finished(run, FACTS, resume=False)


def test_a_result_is_left_alone(run: Path) -> None:
    finish(run, FACTS)
    assert is_finished(run, FACTS, resume=False)


def test_a_result_whose_translator_was_removed_is_not_called_finished(run: Path) -> None:
    finish(run, FACTS)
    (run / "translator" / "translator.json").unlink()
    with pytest.raises(ConfigError, match="an unfinished training whose translator was removed; add --resume"):
        is_finished(run, FACTS, resume=False)
    assert not is_finished(run, FACTS, resume=True)
    (run / "checkpoints" / "last" / "state.json").unlink()
    assert not is_finished(run, FACTS, resume=False)


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({**FACTS, "sources": ["T2w"]}, r"sources differ: sources was \['T1w'\], is \['T2w'\]"),
        ({**FACTS, "start_from": "abc"}, "it began with other weights: give the same --start-from"),
    ],
)
def test_another_training_is_not_mixed_in(run: Path, facts: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        is_finished(run, facts, resume=True)


def test_a_result_without_checkpoints_is_compared_too(run: Path) -> None:
    finish(run, FACTS)
    (run / "checkpoints" / "last" / "state.json").unlink()
    assert is_finished(run, FACTS, resume=False)
    with pytest.raises(ConfigError, match=r"sources differ: sources was \['T1w'\], is \['T2w'\]"):
        is_finished(run, {**FACTS, "sources": ["T2w"]}, resume=False)


@pytest.mark.parametrize("resume", [False, True])
@pytest.mark.parametrize("result", [{"result": {}}, {}])  # {}: killed while it went on with a larger budget
def test_a_translator_without_checkpoints_is_not_overwritten(
    run: Path, result: dict[str, object], resume: bool
) -> None:
    (run / "provenance.json").write_text(json.dumps({"stage": "train", **FACTS, **result}))
    (run / "translator").mkdir()
    (run / "translator" / "translator.json").write_text("{}")
    longer = {**FACTS, "plan": {"loop": {"seed": 0, "steps": 5}}}
    assert not is_finished(run, longer, resume=True)  # its checkpoint is there
    (run / "checkpoints" / "last" / "state.json").unlink()
    with pytest.raises(ConfigError, match=r"no checkpoint that this training could .* would overwrite it"):
        is_finished(run, longer, resume=resume)
    with pytest.raises(ConfigError, match=r"sources was \['T1w'\], is \['T2w'\]"):
        is_finished(run, {**longer, "sources": ["T2w"]}, resume=resume)
    (run / "provenance.json").unlink()
    with pytest.raises(ConfigError, match=r"holds a translator and no provenance\.json.*--start-from"):
        is_finished(run, FACTS, resume=resume)


def test_damaged_record_is_named(run: Path) -> None:
    (run / "provenance.json").write_text("{")
    with pytest.raises(ConfigError, match=r"provenance\.json: not valid JSON"):
        is_finished(run, FACTS, resume=True)


def stage(start: str, weights: str | None, **loop: int) -> dict[str, object]:
    plan = {"loop": {"seed": 0, "steps": 3, **loop}, "recipe": {"name": "pixelwise", "options": {"start": start}}}
    return {**FACTS, "plan": plan, "recipe_start": weights}


def test_the_weights_a_second_stage_began_with_count_and_not_where_they_lie(run: Path) -> None:
    finish(run, stage("/old/first", "abc"))
    assert is_finished(run, stage("/new/first", "abc"), resume=False)
    with pytest.raises(ConfigError, match=r"recipe\.options\.start names has other weights"):
        is_finished(run, stage("/old/first", "def"), resume=True)
    with pytest.raises(ConfigError, match=r"plan\.loop\.seed was 0, is 1"):
        is_finished(run, stage("/new/first", "abc", seed=1), resume=True)
    # An older version noted the weights beside the run, or nowhere: then the folder is all there is to go by.
    older = {name: value for name, value in stage("/old/first", None).items() if name != "recipe_start"}
    finish(run, older)
    assert is_finished(run, stage("/old/first", "abc"), resume=False)
    with pytest.raises(ConfigError, match=r"recipe\.options\.start was /old/first, is /new/first"):
        is_finished(run, stage("/new/first", "abc"), resume=True)
    (run / RECORD).write_text(json.dumps({"job": "first", "sha256": "abc"}))
    assert is_finished(run, stage("/new/first", "abc"), resume=False)
    finish(run, older | {"recipe_start": None})
    assert is_finished(run, stage("/new/first", "abc"), resume=False)


def test_a_segmenter_that_was_trained_anew_is_noticed(run: Path) -> None:
    assert not is_finished(run, {**FACTS, "segmenters": ["abc"]}, resume=True)  # an older version did not note it
    (run / "provenance.json").write_text(json.dumps({"stage": "train", **FACTS, "segmenters": ["abc"]}))
    assert not is_finished(run, {**FACTS, "segmenters": ["abc"]}, resume=True)
    with pytest.raises(
        ConfigError, match=r"segmenters differ: the segmenter .* other weights .* train in another folder"
    ):
        is_finished(run, {**FACTS, "segmenters": ["def"]}, resume=True)


def looking_through(**options: object) -> dict[str, object]:
    return {**FACTS, "plan": {"loop": {"seed": 0}, "recipe": {"name": "any", "options": options}}}


@pytest.mark.parametrize(
    ("fact", "options", "said"),
    [
        ("perceptual_weights", lambda where: {"perceptual_weights": where}, "recipe.options.perceptual_weights hold"),
        ("segmenters", lambda where: {"terms": {"segmentation": {"segmenter": where}}}, "has other weights"),
    ],
)
def test_weights_that_a_loss_looks_through_count_and_not_where_they_lie(
    run: Path, fact: str, options: Callable[[str], dict[str, object]], said: str
) -> None:
    here, moved = looking_through(**options("/old/vgg.pth")), looking_through(**options("/new/vgg.pth"))
    finish(run, {**here, fact: ["abc"]})
    assert is_finished(run, {**moved, fact: ["abc"]}, resume=False)
    with pytest.raises(ConfigError, match=said):
        is_finished(run, {**here, fact: ["def"]}, resume=True)
    finish(run, here)  # an older version noted where they lay alone
    assert is_finished(run, {**here, fact: ["abc"]}, resume=False)
    with pytest.raises(ConfigError, match=r"was /old/vgg\.pth, is /new/vgg\.pth"):
        is_finished(run, {**moved, fact: ["abc"]}, resume=True)


def test_other_masks_are_noticed(run: Path) -> None:
    finish(run, FACTS)
    assert is_finished(run, {**FACTS, "masks": "abc"}, resume=False)  # an older version did not note them
    finish(run, {**FACTS, "masks": "abc"})
    assert is_finished(run, {**FACTS, "masks": "abc"}, resume=False)
    with pytest.raises(ConfigError, match="masks differ: it learned within other masks"):
        is_finished(run, {**FACTS, "masks": "def"}, resume=True)
    with pytest.raises(ConfigError, match=r"settings \(sources differ"):  # other cases have other masks
        is_finished(run, {**FACTS, "sources": ["T2w"], "masks": "def"}, resume=True)


def test_a_setting_that_came_later_was_at_its_default(run: Path) -> None:
    plan = to_plain(read_plan("osman2022", "cpu"))
    older = {**plan, "data": {name: value for name, value in plan["data"].items() if name != "context_steep"}}
    (run / "provenance.json").write_text(json.dumps({"stage": "train", **FACTS, "plan": older}))
    assert not is_finished(run, {**FACTS, "plan": plan}, resume=True)
    finish(run, {**FACTS, "plan": older})
    assert is_finished(run, {**FACTS, "plan": plan}, resume=False)
    other = {**plan, "data": {**plan["data"], "context_steep": 1}}
    with pytest.raises(ConfigError, match=r"plan\.data\.context_steep was 0, is 1"):
        is_finished(run, {**FACTS, "plan": other}, resume=True)
    gone = {**older, "data": {**older["data"], "no_more": 1}}
    (run / "provenance.json").write_text(json.dumps({"stage": "train", **FACTS, "plan": gone, "result": {}}))
    with pytest.raises(ConfigError, match=r"plan\.data\."):
        is_finished(run, {**FACTS, "plan": plan}, resume=True)
