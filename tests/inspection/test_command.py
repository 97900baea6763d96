"""`recontrast inspect` on folders: a translator, images somebody made, and what is wrong with them."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from recontrast.contrasts import Contrast
from recontrast.errors import ConfigError, LayoutError, UnknownNameError
from recontrast.inspection import command
from recontrast.inspection.bench import Material, load_bench
from recontrast.inspection.command import InspectSettings, inspect
from recontrast.io.bids import BidsName, Case
from recontrast.io.nifti import read_volume, write_volume
from recontrast.io.tables import read_table
from recontrast.models import MODELS
from recontrast.preparation.bank import Bank
from recontrast.preparation.normalize import Scale
from recontrast.preparation.pipeline import PrepareSettings, prepare
from recontrast.provenance import write_provenance
from recontrast.translation.engines.choice import EngineSettings
from recontrast.translation.translator import Member, TranslatorDescription, load_translator, save_translator
from recontrast.volume import Volume

AFFINE = np.diag([3.0, 3, 4, 1])
QUICK = ("table", "grid", "window")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cohort")
    i, j, k = np.meshgrid(*[np.linspace(-1, 1, n) for n in (36, 40, 14)], indexing="ij")
    radius = np.sqrt(i**2 + j**2 + k**2) / 0.85
    for n in (1, 2, 3):
        noise = np.random.default_rng(n).standard_normal(radius.shape)
        t1w = np.where(radius < 0.7, 700, np.where(radius < 1, 450, 0)) + 5 * noise
        flair = np.where(radius < 0.7, 400, np.where(radius < 1, 650, 0)) + 5 * noise
        for label, data in (("T1w", t1w), ("FLAIR", flair)):
            if n == 3 and label == "FLAIR":
                continue
            path = folder / "bids" / f"sub-{n:02d}" / "anat" / f"sub-{n:02d}_{label}.nii.gz"
            write_volume(path, Volume(np.abs(data).astype(np.float32), AFFINE), np.float32)
    (folder / "bids" / "dataset_description.json").write_text('{"Name": "toy", "BIDSVersion": "1.9.0"}')
    prepare(PrepareSettings(
        bids=folder / "bids", out=folder / "prepared", contrasts=("T1w",), test=("02",), workers=1, align=False,
    ))  # fmt: skip
    return folder / "prepared"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    options = {"width": 2, "depth": 2, "in_channels": 1, "out_channels": 1, "spatial_dims": 2}
    about = TranslatorDescription(
        preset="toy", sources=("T1w",), target="FLAIR", model=Member(name="unet", options=options),
        recipe=Member(name="supervised"), target_scale=Scale("percentile", 0.0, 700.0), spacing_mm=(3.0, 3.0, 4.0),
    )  # fmt: skip
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("run")
    return save_translator(folder / "translator", MODELS.build("unet", options), about).parent


@pytest.mark.slow
def test_a_translator_of_unknown_origin_on_one_case_without_reference(
    prepared: Path, run: Path, tmp_path: Path
) -> None:
    summary = inspect(InspectSettings(run=run, prepared=prepared, out=tmp_path / "out", questions=QUICK))
    assert summary.failed == {}
    answers = read_table(tmp_path / "out" / "answers.tsv").set_index("question")
    assert list(answers["status"]) == ["answered"] * 3
    findings = read_table(tmp_path / "out" / "findings.tsv")
    assert set(findings["question"]) == set(QUICK)
    page = (tmp_path / "out" / "inspection.html").read_text(encoding="utf-8")
    assert "does not say which subjects it was trained on" in page
    assert (tmp_path / "out" / "figures" / "window_curves.png").is_file()
    assert (tmp_path / "out" / "provenance.json").is_file()
    foreign = [tmp_path / "out" / name for name in ("figures/mine.png", "maps/sub-09_desc-mine_map.nii.gz")]
    for path in foreign:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"")
    inspect(InspectSettings(run=run, prepared=prepared, out=tmp_path / "out", questions=("table",)))
    assert all(path.exists() for path in foreign)
    assert not (tmp_path / "out" / "figures" / "window_curves.png").exists()
    assert list((tmp_path / "out" / "figures").glob("table_*.png"))


@pytest.mark.slow
def test_images_of_anybody_are_asked_what_needs_only_images(prepared: Path, tmp_path: Path) -> None:
    source = read_volume(next((prepared / "sub-02" / "anat").glob("*_T1w.nii.gz")))
    name = BidsName.of(Case("02"), Contrast.parse("FLAIR"), desc="synthetic").filename
    write_volume(tmp_path / "made" / "sub-02" / "anat" / name, source.with_data(1000 - source.data), np.float32)
    settings = InspectSettings(run=tmp_path / "made", prepared=prepared, out=tmp_path / "out", questions=QUICK)
    inspect(settings)
    answers = read_table(tmp_path / "out" / "answers.tsv").set_index("question")
    assert dict(answers["status"]) == {"window": "not asked", "table": "not asked", "grid": "answered"}
    assert "--source" in answers.loc["table", "answer"]
    inspect(dataclasses.replace(settings, source=("T1w",), out=tmp_path / "named"))
    findings = read_table(tmp_path / "named" / "findings.tsv").set_index("name")
    assert findings.loc["variance of synthetic FLAIR a table of T1w explains", "value"] == pytest.approx(100, abs=0.01)


@pytest.mark.parametrize("stage", ["", "evaluate"])
def test_a_folder_that_is_not_an_inspection_is_refused_and_left_alone(
    prepared: Path, run: Path, tmp_path: Path, stage: str
) -> None:
    out = tmp_path / "out"
    mine = [out / "figures" / "holiday.png", out / "maps" / "sub-01_desc-mine_map.nii.gz"]
    for path in mine:
        path.parent.mkdir(parents=True)
        path.write_bytes(b"mine")
    if stage:
        write_provenance(out, stage, None)
    with pytest.raises(ConfigError, match="made by `recontrast evaluate`" if stage else "did not make"):
        inspect(InspectSettings(run=run, prepared=prepared, out=out, questions=("table",)))
    assert all(path.read_bytes() == b"mine" for path in mine)
    assert not (out / "answers.tsv").exists()


def test_a_list_of_files_reaches_no_further_than_figures_and_maps() -> None:
    listed = ["figures/table_curves.png", "maps/a_map.nii.gz", "../scan.png", "figures/../../scan.png", "/scan.png"]
    assert command._listed({"files": listed}) == set(listed[:2])
    assert command._listed({}) == command._listed(None) == set()


def test_what_cannot_be_used_is_said(prepared: Path, run: Path, tmp_path: Path) -> None:
    good = InspectSettings(run=run, prepared=prepared, out=tmp_path / "out")
    with pytest.raises(ConfigError, match="cases is 0"):
        inspect(dataclasses.replace(good, cases=0))
    with pytest.raises(UnknownNameError, match="windows"):
        inspect(dataclasses.replace(good, questions=("windows",)))
    with pytest.raises(LayoutError, match="no case in split 'validation'"):
        inspect(dataclasses.replace(good, split="validation"))
    with pytest.raises(UnknownNameError, match=r"case with an acquired FLAIR \(--lines\) 'sub-09'"):
        inspect(dataclasses.replace(good, lines=("sub-09:1,1,1:5,5,1",)))
    with pytest.raises(LayoutError):
        inspect(dataclasses.replace(good, run=tmp_path))


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A translator of T1w and FLAIR from whichever is there; its surroundings were not fitted."""
    scales = {"T1w": Scale("percentile", 0.0, 700.0), "FLAIR": Scale("percentile", 0.0, 650.0)}
    context = ((1.0, 1.0, 0.0),)
    options = {
        "width": 2, "blocks": [1], "contrasts": 2, "targets": 2, "context": 1, "in_channels": 2 + 2 + 3 + 4,
        "out_channels": 1, "spatial_dims": 2,
    }  # fmt: skip
    about = TranslatorDescription(
        preset="toy", sources=tuple(scales), target="", model=Member(name="film_unet", options=options),
        recipe=Member(name="supervised"), target_scale=Scale("open", 0.0, 1.0), spacing_mm=(3.0, 3.0, 4.0),
        bank=Bank(sources=tuple(scales), targets=scales), context_voxels=context,
    )  # fmt: skip
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("several")
    return save_translator(folder / "translator", MODELS.build("film_unet", options), about).parent


def test_of_a_translator_of_several_contrasts_one_direction_is_inspected(
    prepared: Path, several: Path, tmp_path: Path
) -> None:
    bids, prepared = prepared.parent / "bids", tmp_path / "prepared"
    prepare(PrepareSettings(
        bids=bids, out=prepared, contrasts=("T1w", "FLAIR"), test=("02",), workers=1, align=False,
    ))  # fmt: skip
    given = InspectSettings(run=several, prepared=prepared, out=tmp_path / "out", questions=(*QUICK, "filters"))
    with pytest.raises(ConfigError, match=r"makes T1w, FLAIR: say which \(--target FLAIR\)"):
        inspect(given)
    with pytest.raises(UnknownNameError, match=r"source of FLAIR \(--source\)"):
        inspect(dataclasses.replace(given, target="FLAIR", source=("FLAIR",)))
    summary = inspect(dataclasses.replace(given, target="FLAIR"))
    assert summary.failed == {}
    answers = read_table(tmp_path / "out" / "answers.tsv").set_index("question")["status"].to_dict()
    assert answers == {"table": "answered", "grid": "answered", "window": "not asked", "filters": "not asked"}
    assert "T1w to FLAIR" in (tmp_path / "out" / "inspection.html").read_text(encoding="utf-8")
    for target, source in (("FLAIR", "T1w"), ("T1w", "FLAIR")):
        bench = load_bench(Material(run=several, prepared=prepared, target=target))
        assert (bench.target, bench.source_labels) == (target, (source,))
        (case,) = bench.cases
        translator = load_translator(several, EngineSettings(precision="fp32"), target)
        made = translator.given((source,)).predict_scaled(case.sources, case.zeros)
        np.testing.assert_array_equal(case.synthetic, made)
    with pytest.raises(ConfigError, match=r"--beside .*: makes several contrasts"):
        inspect(dataclasses.replace(given, target="FLAIR", beside=(several,)))


def test_the_image_looked_at_is_the_one_delivered(prepared: Path, run: Path, tmp_path: Path) -> None:
    """Where nothing was acquired nothing is made, as by `translate`."""
    dark = tmp_path / "prepared"
    shutil.copytree(prepared, dark)
    path = next((dark / "sub-02" / "anat").glob("*_T1w.nii.gz"))
    image = read_volume(path)
    data = image.data.copy()
    data[:6] = 0
    write_volume(path, image.with_data(data), np.float32)
    (case,) = load_bench(Material(run=run, prepared=dark)).cases
    assert not case.synthetic[:6].any()
    assert case.synthetic[6:].any()
