"""Images of the target contrast that go through the network as well, and are never taken for evidence."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.translation.conftest import TORCH

from recontrast.errors import ConfigError, LayoutError, RecontrastWarning
from recontrast.evaluation.command import EvaluateSettings, evaluate
from recontrast.io.bids import read_sidecar, write_description, write_sidecar
from recontrast.io.nifti import read_volume, write_volume
from recontrast.io.tables import read_table
from recontrast.preparation.cohort import Preparation
from recontrast.preparation.normalize import ScaleSettings, fit_scale
from recontrast.preparation.pipeline import PrepareSettings, prepare
from recontrast.translation.cases import Selection, find_cases
from recontrast.translation.command import TranslateSettings, translate
from recontrast.translation.description import TranslatorDescription
from recontrast.volume import Volume

ENHANCED = "ce-gadolinium_T1w"


@pytest.fixture
def warehouse(tmp_path: Path, make_volume: Callable[..., Volume]) -> Path:
    """A raw data set: 01 has both, 02 the enhanced, 03 the plain T1w (in a session), 04 none of them."""
    root = tmp_path / "bids"
    write_description(root, "scans", version="0")
    names = [
        f"sub-01/anat/sub-01_{ENHANCED}", "sub-01/anat/sub-01_T1w", f"sub-02/anat/sub-02_{ENHANCED}",
        "sub-03/ses-1/anat/sub-03_ses-1_T1w", "sub-04/anat/sub-04_PDw",
    ]  # fmt: skip
    for seed, name in enumerate(names):
        write_volume(root / f"{name}.nii.gz", make_volume(seed=seed))
    return root


@pytest.fixture
def plain_maker(save: Callable[..., Path]) -> Callable[..., Path]:
    """A translator from enhanced to plain T1w that gives back what it is shown."""

    def make(**changes: Any) -> Path:
        return save(**{"sources": (ENHANCED,), "target": "T1w", **changes})

    return make


def images_of(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.nii.gz"))


def test_every_t1w_of_a_data_set_goes_through_and_says_what_it_was(
    plain_maker: Callable[..., Path], warehouse: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    settings = TranslateSettings(run=plain_maker(), input=warehouse, out=out, harmonise=True, **TORCH)
    summary = translate(settings)
    assert images_of(out) == [
        "sub-01/anat/sub-01_desc-syntheticFromT1w_T1w.nii.gz",
        "sub-01/anat/sub-01_desc-synthetic_T1w.nii.gz",
        "sub-02/anat/sub-02_desc-synthetic_T1w.nii.gz",
        "sub-03/ses-1/anat/sub-03_ses-1_desc-syntheticFromT1w_T1w.nii.gz",
    ]
    assert summary.done[0] == f"4 synthetic T1w in {out} (torch fp32); 2 from {ENHANCED} and 2 from T1w; 1 failed"
    assert [line.split(":")[0] for line in summary.done[1:]] == ["no error bars"]
    assert list(summary.failed) == ["sub-04"]
    folder = out / "sub-01/anat"
    translated = read_sidecar(folder / "sub-01_desc-synthetic_T1w.nii.gz")
    harmonised = read_sidecar(folder / "sub-01_desc-syntheticFromT1w_T1w.nii.gz")
    assert (translated["SourceContrasts"], translated.get("Harmonised")) == ([ENHANCED], None)
    assert (harmonised["SourceContrasts"], harmonised["Harmonised"], harmonised["Synthetic"]) == (["T1w"], True, True)
    assert harmonised["Sources"][0].endswith("sub-01_T1w.nii.gz")
    source = read_volume(warehouse / "sub-01/anat/sub-01_T1w.nii.gz")
    made = read_volume(folder / "sub-01_desc-syntheticFromT1w_T1w.nii.gz")
    assert np.allclose(made.data, 1000 * fit_scale(source).apply(source.data), atol=0.05)
    table = read_table(out / "cases.tsv").set_index("case")
    assert list(table.index) == ["sub-01", "sub-01_T1w", "sub-02", "sub-03_ses-1_T1w", "sub-04"]


def test_what_was_translated_before_is_kept_and_the_rest_is_added(
    plain_maker: Callable[..., Path], warehouse: Path, tmp_path: Path
) -> None:
    run, out = plain_maker(), tmp_path / "out"
    settings = TranslateSettings(run=run, input=warehouse, out=out, **TORCH)
    assert list(translate(settings).failed) == ["sub-03_ses-1", "sub-04"]
    image = out / "sub-01/anat/sub-01_desc-synthetic_T1w.nii.gz"
    before = image.stat().st_mtime_ns
    more = TranslateSettings(run=run, input=warehouse, out=out, harmonise=True, **TORCH)
    assert "; 2 were finished before; 1 failed" in translate(more).done[0]
    assert image.stat().st_mtime_ns == before
    statuses = read_table(out / "cases.tsv").set_index("case")["status"].to_dict()
    made = ("sub-01", "sub-01_T1w", "sub-02", "sub-03_ses-1_T1w")
    assert statuses == {**dict.fromkeys(made, "ok"), "sub-04": "failed"}
    assert "; 4 were finished before" in translate(more).done[0]


@pytest.mark.parametrize(("sources", "target"), [(("T1w",), "T2w"), ((ENHANCED, "T2w"), "T1w"), ((ENHANCED,), "FLAIR")])
def test_other_translators_are_refused(
    describe: Callable[..., TranslatorDescription], warehouse: Path, sources: tuple[str, ...], target: str
) -> None:
    with pytest.raises(ConfigError, match=rf"--harmonise: this translator makes {target} from"):
        find_cases(warehouse, describe(sources=sources, target=target), Selection(harmonise=True))


def test_an_enhanced_target_is_named_for_itself(
    describe: Callable[..., TranslatorDescription], warehouse: Path
) -> None:
    about = describe(sources=("T1w",), target=ENHANCED)
    cases = find_cases(warehouse, about, Selection(subjects=("02",), harmonise=True))
    assert [case.output.name for case in cases] == ["sub-02_ce-gadolinium_desc-syntheticFromCeGadoliniumT1w_T1w.nii.gz"]


def test_a_prepared_folder_scales_the_plain_image_as_an_enhanced_one(
    plain_maker: Callable[..., Path], warehouse: Path, tmp_path: Path
) -> None:
    for name, factors in (("percentile", {}), ("fixed", {ENHANCED: 700.0, "T1w": 400.0})):
        scale = ScaleSettings(name=name, contrasts=tuple(f"{label}={factor}" for label, factor in factors.items()))
        prepared, out = tmp_path / f"prepared-{name}", tmp_path / f"out-{name}"
        prepare(
            PrepareSettings(
                bids=warehouse, out=prepared, contrasts=(ENHANCED, "T1w"), subjects=("01",), align=False, test=("01",),
                scale=scale,
            )
        )  # fmt: skip
        run = plain_maker(run=tmp_path / f"run-{name}", scale_settings=scale)
        translate(TranslateSettings(run=run, input=prepared, out=out, harmonise=True, **TORCH))
        sidecar = read_sidecar(out / "sub-01/anat/sub-01_desc-syntheticFromT1w_T1w.nii.gz")
        own = read_sidecar(prepared / "sub-01/anat/sub-01_desc-prepared_T1w.nii.gz")["Scale"]
        expected = factors.get(ENHANCED, own["factor"])
        assert sidecar["SourceScales"][ENHANCED]["factor"] == pytest.approx(expected)
        assert len(images_of(out)) == 2


def test_a_raw_plain_image_on_the_grid_of_the_training_is_no_doubt(
    plain_maker: Callable[..., Path], warehouse: Path, tmp_path: Path
) -> None:
    run = plain_maker(preparation=Preparation(recipe="fixed-scale", grid="T1w"), spacing_mm=(1.0, 1.0, 1.0))
    given: dict[str, Any] = {"run": run, "input": warehouse, "harmonise": True, **TORCH}
    translate(TranslateSettings(out=tmp_path / "plain", subjects=("03",), **given))
    with pytest.warns(RecontrastWarning, match="lay on the grid of T1w, which a raw case does not have"):
        translate(TranslateSettings(out=tmp_path / "enhanced", subjects=("02",), **given))


def test_files_and_plain_folders(
    plain_maker: Callable[..., Path], warehouse: Path, tmp_path: Path, make_volume: Callable[..., Volume]
) -> None:
    run, scans = plain_maker(), tmp_path / "scans"
    scans.mkdir()
    for path in (warehouse / "sub-01" / "anat").iterdir():
        shutil.copy(path, scans)
    write_volume(scans / "made.nii.gz", make_volume())
    write_sidecar(scans / "made.nii.gz", {"Synthetic": True})
    given: dict[str, Any] = {"run": run, "harmonise": True, **TORCH}
    summary = translate(TranslateSettings(input=scans, out=tmp_path / "out", **given))
    assert f"1 from {ENHANCED} and 1 from T1w; 1 files skipped" in summary.done[0]
    names = ["sub-01_desc-syntheticFromT1w_T1w.nii.gz", "sub-01_desc-synthetic_T1w.nii.gz"]
    assert images_of(tmp_path / "out") == names
    source = scans / "sub-01_T1w.nii.gz"
    with pytest.raises(ConfigError, match=rf"made from an acquired T1w; for example .*{names[0]}"):
        translate(TranslateSettings(input=source, out=tmp_path / names[1], **given))
    translate(TranslateSettings(input=source, out=tmp_path / names[0], **given))
    assert read_sidecar(tmp_path / names[0])["Harmonised"] is True
    with pytest.raises(ConfigError, match="is itself synthetic"):
        translate(TranslateSettings(input=tmp_path / names[0], out=tmp_path / "again", **given))


def test_a_harmonised_image_is_never_scored_against_the_image_it_was_made_from(
    plain_maker: Callable[..., Path], warehouse: Path, tmp_path: Path
) -> None:
    run, out = plain_maker(), tmp_path / "out"
    translate(TranslateSettings(run=run, input=warehouse, out=out, harmonise=True, **TORCH))
    given: dict[str, Any] = {"synthetic": out, "reference": warehouse, "controls": (), "workers": 1}
    summary = evaluate(EvaluateSettings(out=tmp_path / "scores", **given))
    table = read_table(tmp_path / "scores" / "cases.tsv").set_index("case")
    assert table.loc["sub-01", "synthetic"].endswith("sub-01_desc-synthetic_T1w.nii.gz")
    assert table.loc["sub-03_ses-1", "status"] == "missing"
    assert "made from its acquired T1w, which is no evidence" in table.loc["sub-03_ses-1", "message"]
    assert any("2 synthetic images made from acquired T1w" in line for line in summary.done)
    for path in out.rglob("*desc-synthetic_*"):
        path.unlink()
    with pytest.raises(LayoutError, match="its 2 images were made from acquired T1w"):
        evaluate(EvaluateSettings(out=tmp_path / "more", **given))
    for path in sorted(out.rglob("*desc-syntheticFromT1w_*")):  # under the name of a translation: its sidecar tells
        path.rename(path.with_name(path.name.replace("syntheticFromT1w", "synthetic")))
    with pytest.raises(LayoutError, match="its 2 images were made from acquired T1w"):
        evaluate(EvaluateSettings(out=tmp_path / "more", **given))
