"""The tables of the five papers from folders of NIfTI files that any tool may have made: `evaluate`, then `report`."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from recontrast.cli import run
from recontrast.io.nifti import write_volume
from recontrast.io.tables import read_table
from recontrast.volume import Volume

pytestmark = pytest.mark.slow

SUBJECTS = ("01", "02", "03")
SHAPE = (26, 28, 24)
AFFINE = np.array([[-2.0, 0, 0, 30], [0, 2.5, 0, -30], [0, 0, 3.0, -30], [0, 0, 0, 1]])  # stored left to right: LAS
MEANS = {"CSF": (150, 900), "GM": (500, 600), "WM": (800, 400)}
"""T1w and T2w of each tissue."""


def head(subject: str) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """T1w, enhanced T1w and T2w of a head, and its masks."""
    rng = np.random.default_rng(int(subject))
    i, j, k = np.meshgrid(*[np.linspace(-1, 1, n) for n in SHAPE], indexing="ij")
    radius = np.sqrt(i**2 + j**2 + k**2) * (1 + 0.05 * rng.standard_normal())
    masks = {"head": radius < 0.98, "brain": radius < 0.88}
    masks |= {"CSF": masks["brain"] & (radius >= 0.78), "GM": (radius < 0.78) & (radius >= 0.55), "WM": radius < 0.55}
    images = {}
    for number, contrast in enumerate(("T1w", "T2w")):
        image = np.where(masks["head"], 250.0, 0.0)
        for tissue, means in MEANS.items():
            image[masks[tissue]] = means[number]
        images[contrast] = np.where(masks["head"], image + 15 * rng.standard_normal(SHAPE), 0).astype(np.float32)
    lit = images["T1w"] * np.where(masks["GM"], 1.1, 1.0)
    return images | {"ce-gadolinium_T1w": lit.astype(np.float32)}, masks


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """acquired/: T1w, T2w, enhanced T1w, brain masks, GM, WM, CSF; made/: T2w; unenhanced/: T1w; masks/, labels/."""
    root = tmp_path_factory.mktemp("papers")
    rng = np.random.default_rng(0)
    for subject in SUBJECTS:
        images, masks = head(subject)
        for name, image in images.items():
            write_volume(root / "acquired" / f"sub-{subject}_{name}.nii.gz", Volume(image, AFFINE))
        write_volume(root / "acquired" / f"sub-{subject}_desc-brain_mask.nii", Volume(masks["brain"], AFFINE), np.uint8)
        write_volume(root / "masks" / f"sub-{subject}_desc-brain_mask.nii", Volume(masks["head"], AFFINE), np.uint8)
        for folder, contrast in (("made", "T2w"), ("unenhanced", "T1w")):
            wrong = images[contrast] * 0.97 + np.where(masks["head"], 20 * rng.standard_normal(SHAPE), 0)
            write_volume(root / folder / f"sub-{subject}_{contrast}.nii.gz", Volume(wrong.astype(np.float32), AFFINE))
        for side, shift in (("reference", 0), ("synthetic", 1)):
            labels = np.roll(17 * masks["WM"] + 53 * masks["CSF"], shift, axis=0).astype(np.int16)
            path = root / "labels" / side / f"sub-{subject}_dseg.nii.gz"
            write_volume(path, Volume(labels, AFFINE), np.int16)
            path.with_name(f"sub-{subject}_dseg.tsv").write_text("index\tname\n17\tHippocampusL\n53\tHippocampusR\n")
    return root


def evaluated(root: Path, made: str, protocol: str, *options: str) -> tuple[Path, str]:
    """The evaluation folder and the text of its report."""
    out = root / f"out-{protocol}"
    arguments = [str(root / made), str(root / "acquired"), str(out), "--protocol", protocol, "--workers", "1"]
    assert run(["evaluate", *arguments, "--controls", "identity", *options]) == 0
    assert run(["report", str(out)]) == 0
    page = re.sub(r"<[^>]+>", " ", (out / "report.html").read_text(encoding="utf-8"))
    assert f"protocol {protocol}" in page
    return out, " ".join(page.split())


def table(out: Path) -> dict[tuple[str, str], dict[str, float]]:
    """(region, metric) of the synthetic images to its row."""
    rows = read_table(out / "table.tsv", ("estimator", "region", "metric"))
    assert set(rows["estimator"]) == {"synthetic", "identity"}
    rows = rows[rows["estimator"] == "synthetic"]
    assert set(rows["subjects"]) <= {0, len(SUBJECTS)}
    return {(row["region"], row["metric"]): row for row in rows.to_dict("records")}


def test_tagawa_by_slice_with_dice_and_aspc_of_structures(folders: Path) -> None:
    out, page = evaluated(
        folders, "made", "tagawa2025", "--sources", "T1w", "--segmenter", "labels", "--labels", str(folders / "labels")
    )
    found = table(out)
    assert {"psnr", "ssim", "lpips"} <= {metric for _, metric in found}
    assert found["image", "psnr"]["slices"] > len(SUBJECTS) * 15
    assert found["image", "psnr"]["slices_sd"] > 0
    assert "no LPIPS weights were given" in (out / "scores.tsv").read_text()
    summary = read_table(out / "volume_summary.tsv", ("structure", "measure"))
    measures = summary[summary["structure"] == "HippocampusL"].set_index("measure")["mean"]
    assert 0.5 < measures["dice"] < 1
    assert measures["aspc"] == pytest.approx(0.0)
    assert "HippocampusR" in page
    assert "all slices of all subjects together" in page


def test_hagiwara_by_tissue_found_in_the_t1w(folders: Path) -> None:
    out, page = evaluated(folders, "made", "hagiwara2019", "--sources", "T1w", "--tissues-from", "T1w")
    found = table(out)
    assert {region for region, _ in found} == {"brain", "GM", "WM", "CSF"}
    assert np.isfinite([row["mean"] for row in found.values()]).all()
    # PSNR of the whole is that of the pooled error, with the fixed peak.
    mse = found["WM", "mse"]["mean"]
    assert found["WM", "psnr"]["mean"] == pytest.approx(20 * np.log10(25_500) - 10 * np.log10(mse), abs=0.2)
    cases = read_table(out / "cases.tsv", ("message",))
    assert cases["message"].str.contains("by segmenter tissue, version 2").all()
    assert "region GM: mean ± SD over subjects" in page
    assert "PSNR is too high by that" in page  # these images are not on the scale of 25,500
    assert "nrmse (NMAE)" in page


def test_osman_over_slices_and_over_subjects(folders: Path) -> None:
    out, page = evaluated(folders, "made", "osman2022", "--sources", "T1w")
    found = table(out)
    assert [metric for _, metric in found] == ["mae", "mse", "psnr", "ssim"]
    row = found["image", "mae"]
    assert row["mean"] == pytest.approx(row["slices_mean"], rel=0.05)
    assert "± " in (out / "table.md").read_text(encoding="utf-8")
    assert "PSNR (dB) ↑" in page


def test_bottani_in_the_union_of_brains_with_volumes_and_tests(folders: Path, capsys: pytest.CaptureFixture) -> None:
    options = ("--sources", "ce-gadolinium_T1w", "--brain-masks", str(folders / "masks"), "--segmenter", "tissue")
    out, page = evaluated(folders, "unenhanced", "bottani2024", *options)
    found = table(out)
    assert list(found) == [("brainUnion", metric) for metric in ("mae_percent", "psnr", "ssim")]
    structures = read_table(out / "volume_summary.tsv", ("structure", "measure"))
    assert {"GM", "WM", "CSF"} <= set(structures["structure"])
    assert {"avd", "vd", "dice"} <= set(structures["measure"])
    assert "AVD (cm³)" in page
    # The paper's baseline is the enhanced image itself: scored the same way, and compared by a paired t test.
    for subject in SUBJECTS:
        images, _ = head(subject)
        lit = Volume(images["ce-gadolinium_T1w"], AFFINE)
        write_volume(folders / "untranslated" / f"sub-{subject}_T1w.nii.gz", lit)
    other, _ = evaluated(folders, "untranslated", "bottani2024-code", *options[:-2])
    assert other.is_dir()
    baseline = folders / "baseline"
    arguments = [str(folders / "untranslated"), str(folders / "acquired"), str(baseline), "--protocol", "bottani2024"]
    assert run(["evaluate", *arguments, "--workers", "1", "--controls", "identity", *options]) == 0
    pair = (f"untranslated={baseline}", f"net={out}")
    wanted = ("--metrics", "avd", "dice", "--regions", "GM", "CSF", "--test", "t")
    assert run(["compare", str(folders / "compared"), *pair, *wanted]) == 0
    assert "avd in GM" in capsys.readouterr().out
    assert run(["compare", str(folders / "no"), f"a={other}", f"b={out}"]) == 2
    assert "2 protocols" in capsys.readouterr().err


def test_grant_jacob_by_plane_and_all_together_with_the_oracle(folders: Path) -> None:
    out = folders / "out-hand"
    arguments = [str(folders / "made"), str(folders / "acquired"), str(out), "--protocol", "grantjacob2021"]
    assert run(["evaluate", *arguments, "--sources", "T1w", "--controls", "lut-oracle", "--workers", "1"]) == 0
    rows = read_table(out / "table.tsv", ("estimator", "region", "metric"))
    oracle = rows[rows["estimator"] == "lut-oracle"].set_index("metric")
    assert {"nrmse_coronal", "psnr_sagittal", "ssim_axial", "nrmse of all planes", "ssim of all planes"} <= set(
        oracle.index
    )
    planes = oracle.loc[["ssim_coronal", "ssim_sagittal", "ssim_axial"]]
    assert oracle.loc["ssim of all planes", "slices"] == planes["slices"].sum()
    assert planes["slices_mean"].min() < oracle.loc["ssim of all planes", "slices_mean"] < planes["slices_mean"].max()
