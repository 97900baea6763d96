"""The command: settings, resuming, determinism, BIDS."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from recontrast.errors import ConfigError, OutputError, RecontrastError
from recontrast.io.bids import Case
from recontrast.phantom.cohort import SimulateSettings, check, plan_subject, simulate
from recontrast.phantom.subject import record_path

SETTINGS = {"subjects": 4, "spacing_mm": 6.0, "contrasts": ("T1w", "FLAIR"), "workers": 1}
"""Those of the fixture `small_cohort`."""


def images_and_sidecars(folder: Path) -> dict[str, bytes]:
    """All files but provenance (which has the time in it) and the table of participants."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in ("provenance.json", "participants.tsv")
    }


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_same_seed_same_bytes_with_any_number_of_workers_and_subjects(small_cohort, tmp_path, workers):
    out = tmp_path / "again"
    settings = SimulateSettings(out=out, **{**SETTINGS, "subjects": 2, "workers": workers})
    assert not simulate(settings).failed
    again, before = images_and_sidecars(out), images_and_sidecars(small_cohort)
    assert len(again) > 50
    assert all(before[name] == content for name, content in again.items())


def test_another_seed_gives_other_heads(small_cohort, tmp_path):
    simulate(SimulateSettings(out=tmp_path, **{**SETTINGS, "subjects": 1, "contrasts": ("T1w",)}, seed=1))
    name = "sub-01/anat/sub-01_T1w.nii.gz"
    assert (tmp_path / name).read_bytes() != (small_cohort / name).read_bytes()


def test_a_stopped_run_goes_on_and_can_be_enlarged(small_cohort, tmp_path):
    out = tmp_path / "bids"
    shutil.copytree(small_cohort, out)
    record_path(out, Case("03")).unlink()
    (out / "sub-01" / "anat" / ".partial-99-sub-01_T1w.nii.gz").write_bytes(b"half")
    image = out / "sub-01" / "anat" / "sub-01_T1w.nii.gz"
    stamp = image.stat().st_mtime_ns
    summary = simulate(SimulateSettings(out=out, **{**SETTINGS, "subjects": 4}))
    assert summary.done[0].startswith("simulated 1 subject")
    assert "kept 3" in summary.done[1]
    assert image.stat().st_mtime_ns == stamp
    assert not list(out.rglob(".partial-*"))
    assert images_and_sidecars(out) == images_and_sidecars(small_cohort)


def test_other_settings_are_not_mixed_in(small_cohort):
    for change in ({"snr": 20.0}, {"contrasts": ("T1w",)}, {"subjects": 2}):
        with pytest.raises(ConfigError, match="choose another folder"):
            simulate(SimulateSettings(out=small_cohort, **{**SETTINGS, **change}))


def test_a_cohort_of_an_older_version_had_the_defaults_of_newer_settings(small_cohort, tmp_path):
    out = tmp_path / "bids"
    shutil.copytree(small_cohort, out)
    record = json.loads((out / "provenance.json").read_text())
    for name in ("transmit", "gain"):
        del record["settings"][name]
    (out / "provenance.json").write_text(json.dumps(record))
    assert "kept 4" in simulate(SimulateSettings(out=out, **SETTINGS)).done[1]


def test_a_folder_of_other_subjects_is_left_alone(tmp_path):
    (tmp_path / "sub-01").mkdir()
    with pytest.raises(ConfigError, match="not simulated here"):
        simulate(SimulateSettings(out=tmp_path, **SETTINGS))


def test_a_damaged_provenance_is_named(tmp_path):
    (tmp_path / "provenance.json").write_text("{")
    with pytest.raises(ConfigError, match="cannot be read"):
        simulate(SimulateSettings(out=tmp_path, **SETTINGS))


def test_a_file_in_place_of_the_folder_is_named(tmp_path):
    (tmp_path / "out").write_text("")
    with pytest.raises(OutputError, match="cannot write"):
        simulate(SimulateSettings(out=tmp_path / "out", **SETTINGS))


BAD = [
    ({"subjects": 0}, "subjects must be at least 1"),
    ({"workers": 0}, "workers must be at least 1"),
    ({"spacing_mm": 0.1}, "spacing_mm must lie between"),
    ({"snr": -3.0}, "snr must be a number of at least 0, got -3"),
    ({"snr": float("nan")}, "snr must be a number of at least 0"),
    ({"motion": -1.0}, "motion must be a number of at least 0"),
    ({"bias": float("inf")}, "bias must be a number of at least 0"),
    ({"slice_gap_mm": 1.0}, "needs slice_mm"),
    ({"transmit": 0.5}, "more than 0.3 is no field"),
    ({"gain": -1.0}, "gain must be a number of at least 0"),
    ({"inversion_efficiency": 0.0}, "inversion_efficiency must lie above 0"),
    ({"seed": -1}, "seed must be at least 0"),
    ({"pathology": "stroke"}, "unknown pathology 'stroke'"),
    ({"contrasts": ()}, "contrasts is empty"),
    ({"contrasts": ("T1w", "T1w")}, "names one of them twice"),
    ({"contrasts": ("T1",)}, "did you mean 'T1w'"),
    ({"field_strength_t": 7.0}, r"known at 1\.5 and 3 T"),
    ({"labels": Path("absent.nii.gz")}, "no such label map"),
    ({"label_table": Path("table.tsv")}, "without labels"),
    ({"random_contrast": True, "scanners": ("mprage-3t",)}, "give either"),
    ({"random_contrast": True, "low_quality": 0.1}, "give either"),
]


@pytest.mark.parametrize(("change", "message"), BAD)
def test_bad_settings_are_one_clear_line(tmp_path, change, message):
    with pytest.raises(RecontrastError, match=message) as caught:
        simulate(replace(SimulateSettings(out=tmp_path / "out"), **change))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_defaults_are_good():
    check(SimulateSettings(out=Path("out")))


def test_mixed_pathology_takes_turns_and_does_not_depend_on_the_number_of_subjects():
    settings = SimulateSettings(out=Path("out"))
    kinds = [plan_subject(settings, i)["pathology"] for i in range(8)]
    assert kinds[:4] == kinds[4:]
    assert len(set(kinds)) == 4
    assert plan_subject(replace(settings, pathology="ms"), 3)["pathology"] == "ms"


def test_a_failed_subject_is_listed_and_the_others_are_finished(tmp_path, monkeypatch):
    from recontrast.errors import DataError
    from recontrast.phantom import cohort

    def sometimes(settings, index, plan):
        if index == 1:
            raise DataError("no white matter")

    monkeypatch.setattr(cohort, "simulate_subject", sometimes)
    summary = simulate(SimulateSettings(out=tmp_path, **{**SETTINGS, "subjects": 3}))
    assert summary.failed == {"sub-02": "no white matter"}
    assert summary.done[0].startswith("simulated 2 subjects")


def errors_of_validator(folder: Path) -> list[str]:
    program = Path(sys.executable).with_name("bids-validator-deno")
    if not program.is_file():
        pytest.skip("bids-validator-deno is not installed (extra `test`)")
    ran = subprocess.run(
        [program, folder, "--format", "json"], capture_output=True, text=True, timeout=120, check=False
    )
    if not ran.stdout.strip():
        pytest.skip(f"bids-validator-deno does not run here: {ran.stderr[:200]}")
    issues = json.loads(ran.stdout)["issues"]["issues"]
    return [f"{issue['code']} {issue['location']}" for issue in issues if issue["severity"] == "error"]


@pytest.mark.slow
def test_raw_data_and_truth_are_valid_bids(small_cohort, tmp_path):
    assert errors_of_validator(small_cohort) == []
    assert errors_of_validator(small_cohort / "derivatives" / "truth") == []
    simulate(
        SimulateSettings(
            out=tmp_path, subjects=1, spacing_mm=8.0, workers=1, slice_mm=10.0, slice_gap_mm=2.0,
            contrasts=("MESE", "acq-localizer_T1w", "acq-space_T2w", "ce-gadolinium_T1w", "T2starw", "PDw"),
        )
    )  # fmt: skip
    assert errors_of_validator(tmp_path) == []
