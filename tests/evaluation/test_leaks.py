"""The leak check against translator folders."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from recontrast.errors import ConfigError
from recontrast.evaluation.leaks import check_leaks
from recontrast.io.bids import Case
from recontrast.preparation.normalize import Scale
from recontrast.translation.description import Member, TranslatorDescription, description_to_json, subject_hash


@pytest.fixture
def translator(tmp_path: Path) -> Path:
    folder = tmp_path / "run" / "translator"
    folder.mkdir(parents=True)
    description = TranslatorDescription(
        preset="osman2022", sources=("T1w",), target="T2w", model=Member(name="unet"),
        recipe=Member(name="supervised"), target_scale=Scale("percentile", 0.0, 900.0), spacing_mm=(1, 1, 1),
        training_subjects=(subject_hash("01"), subject_hash("02")), validation_subjects=(subject_hash("03"),),
        weights_sha256="abc",
    )  # fmt: skip
    (folder / "translator.json").write_text(json.dumps(description_to_json(description)))
    return folder


def facts(folder: Path | str, weights: str = "abc") -> dict[str, str]:
    return {"folder": str(folder), "weights_sha256": weights, "preset": "osman2022"}


def test_held_out_subjects_pass(translator: Path, write_synthetic: Callable[..., Path], tmp_path: Path) -> None:
    images = {Case("04"): write_synthetic("04", facts=facts(translator))}
    check = check_leaks(images, tmp_path / "synthetic", allow=False)
    assert check.status == "passed"
    assert [dict(found) for found in check.translators] == [facts(translator)]


@pytest.mark.parametrize("named", ["absolute", "run", "relative"])
def test_training_subjects_are_refused(translator: Path, write_synthetic, tmp_path: Path, named: str) -> None:
    folder = {"absolute": translator, "run": translator.parent, "relative": "../run/translator"}[named]
    images = {Case(s): write_synthetic(s, facts=facts(folder)) for s in ("02", "04")}
    with pytest.raises(ConfigError, match=r"trained on sub-02,.*--allow-training-subjects"):
        check_leaks(images, tmp_path / "synthetic", allow=False)
    check = check_leaks(images, tmp_path / "synthetic", allow=True)
    assert check.status == "TRAINING SUBJECTS INCLUDED: sub-02"
    assert check.leaked == ("sub-02",)


def test_validation_subjects_may_be_evaluated_and_stand_in_the_status(
    translator: Path, write_synthetic: Callable[..., Path], tmp_path: Path
) -> None:
    images = {Case(s): write_synthetic(s, facts=facts(translator)) for s in ("03", "04")}
    check = check_leaks(images, tmp_path / "synthetic", allow=False)
    assert (check.status, check.validated, check.leaked) == ("VALIDATION SUBJECTS INCLUDED: sub-03", ("sub-03",), ())
    images[Case("05")] = write_synthetic("05", sidecar=False)
    check = check_leaks(images, tmp_path / "synthetic", allow=False)
    assert check.status == "VALIDATION SUBJECTS INCLUDED: sub-03; not possible for others"
    images[Case("01")] = write_synthetic("01", facts=facts(translator))
    check = check_leaks(images, tmp_path / "synthetic", allow=True)
    assert check.status == "TRAINING SUBJECTS INCLUDED: sub-01"
    assert (check.validated, check.leaked) == (("sub-03",), ("sub-01",))


def test_what_cannot_be_checked_is_said(translator: Path, write_synthetic, tmp_path: Path) -> None:
    others = {
        "without translator facts": write_synthetic("04", sidecar=False, folder="a"),
        "does not say where": write_synthetic("04", facts={"preset": "x"}, folder="b"),
        "can be read at": write_synthetic("04", facts=facts(tmp_path / "gone"), folder="c"),
        "other weights": write_synthetic("04", facts=facts(translator, "xyz"), folder="d"),
    }
    for said, path in others.items():
        check = check_leaks({Case("04"): path}, path.parents[2], allow=False)
        assert check.status == "not possible"
        assert said in check.reasons[0]
    assert check_leaks({}, tmp_path, allow=False).status == "not possible"


def test_a_translator_that_names_no_subjects_does_not_pass(translator: Path, write_synthetic, tmp_path: Path) -> None:
    path = translator / "translator.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "training_subjects": []}))
    check = check_leaks({Case("04"): write_synthetic("04", facts=facts(translator))}, tmp_path, allow=False)
    assert check.status == "not possible"
    assert check.reasons == ("the translator does not say which subjects it was trained on",)
