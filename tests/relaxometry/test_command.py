"""`recontrast synthesize` on files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from recontrast.errors import ConfigError, UnknownNameError
from recontrast.io.bids import Case, read_sidecar, write_sidecar
from recontrast.io.nifti import read_volume, write_volume
from recontrast.io.tables import read_table
from recontrast.relaxometry.command import SynthesizeSettings, synthesize
from recontrast.relaxometry.results import write_cases
from recontrast.volume import Volume

TIMES = {"T1map": (0.84, 1.33, 4.3), "T2map": (0.074, 0.1, 1.8), "PDmap": (0.7, 0.82, 1.0)}


@pytest.fixture
def maps(tmp_path: Path, oblique_affine: np.ndarray) -> Path:
    """Two subjects of white matter, grey matter and CSF, with air around."""
    rng = np.random.default_rng(0)
    tissue = np.pad(rng.integers(0, 3, (8, 9, 6)), 2, constant_values=-1)
    for subject in ("01", "02"):
        for suffix, values in TIMES.items():
            data = np.array([*values, 0.0])[tissue].astype(np.float32)
            path = tmp_path / "maps" / f"sub-{subject}" / "anat" / f"sub-{subject}_{suffix}.nii.gz"
            write_volume(path, Volume(data, oblique_affine))
            write_sidecar(path, {"Units": "arbitrary" if suffix == "PDmap" else "s"})
    return tmp_path / "maps"


def test_images_are_the_formula_and_say_that_they_are_synthetic(maps: Path, tmp_path: Path) -> None:
    out = tmp_path / "bloch"
    summary = synthesize(SynthesizeSettings(maps=maps, out=out, tr=9000.0, te=124.0, ti=2472.0, workers=1))
    assert summary.done == [f"synthesized FLAIR TR/TE/TI 9000/124/2472 ms of 2 cases in {out}"]
    path = out / "sub-01" / "anat" / "sub-01_desc-synthetic_FLAIR.nii.gz"
    image = read_volume(path)
    source = {suffix: read_volume(maps / "sub-01" / "anat" / f"sub-01_{suffix}.nii.gz") for suffix in TIMES}
    t1, t2, pd = (source[name].data for name in TIMES)
    inside = pd > 0
    expected = pd[inside] * np.abs(1 - 2 * np.exp(-2.472 / t1[inside]) + np.exp(-9 / t1[inside]))
    np.testing.assert_allclose(image.data[inside], expected * np.exp(-0.124 / t2[inside]), rtol=1e-4)
    assert (image.data[~inside] == 0).all()
    np.testing.assert_allclose(image.affine, source["PDmap"].affine)
    sidecar = read_sidecar(path)
    assert sidecar["Synthetic"] is True
    assert sidecar["ScaleSettings"]["high"] == 99.9
    assert "not" in sidecar["SyntheticStatement"]
    assert (sidecar["RepetitionTime"], sidecar["EchoTime"], sidecar["InversionTime"]) == (9.0, 0.124, 2.472)
    assert sidecar["Sources"] == [f"sub-01/anat/sub-01_{name}.nii.gz" for name in TIMES]
    assert json.loads((out / "dataset_description.json").read_text())["DatasetType"] == "derivative"
    assert json.loads((out / "provenance.json").read_text())["stage"] == "synthesize"


def test_a_case_that_cannot_be_made_fails_alone_and_writes_nothing(maps: Path, tmp_path: Path) -> None:
    (maps / "sub-02" / "anat" / "sub-02_T2map.nii.gz").unlink()
    summary = synthesize(SynthesizeSettings(maps=maps, out=tmp_path / "out", workers=1))
    assert list(summary.failed) == ["sub-02"]
    assert "no T2 map" in summary.failed["sub-02"]
    assert not (tmp_path / "out" / "sub-02").exists()
    assert (tmp_path / "out" / "sub-01").is_dir()


def test_a_case_that_fails_now_has_no_image_of_an_earlier_run(maps: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    settings = SynthesizeSettings(maps=maps, out=out, workers=1)
    synthesize(settings)
    path = maps / "sub-01" / "anat" / "sub-01_T1map.nii.gz"
    image = read_volume(path)
    write_volume(path, image.with_data(np.full_like(image.data, np.nan)))
    for lost in (maps / "sub-02").rglob("*map.*"):
        lost.unlink()
    write_cases(maps, [Case("01"), Case("02")], {"sub-02": "the order is wrong"})  # as `quantify` does
    summary = synthesize(settings)
    assert "NaN" in summary.failed["sub-01"]
    assert summary.failed["sub-02"] == "has no maps: the order is wrong"
    assert "of 0 cases" in summary.done[0]
    assert not list(out.rglob("*FLAIR*"))
    assert read_table(out / "cases.tsv")["status"].tolist() == ["failed", "failed"]


def test_again_is_fine_and_other_settings_are_refused(maps: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = SynthesizeSettings(maps=maps, out=out, sequence="T1w", subjects=("sub-01",), workers=1)
    synthesize(first)
    assert not (out / "sub-02").exists()
    synthesize(first)
    with pytest.raises(ConfigError, match="other settings"):
        synthesize(SynthesizeSettings(maps=maps, out=out, sequence="T2w", workers=1))


def test_places_where_nothing_must_be_written(maps: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="lies in the input"):
        synthesize(SynthesizeSettings(maps=maps, out=maps))
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.txt").write_text("mine")
    with pytest.raises(ConfigError, match="holds other files"):
        synthesize(SynthesizeSettings(maps=maps, out=other))
    with pytest.raises(UnknownNameError, match="03"):
        synthesize(SynthesizeSettings(maps=maps, out=tmp_path / "new", subjects=("03",)))
    assert not (tmp_path / "new").exists()


def test_a_killed_run_can_be_started_again(maps: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = SynthesizeSettings(maps=maps, out=tmp_path / "out", workers=1)

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    (tmp_path / "out").mkdir()
    (tmp_path / "out" / ".partial-1.x-provenance.json").write_text("{")  # killed at the very first file
    with monkeypatch.context() as patched:
        patched.setattr("recontrast.relaxometry.command.run_cases", killed)
        with pytest.raises(KeyboardInterrupt):
            synthesize(settings)
    assert synthesize(settings).failed == {}
    assert not list((tmp_path / "out").rglob(".partial-*"))
