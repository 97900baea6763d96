"""Translators of every recipe, of slices and volumes, are inspected from their folder; a new one is met unchanged."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from recontrast.errors import ConfigError
from recontrast.inspection.command import InspectSettings, inspect
from recontrast.io.bids import BidsName, Case, write_sidecar
from recontrast.io.nifti import write_volume
from recontrast.io.tables import read_table, write_table
from recontrast.models import MODELS
from recontrast.preparation.normalize import Scale, fit_scale
from recontrast.recipes import RECIPES
from recontrast.reporting import rendering
from recontrast.translation.description import Member, TranslatorDescription
from recontrast.translation.translator import save_translator
from recontrast.volume import Volume

AFFINE = np.diag([4.0, 4, 5, 1])

# recipe -> network of its preset, made small.
NETWORKS: dict[str, tuple[str, dict[str, object]]] = {
    "supervised": ("unet", {"width": 2, "depth": 2}),
    "adversarial": ("pix2pix_unet", {"width": 2, "downs": 3, "dropout": 0.5}),
    "cycle": ("strided_resnet", {"width": 2, "blocks": 1, "downs": 2}),
    "unit": ("unit", {"width": 2, "private": 1, "shared": 1}),
    "pixelwise": ("pixelwise", {"width": 4}),
}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five prepared heads with white matter and a lesion; the last is tested."""
    folder = tmp_path_factory.mktemp("prepared")
    i, j, k = np.meshgrid(*[np.linspace(-1, 1, n) for n in (30, 32, 20)], indexing="ij")
    radius = np.sqrt(i**2 + j**2 + k**2) / 0.9
    lesion = np.sqrt((i - 0.25) ** 2 + j**2 + (k - 0.1) ** 2) < 0.13
    for n in range(1, 6):
        noise = np.random.default_rng(n).standard_normal(radius.shape)
        t1w = (radius < 1) * (np.where(radius < 0.75, 700, 450) - 250 * lesion + 8 * noise)
        flair = (radius < 1) * (np.where(radius < 0.75, 400, 600) + 450 * lesion + 8 * noise)
        anat = folder / f"sub-{n:02d}" / "anat"
        for label, data in (("T1w", t1w), ("FLAIR", flair)):
            volume = Volume(data.clip(0).astype(np.float32), AFFINE)
            path = anat / BidsName.of(Case(f"{n:02d}"), label, desc="prepared").filename
            write_volume(path, volume)
            write_sidecar(path, {"Scale": fit_scale(volume).to_dict(), "Contrast": label})
        regions = {"head": radius < 1, "brain": radius < 1, "WM": (radius < 0.75) & ~lesion, "lesion": lesion}
        for name, mask in regions.items():
            path = anat / BidsName.of(Case(f"{n:02d}"), "mask", desc=name).filename
            write_volume(path, Volume(mask, AFFINE), np.uint8)
    subjects = [f"{n:02d}" for n in range(1, 6)]
    splits = ["train"] * 4 + ["test"]
    write_table(folder / "splits.tsv", pd.DataFrame({"subject": subjects, "split": splits}))
    cases = pd.DataFrame({"case": [f"sub-{s}" for s in subjects], "status": "ok", "message": ""})
    write_table(folder / "cases.tsv", cases)
    (folder / "provenance.json").write_text(json.dumps({"stage": "prepare", "settings": {"scale": {}}}))
    return folder


def run_of(folder: Path, recipe: str, plane: str) -> Path:
    name, options = NETWORKS[recipe]
    options = {**options, "in_channels": 1, "out_channels": 1, "spatial_dims": 3 if plane == "volume" else 2}
    about = TranslatorDescription(
        preset="toy", sources=("T1w",), target="FLAIR", model=Member(name=name, options=options),
        recipe=Member(name=recipe), target_scale=Scale("percentile", 0.0, 850.0), spacing_mm=(4.0, 4.0, 5.0),
        plane=plane, training_subjects=("none",),
    )  # fmt: skip
    torch.manual_seed(0)
    return save_translator(folder / "translator", MODELS.build(name, options), about).parent


def test_every_recipe_is_here() -> None:
    translators = {name for name in RECIPES.names() if not getattr(RECIPES.get(name), "reconstructs", False)}
    assert NETWORKS.keys() == translators
    assert translators < set(RECIPES.names())  # what gives its source back is no translator, see below


def test_what_gives_its_source_back_is_refused(prepared: Path, tmp_path: Path) -> None:
    run = run_of(tmp_path, "supervised", "axial")
    description = tmp_path / "translator" / "translator.json"
    content = json.loads(description.read_text())
    content["recipe"]["name"], content["target"] = "reconstruction", "T1w"
    description.write_text(json.dumps(content))
    with pytest.raises(ConfigError, match="start-from"):
        inspect(InspectSettings(run=run, prepared=prepared, out=tmp_path / "out"))
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("recipe", "plane"), [*((name, "axial") for name in sorted(NETWORKS)), ("supervised", "volume")]
)
def test_every_question_has_an_answer_or_a_reason(
    prepared: Path, tmp_path: Path, recipe: str, plane: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from recontrast.inspection.questions import lesions, window

    monkeypatch.setattr(lesions, "SIZES_MM", (8.0, 12.0))
    monkeypatch.setattr(lesions, "GRADES", (1.0,))
    monkeypatch.setattr(lesions, "NULL_PLACES", 10)
    monkeypatch.setattr(rendering, "SAMPLES", 24)
    monkeypatch.setattr(window, "POINTS", 2)
    monkeypatch.setattr(window, "VOLUME_POINTS", 1)
    summary = inspect(InspectSettings(run=run_of(tmp_path, recipe, plane), prepared=prepared, out=tmp_path / "out"))
    assert summary.failed == {}
    answers = read_table(tmp_path / "out" / "answers.tsv").set_index("question")
    assert list(answers.index) == [
        "window", "table", "sharpness", "grid", "lesions", "turnover", "support", "stability", "depth", "filters",
        "look",
    ]  # fmt: skip
    without = answers.loc[answers["status"] != "answered", "answer"]
    assert set(answers["status"]) <= {"answered", "not asked"}
    # Weights are drawn, not learned: an image may come out flat, and then has no edges.
    assert set(without.index) <= {"sharpness"}, without.to_dict()
    assert all("may be flat" in reason for reason in without)
    assert (tmp_path / "out" / "maps" / "sub-05_desc-support_map.nii.gz").is_file()
    if recipe == "pixelwise":
        findings = read_table(tmp_path / "out" / "findings.tsv")
        invented = findings[(findings["question"] == "turnover") & (findings["name"] == "inventions")]
        assert list(invented["value"]) == [0]
