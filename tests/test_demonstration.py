"""The whole way through the real command line, on a small simulated cohort, and what a user can do wrong on it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from recontrast import demonstration
from recontrast.execution.workers import Summary
from recontrast.io.tables import read_table
from recontrast.volume import Volume, same_grid

pytestmark = pytest.mark.slow

RECONTRAST = [sys.executable, "-m", "recontrast"]
SMALL = [
    "--subjects",
    "6",
    "--spacing-mm",
    "6",
    "--preset",
    "osman2022",
    "--minutes",
    "0",
    "--set",
    "loop.steps=30",
    "model.options.width=4",
    "loop.precision=fp32",
]


def recontrast(*arguments: object, status: int = 0) -> subprocess.CompletedProcess[str]:
    """Run the program as a user does, and check its exit status."""
    finished = subprocess.run([*RECONTRAST, *map(str, arguments)], capture_output=True, text=True, check=False)
    assert finished.returncode == status, finished.stderr
    return finished


def only_line(finished: subprocess.CompletedProcess[str]) -> str:
    """The one line the program said about what went wrong."""
    lines = [line for line in finished.stderr.splitlines() if line.startswith("recontrast: error")]
    assert len(lines) == 1, finished.stderr
    assert "Traceback" not in finished.stderr
    return lines[0]


@pytest.fixture(scope="module")
def whole_way(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `recontrast demo` makes of a small cohort."""
    out = tmp_path_factory.mktemp("demo")
    recontrast("demo", out, *SMALL)
    return out


def test_every_stage_leaves_its_result_with_provenance(whole_way: Path) -> None:
    for stage in ("cohort", "prepared", "run", "synthetic", "evaluation"):
        assert json.loads((whole_way / stage / "provenance.json").read_text())["settings"]
    assert (whole_way / "report.html").stat().st_size > 50_000


def test_synthetic_images_lie_on_the_prepared_grid_and_say_what_they_are(whole_way: Path) -> None:
    images = sorted((whole_way / "synthetic").rglob("*_desc-synthetic_FLAIR.nii.gz"))
    splits = read_table(whole_way / "prepared" / "splits.tsv")
    assert len(images) == (splits["split"] == "test").sum() > 0
    for path in images:
        made = nib.load(path)
        reference = nib.load(
            whole_way / "prepared" / path.relative_to(whole_way / "synthetic").parent
            / path.name.replace("desc-synthetic", "desc-prepared")
        )  # fmt: skip
        assert same_grid(
            Volume(np.asanyarray(made.dataobj), made.affine), Volume(np.asanyarray(reference.dataobj), reference.affine)
        )
        assert b"synthetic" in made.header["descrip"].tobytes()
        sidecar = json.loads(path.with_name(path.name.replace(".nii.gz", ".json")).read_text())
        assert sidecar["Synthetic"] is True
        assert sidecar["Sources"]


def test_evaluation_scores_the_translator_and_every_control(whole_way: Path) -> None:
    scores = read_table(whole_way / "evaluation" / "scores.tsv")
    assert set(scores["estimator"]) == {"synthetic", "identity", "affine", "quantile", "ridge", "boosting"}
    assert set(scores["protocol"]) == {"recontrast"}


def test_running_the_demo_again_changes_nothing(whole_way: Path) -> None:
    images = sorted((whole_way / "synthetic").rglob("*.nii.gz"))
    before = [(path, path.read_bytes()) for path in images]
    recontrast("demo", whole_way, *SMALL)
    assert [(path, path.read_bytes()) for path in images] == before


def test_a_demo_that_was_killed_while_it_trained_goes_on(whole_way: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    provenance = whole_way / "run" / "provenance.json"
    content = json.loads(provenance.read_text())
    del content["result"]  # stands there once the training has ended; its last checkpoint is older
    provenance.write_text(json.dumps(content))
    for stage in ("simulate", "prepare", "translate", "evaluate", "report"):
        monkeypatch.setattr(demonstration, stage, lambda settings: Summary([]))
    small = ("loop.steps=30", "model.options.width=4", "loop.precision=fp32")
    demonstration.demo(
        demonstration.DemoSettings(out=whole_way, subjects=6, spacing_mm=6, preset="osman2022", minutes=0, set=small)
    )
    assert "result" in json.loads(provenance.read_text())


def test_a_missing_source_fails_that_case_and_finishes_the_others(whole_way: Path, tmp_path: Path) -> None:
    scans = tmp_path / "scans"
    shutil.copytree(whole_way / "cohort", scans, ignore=shutil.ignore_patterns("derivatives"))
    (scans / "sub-01" / "anat" / "sub-01_FLAIR.nii.gz").unlink()
    prepared = recontrast("prepare", scans, tmp_path / "prepared", "--contrasts", "T1w", "FLAIR", status=3)
    assert "sub-01" in prepared.stderr
    assert "FLAIR" in prepared.stderr
    cases = read_table(tmp_path / "prepared" / "cases.tsv").set_index("case")
    assert cases.loc["sub-01", "status"] == "failed"
    assert (cases.drop(index="sub-01")["status"] == "ok").all()


def test_an_unknown_contrast_says_which_there_are(whole_way: Path, tmp_path: Path) -> None:
    finished = recontrast(
        "train", whole_way / "prepared", tmp_path / "run", "--source", "T1w", "--target", "PDw", status=2
    )
    assert "PDw" in only_line(finished)
    assert "there is: FLAIR, T1w" in only_line(finished)


def test_a_folder_that_cannot_be_written_is_one_line(whole_way: Path, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    finished = recontrast("translate", whole_way / "run", whole_way / "prepared", blocked / "out", status=2)
    assert str(blocked) in only_line(finished)


def test_a_disk_that_fills_up_keeps_what_was_finished(whole_way: Path, tmp_path: Path) -> None:
    """A file-size limit stands for the full disk: the first scan fits, a larger write does not."""
    out = tmp_path / "cohort"
    command = [*RECONTRAST, "simulate", out, "--subjects", "3", "--spacing-mm", "3", "--workers", "1"]
    limited = subprocess.run(
        ["bash", "-c", 'trap "" XFSZ; ulimit -f 40; exec "$@"', "limited", *map(str, command)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert limited.returncode in (2, 3), limited.stderr
    assert "Traceback" not in limited.stderr
    assert not list(out.rglob(".partial-*"))
    for path in out.rglob("*.nii.gz"):
        np.asanyarray(nib.load(path).dataobj)


def test_killed_in_the_middle_and_started_again_gives_the_same_bytes(tmp_path: Path) -> None:
    arguments = ["--subjects", "3", "--spacing-mm", "4", "--workers", "1"]
    recontrast("simulate", tmp_path / "undisturbed", *arguments)
    killed = subprocess.Popen(
        [*RECONTRAST, "simulate", str(tmp_path / "killed"), *arguments],
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + 120
    while not list((tmp_path / "killed").rglob("sub-02*_FLAIR.nii.gz")) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    recontrast("simulate", tmp_path / "killed", *arguments)
    for path in sorted((tmp_path / "undisturbed").rglob("*")):
        if path.is_file() and path.name != "provenance.json":
            twin = tmp_path / "killed" / path.relative_to(tmp_path / "undisturbed")
            assert twin.read_bytes() == path.read_bytes(), twin
    assert not list((tmp_path / "killed").rglob(".partial-*"))
