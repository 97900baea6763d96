"""`recontrast translate`: what it takes, what it writes beside the images, and what it refuses."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from tests.translation.conftest import TORCH, UNET, contents

from recontrast.errors import (
    CheckpointError,
    ConfigError,
    FormatError,
    GeometryError,
    IntensityError,
    OutputError,
    RecontrastWarning,
    UnknownNameError,
)
from recontrast.io.bids import read_sidecar
from recontrast.io.nifti import read_volume, write_volume
from recontrast.io.tables import read_table
from recontrast.models import MODELS
from recontrast.preparation.cohort import read_cohort
from recontrast.preparation.normalize import fit_scale
from recontrast.preparation.pipeline import PrepareSettings, prepare
from recontrast.translation import command
from recontrast.translation.cases import Selection, find_cases
from recontrast.translation.command import TranslateSettings, translate, translate_there
from recontrast.translation.description import Member, read_description, subject_hash
from recontrast.translation.translator import save_translator
from recontrast.volume import Volume


def test_a_data_set_is_translated_and_what_cannot_be_is_listed(
    save: Callable[..., Path], data_set: Path, tmp_path: Path
) -> None:
    run = save(sources=("T1w", "PDw"), model=UNET, training_subjects=(subject_hash("99"),))
    before = contents(data_set)
    out = tmp_path / "out"
    summary = translate(TranslateSettings(run=run, input=data_set, out=out, **TORCH))
    assert list(summary.failed) == ["sub-03_ses-1"]
    assert "has no T1w" in summary.failed["sub-03_ses-1"]
    assert contents(data_set) == before
    image = out / "sub-03/ses-2/anat/sub-03_ses-2_desc-synthetic_T2w.nii.gz"
    source = read_volume(data_set / "sub-03/ses-2/anat/sub-03_ses-2_T1w.nii.gz")
    result = read_volume(image)
    assert result.shape == source.shape
    assert np.array_equal(result.affine, source.affine)
    assert b"not for diagnosis" in bytes(nib.load(image).header["descrip"])
    table = read_table(out / "cases.tsv", text_columns=("subject", "session")).set_index("case")
    assert list(table["status"]) == ["ok", "ok", "failed", "ok"]
    provenance = json.loads((out / "provenance.json").read_text())
    assert provenance["stage"] == "translate"
    assert len(provenance["inputs"]) == 6
    assert json.loads((out / "dataset_description.json").read_text())["DatasetType"] == "derivative"


@pytest.mark.slow
def test_same_input_same_bytes_with_any_number_of_workers(
    save: Callable[..., Path], data_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = save(model=UNET)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # what the processes get; PyTorch adds up otherwise with more threads
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    results = []
    for number, workers in enumerate((1, 3)):
        out = tmp_path / f"out{number}"
        translate(TranslateSettings(run=run, input=data_set, out=out, workers=workers, **TORCH))
        results.append(contents(out))
    torch.set_num_threads(before)
    assert results[0] == results[1]


@pytest.mark.slow
def test_a_process_that_needs_more_than_it_may_fails_with_its_case_only(
    save: Callable[..., Path], data_set: Path, tmp_path: Path
) -> None:
    affine = np.diag([0.1, 0.1, 3, 1])
    write_volume(
        data_set / "sub-04/anat/sub-04_T1w.nii.gz",
        Volume(np.random.default_rng(0).random((1700, 1700, 2), np.float32), affine),
    )
    job = {"run": save(model=UNET), "input": data_set, "subjects": ("01", "04"), "workers": 2, "distance": False}
    summary = translate(TranslateSettings(out=tmp_path / "out", memory_gb=1.0, **job, **TORCH))
    assert list(summary.failed) == ["sub-04"]
    assert "not enough memory for this case" in summary.failed["sub-04"]
    assert len(list((tmp_path / "out").rglob("*_desc-synthetic_T2w.nii.gz"))) == 1


def test_a_worker_that_outlives_a_command_does_not_use_the_former_weights(
    save: Callable[..., Path], data_set: Path, tmp_path: Path
) -> None:
    run = save()
    case = find_cases(data_set, read_description(run), Selection(subjects=("01",)))[0]
    means = []
    for factor in (1.0, 2.0):
        network = MODELS.build("copy", {})
        torch.nn.init.constant_(network.weight, factor)
        save_translator(run / "translator", network, read_description(run))
        settings = TranslateSettings(run=run, input=data_set, out=tmp_path / "out", **TORCH)
        translate_there(case, settings, read_description(run).weights_sha256)
        means.append(read_volume(settings.out / case.output).data.mean())
    assert means[1] == pytest.approx(2 * means[0], rel=1e-5)
    with pytest.raises(CheckpointError, match="another translator"):
        translate_there(case, settings, "0")


@pytest.mark.slow
def test_warnings_of_other_processes_are_said_here(save: Callable[..., Path], data_set: Path, tmp_path: Path) -> None:
    run = save(model=UNET, spacing_mm=(9.0, 9.0, 9.0))
    for workers in (1, 2):
        with pytest.warns(RecontrastWarning, match="learned on 9x9x9 mm") as said:
            translate(TranslateSettings(run=run, input=data_set, out=tmp_path / str(workers), workers=workers, **TORCH))
        assert {str(warning.message).split(":")[0] for warning in said} == {"sub-01", "sub-02", "sub-03_ses-2"}


def test_one_file_into_a_named_file_and_into_a_folder(
    save: Callable[..., Path], data_set: Path, tmp_path: Path
) -> None:
    run = save()
    source = data_set / "sub-01/anat/sub-01_T1w.nii.gz"
    named = tmp_path / "my_synthetic.nii"
    summary = translate(TranslateSettings(run=run, input=source, out=named, **TORCH))
    assert "wrote" in summary.done[0]
    assert sorted(path.name for path in tmp_path.glob("my*")) == ["my_synthetic.json", "my_synthetic.nii"]
    assert "kept" in translate(TranslateSettings(run=run, input=source, out=named, **TORCH)).done[0]
    out = tmp_path / "out"
    other = data_set / "sub-02/anat/sub-02_T1w.nii.gz"
    for path in (source, other):
        translate(TranslateSettings(run=run, input=path, out=out, **TORCH))
    assert sorted(path.name for path in out.glob("*.nii.gz")) == [
        f"sub-{n}_desc-synthetic_T2w.nii.gz" for n in ("01", "02")
    ]
    assert len(read_table(out / "cases.tsv")) == 2
    assert len(json.loads((out / "provenance.json").read_text())["inputs"]) == 2
    assert np.array_equal(read_volume(named).data, read_volume(out / "sub-01_desc-synthetic_T2w.nii.gz").data)


def test_single_files_of_one_name_do_not_overwrite_each_other(
    save: Callable[..., Path], tmp_path: Path, make_volume: Callable[..., Volume]
) -> None:
    """`for p in */t1.nii.gz; do recontrast translate run $p out; done` left the last patient only."""
    run, out = save(), tmp_path / "out"
    for seed, name in enumerate(("alice", "bob")):
        write_volume(tmp_path / name / "t1.nii.gz", make_volume(seed=seed))
    alice, bob = (
        TranslateSettings(run=run, input=tmp_path / n / "t1.nii.gz", out=out, **TORCH) for n in ("alice", "bob")
    )
    translate(alice)
    before = contents(out)
    with pytest.raises(
        ConfigError, match=r"bob.t1\.nii\.gz: .* was made from \.\./alice/t1\.nii\.gz; name another folder"
    ):
        translate(bob)
    assert contents(out) == before
    write_volume(alice.input, make_volume(seed=3))
    translate(alice)  # the same file with other content
    assert contents(out) != before
    bob.input.write_bytes(alice.input.read_bytes())
    translate(bob)  # the same content in another place


@pytest.mark.slow
def test_a_prepared_folder_by_split_with_the_scales_of_preparation(
    save: Callable[..., Path], data_set: Path, tmp_path: Path
) -> None:
    prepared, out = tmp_path / "prepared", tmp_path / "out"
    prepare(
        PrepareSettings(
            bids=data_set, out=prepared, contrasts=("T1w", "PDw"), align=False, test=("02", "03"), validation=("01",)
        )
    )
    run = save(sources=("T1w",))
    summary = translate(TranslateSettings(run=run, input=prepared, out=out, split="test", **TORCH))
    assert list(summary.failed) == ["sub-03_ses-1"]
    assert "was not prepared" in summary.failed["sub-03_ses-1"]
    cohort = read_cohort(prepared)
    assert len(cohort.split("test")) == 2
    for case in cohort.split("test"):
        image = out / case.case.folder / "anat" / f"{case.key}_desc-synthetic_T2w.nii.gz"
        source = read_volume(case.images["T1w"])
        expected = 1000 * case.scales["T1w"].apply(source.data)
        assert np.allclose(read_volume(image).data, expected, atol=0.05)
        assert read_sidecar(image)["SourceScales"]["T1w"] == case.scales["T1w"].to_dict()
    assert len(list(out.rglob("*.nii.gz"))) == 2


def test_several_sources_given_as_files(save: Callable[..., Path], data_set: Path, tmp_path: Path) -> None:
    run = save(sources=("T1w", "PDw"), model=Member(name="copy", options={"channel": 1}))
    anat = data_set / "sub-01" / "anat"
    out = tmp_path / "synthetic.nii.gz"
    settings = TranslateSettings(
        run=run, input=anat / "sub-01_T1w.nii.gz", also=(f"PDw={anat / 'sub-01_PDw.nii.gz'}",), out=out, **TORCH
    )
    translate(settings)
    second = read_volume(anat / "sub-01_PDw.nii.gz")
    assert np.allclose(read_volume(out).data, 1000 * fit_scale(second).apply(second.data), atol=0.5)


def test_a_plain_folder_of_files(save: Callable[..., Path], tmp_path: Path, make_volume: Callable[..., Volume]) -> None:
    scans = tmp_path / "scans"
    for name in ("head one", "sub-05_FLAIR"):
        write_volume(scans / f"{name}.nii.gz", make_volume())
    summary = translate(TranslateSettings(run=save(), input=scans, out=tmp_path / "out", **TORCH))
    assert not summary.failed
    assert "1 files skipped" in summary.done[0]
    assert [path.name for path in (tmp_path / "out").glob("*.nii.gz")] == ["head one_desc-synthetic_T2w.nii.gz"]


def test_bad_cases_do_not_stop_the_good_ones(
    save: Callable[..., Path], data_set: Path, tmp_path: Path, make_volume: Callable[..., Volume]
) -> None:
    run = save(sources=("T1w", "PDw"), model=UNET)
    anat = data_set / "sub-01" / "anat"
    write_volume(anat / "sub-01_PDw.nii.gz", make_volume((20, 24, 17)))
    (data_set / "sub-02/anat/sub-02_T1w.nii.gz").write_bytes(b"not an image")
    summary = translate(TranslateSettings(run=run, input=data_set, out=tmp_path / "out", **TORCH))
    assert "recontrast prepare" in summary.failed["sub-01"]
    assert "sub-02_T1w.nii.gz" in summary.failed["sub-02"]
    assert set(summary.failed) == {"sub-01", "sub-02", "sub-03_ses-1"}
    assert all("\n" not in reason for reason in summary.failed.values())
    assert len(list((tmp_path / "out").rglob("*.nii.gz"))) == 1


def test_a_bad_single_file_is_the_error_itself(
    save: Callable[..., Path], tmp_path: Path, make_volume: Callable[..., Volume]
) -> None:
    run, volume, source = save(), make_volume(), tmp_path / "head.nii.gz"
    settings = TranslateSettings(run=run, input=source, out=tmp_path / "synthetic.nii.gz", **TORCH)
    for data in (np.zeros_like(volume.data), np.full_like(volume.data, np.nan), np.full_like(volume.data, 7)):
        write_volume(source, volume.with_data(data))
        with pytest.raises(IntensityError, match=r"head\.nii\.gz"):
            translate(settings)
    nib.save(nib.Nifti1Image(np.ones((4, 4, 4, 2), np.float32), np.eye(4)), source)
    with pytest.raises(FormatError, match="4 axes"):
        translate(settings)
    write_volume(source, volume)
    other = tmp_path / "pd.nii.gz"
    write_volume(other, make_volume((20, 24, 17)))
    two = save(tmp_path / "two", sources=("T1w", "PDw"))
    with pytest.raises(GeometryError, match="grids differ"):
        translate(TranslateSettings(run=two, input=source, also=(f"PDw={other}",), out=settings.out, **TORCH))
    assert not (tmp_path / "synthetic.nii.gz").exists()


def test_wrong_settings_and_wrong_places(save: Callable[..., Path], data_set: Path, tmp_path: Path) -> None:
    run = save()
    source = data_set / "sub-01/anat/sub-01_T1w.nii.gz"
    with pytest.raises(UnknownNameError, match="dtype"):
        translate(TranslateSettings(run=run, input=data_set, out=tmp_path / "o", dtype="int16"))  # type: ignore[arg-type]
    with pytest.raises(UnknownNameError, match="did you mean 'torch'"):
        translate(TranslateSettings(run=run, input=data_set, out=tmp_path / "o", engine="torsch"))  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="workers"):
        translate(TranslateSettings(run=run, input=data_set, out=tmp_path / "o", workers=0))
    with pytest.raises(CheckpointError, match="no such folder"):
        translate(TranslateSettings(run=tmp_path / "no", input=data_set, out=tmp_path / "o"))
    with pytest.raises(ConfigError, match="for example"):
        translate(TranslateSettings(run=run, input=source, out=tmp_path / "T2w.nii.gz"))
    with pytest.raises(ConfigError, match="must not be mixed"):
        translate(TranslateSettings(run=run, input=data_set, out=data_set))
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        translate(TranslateSettings(run=run, input=data_set, out=tmp_path / "file" / "out", **TORCH))
    assert not (tmp_path / "o").exists()


def test_reading_and_writing_overlap_with_the_network(
    save: Callable[..., Path], data_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    active, most = 0, 0
    lock, original = threading.Lock(), command.translate_case

    def watched(*arguments: Any) -> Any:
        nonlocal active, most
        with lock:
            active += 1
            most = max(most, active)
        time.sleep(0.05)
        try:
            return original(*arguments)
        finally:
            with lock:
                active -= 1

    monkeypatch.setattr(command, "translate_case", watched)
    translate(TranslateSettings(run=save(), input=data_set, out=tmp_path / "out", workers=1, **TORCH))
    assert most == 2


def test_an_input_is_never_overwritten(
    save: Callable[..., Path], tmp_path: Path, make_volume: Callable[..., Volume]
) -> None:
    source, link = tmp_path / "scan.nii.gz", tmp_path / "my_synthetic.nii.gz"
    write_volume(source, make_volume())
    link.symlink_to(source)
    (tmp_path / "my_synthetic.json").write_text('{"Synthetic": true}')
    before = source.read_bytes()
    with pytest.raises(ConfigError, match="would be overwritten"):
        translate(TranslateSettings(run=save(), input=source, out=link, **TORCH))
    with pytest.raises(ConfigError, match="is itself synthetic"):
        translate(TranslateSettings(run=save(), input=link, out=link, **TORCH))
    assert source.read_bytes() == before


@pytest.mark.slow
def test_the_bids_validator_finds_no_error(save: Callable[..., Path], data_set: Path, tmp_path: Path) -> None:
    program = Path(sys.executable).with_name("bids-validator-deno")
    if not program.is_file():
        pytest.skip("bids-validator-deno is not installed (extra `test`)")
    translate(TranslateSettings(run=save(), input=data_set, out=tmp_path / "out", **TORCH))
    command = [program, tmp_path / "out", "--format", "json"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    if not ran.stdout.startswith("{"):
        pytest.skip(f"bids-validator-deno does not run here: {ran.stderr[:200]}")
    issues = json.loads(ran.stdout)["issues"]["issues"]
    assert [issue for issue in issues if issue.get("severity") == "error"] == []
