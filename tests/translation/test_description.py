from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from recontrast.errors import CheckpointError, ConfigError, UnknownNameError
from recontrast.preparation.bank import Bank
from recontrast.preparation.normalize import Scale, ScaleSettings
from recontrast.translation.description import (
    DESCRIPTION,
    TranslatorDescription,
    description_to_json,
    read_description,
    subject_hash,
    translator_folder,
)


def test_json_holds_all_of_it(describe: Callable[..., TranslatorDescription], tmp_path: Path) -> None:
    about = describe(
        sources=("T1w", "ce-gadolinium_T1w"),
        neighbours=2,
        plane="sagittal",
        scale_settings=ScaleSettings(low=1.0),
        source_scales={"T1w": Scale("percentile", 1.0, 2.0)},
        training_subjects=(subject_hash("01"),),
    )
    (tmp_path / DESCRIPTION).write_text(json.dumps(description_to_json(about)))
    assert read_description(tmp_path) == about
    assert about.channels == 10


def test_a_run_and_its_translator_folder_are_both_accepted(save: Callable[..., Path]) -> None:
    run = save()
    assert translator_folder(run) == translator_folder(run / "translator") == run / "translator"


def test_subjects_are_hashed_without_their_prefix() -> None:
    assert subject_hash("sub-01") == subject_hash("01") != subject_hash("1")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"sources": ()}, "no source"),
        ({"sources": ("T1w", "T2w")}, "target T2w among its sources"),
        ({"sources": ("T1w", "T1w")}, "twice"),
        ({"neighbours": -1}, "negative"),
        ({"network_range": (1.0, 1.0)}, "range"),
        ({"spacing_mm": (0.0, 1.0, 1.0)}, "spacing"),
    ],
)
def test_impossible_descriptions_are_refused(
    describe: Callable[..., TranslatorDescription], changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(CheckpointError, match=words):
        describe(**changes)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda content: content.update(format=2), "format 2.*reads format 1"),
        (lambda content: content.pop("format"), "does not describe a translator"),
        (lambda content: content.update(plane="oblique"), "plane"),
        (lambda content: content.update(surces=["T1w"]), "surces.*did you mean 'sources'"),
        (lambda content: content.pop("target"), "target"),
        (lambda content: content["target_scale"].update(factor=0.0), "cannot be inverted"),
        (lambda content: content.update(sources=["T1w", "T/w"]), "T/w"),
    ],
)
def test_each_defect_of_the_file_has_its_line(
    save: Callable[..., Path], change: Callable[[dict[str, Any]], Any], words: str
) -> None:
    path = save() / "translator" / DESCRIPTION
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match=words) as error:
        read_description(path.parent)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_absent_folder_absent_translator_and_broken_json(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such folder"):
        read_description(tmp_path / "nowhere")
    with pytest.raises(CheckpointError, match="--resume"):
        read_description(tmp_path)
    (tmp_path / DESCRIPTION).write_text("{")
    with pytest.raises(CheckpointError, match="not valid JSON"):
        read_description(tmp_path)


def bank_of(*targets: str) -> Bank:
    return Bank(
        sources=("T1w", "PDw"), targets={label: Scale("fixed", 0.0, 100.0 * n) for n, label in enumerate(targets, 1)}
    )


def test_without_a_bank_nothing_of_it_is_written(describe: Callable[..., TranslatorDescription]) -> None:
    assert "bank" not in description_to_json(describe())


def test_a_bank_is_written_and_read_and_a_target_chosen(
    describe: Callable[..., TranslatorDescription], tmp_path: Path
) -> None:
    about = describe(sources=("T1w", "PDw"), target="", bank=bank_of("PDw", "T2w"))
    (tmp_path / DESCRIPTION).write_text(json.dumps(description_to_json(about)))
    assert read_description(tmp_path) == about
    assert about.channels == 6
    around = replace(about, context_voxels=((1.0, 1.0, 1.0),) * 4)
    assert around.channels == 6 + 2 * 4 + 3
    assert replace(around, context_steep=3).channels == 6 + 2 * (4 + 3) + 3
    made = about.making("PDw")
    assert (made.target, made.sources, made.target_scale.factor, made.channels) == ("PDw", ("T1w",), 100.0, 6)
    made = about.making("T2w")
    assert (made.sources, made.target_scale.factor) == (("T1w", "PDw"), 200.0)
    assert made.given(["PDw", "FLAIR"]).sources == ("PDw",)
    assert about.making("T2w", ["PDw"]).sources == ("PDw",)
    with pytest.raises(ConfigError, match="makes PDw, T2w: say which"):
        about.making("")
    with pytest.raises(UnknownNameError, match="target of this translator 'FLAIR'"):
        about.making("FLAIR")
    with pytest.raises(UnknownNameError, match="source of PDw"):
        about.making("PDw", ["PDw"])
    with pytest.raises(CheckpointError, match="other sources than its bank"):
        describe(sources=("T2starw",), target="", bank=bank_of("T2w"))
    with pytest.raises(CheckpointError, match="sees volumes, which"):
        describe(sources=("T1w", "PDw"), target="", bank=bank_of("T2w"), plane="volume")


def test_a_translator_of_one_target_has_no_choice(describe: Callable[..., TranslatorDescription]) -> None:
    about = describe()
    assert about.making("") is about.making("T2w") is about.given([]) is about
    with pytest.raises(ConfigError, match="this translator makes T2w, not FLAIR"):
        about.making("FLAIR")
    with pytest.raises(ConfigError, match="always needs T1w: leave out --source"):
        about.making("", ["T1w"])


def test_a_direction_does_not_tell_the_reason_of_the_one_before(
    describe: Callable[..., TranslatorDescription],
) -> None:
    bank = Bank(sources=("T1w", "PDw"), targets={"T2w": Scale("fixed", 0.0, 1000.0)})
    reasons = {"T1w + PDw to T2w": "too few heads"}
    about = describe(
        sources=bank.sources, target="", bank=bank, uncalibrated="left out", uncalibrated_directions=reasons
    )
    both = about.making("T2w")
    assert both.why_uncalibrated == "too few heads"
    assert both.given({"PDw"}).why_uncalibrated == "left out"
    assert describe(uncalibrated="no validation subject").why_uncalibrated == "no validation subject"
