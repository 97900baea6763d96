"""An image that a case has already, under the target's name, with its own scale."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from recontrast.execution.workers import Summary
from recontrast.io.bids import read_sidecar
from recontrast.io.nifti import read_volume
from recontrast.preparation.cohort import read_cohort
from recontrast.preparation.normalize import Scale, ScaleSettings
from recontrast.study import score
from recontrast.study.as_is import as_is_origin, write_as_is


def test_the_image_is_copied_and_marked(make_prepared, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    cases = read_cohort(make_prepared()).cases
    assert write_as_is(cases, "T1w", "T2w", "scanner", tmp_path / "out", ScaleSettings(high=98.0)) == []
    made = tmp_path / "out" / cases[0].case.folder / "anat" / f"{cases[0].key}_desc-scanner_T2w.nii.gz"
    np.testing.assert_array_equal(read_volume(made).data, read_volume(cases[0].images["T1w"]).data)
    sidecar = read_sidecar(made)
    assert Scale.from_dict(sidecar["Scale"]) == cases[0].scales["T1w"]
    assert sidecar["ScaleSettings"]["high"] == 98.0  # `evaluate` brings it to the percentiles of a protocol
    assert "not translated" in sidecar["Description"]


def test_cases_without_the_contrast_are_named(make_prepared, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    cases = read_cohort(make_prepared()).cases
    assert write_as_is(cases, "PDw", "T2w", "scanner", tmp_path / "out", ScaleSettings()) == [
        case.key for case in cases
    ]


def test_what_was_copied_of_a_case_that_lost_it_is_removed(make_prepared, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    cases, out = read_cohort(make_prepared()).cases[:3], tmp_path / "out"
    write_as_is(cases, "T1w", "T2w", "scanner", out, ScaleSettings())
    other = out / cases[1].case.folder / "anat" / "notes.txt"
    other.write_text("not ours")
    lacking = replace(cases[1], images={label: path for label, path in cases[1].images.items() if label != "T1w"})
    assert write_as_is((cases[0], lacking), "T1w", "T2w", "scanner", out, ScaleSettings()) == [lacking.key]
    left = {path.name for path in out.rglob("*") if path.is_file() and path.name.startswith("sub-")}
    assert left == {f"{cases[0].key}_desc-scanner_T2w{extension}" for extension in (".nii.gz", ".json")}
    assert other.is_file()


def test_an_evaluation_of_images_on_another_scale_is_not_kept(
    make_prepared,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,  # type: ignore[no-untyped-def]
) -> None:
    """Also where it does not say of which prepared images it is: so it is with those of older versions."""
    cohort = read_cohort(make_prepared())
    evaluated = []

    def evaluate(settings: score.EvaluateSettings) -> Summary:
        evaluated.append(settings.protocol)
        return Summary([])

    monkeypatch.setattr(score, "evaluate", evaluate)
    monkeypatch.setattr(score, "prepared_id", lambda _: "not told")
    scoring = score.Scoring(cohort.folder, "test", None, 1)
    for scale in (ScaleSettings(), ScaleSettings(), ScaleSettings(high=98.0), ScaleSettings(low=1.0)):
        origin = as_is_origin("untranslated", "T1w", replace(cohort, scale_settings=scale))
        score.score_images(tmp_path / "untranslated", origin, scoring, "bottani2024", {})
    assert len(evaluated) == 3
    others = [("scanner", "T1w"), ("untranslated", "PDw")]
    assert len({as_is_origin(*other, cohort) for other in [*others, ("untranslated", "T1w")]}) == 3
