"""A prepared cohort and synthetic images, tiny, made by hand."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from recontrast.io.bids import BidsName, Case, write_sidecar
from recontrast.io.nifti import write_volume
from recontrast.io.tables import write_table
from recontrast.preparation.normalize import Scale, fit_scale
from recontrast.volume import Volume

AFFINE = np.diag([2.0, 2.0, 4.0, 1.0])
SHAPE = (20, 24, 18)
SPLITS = {"01": "train", "02": "train", "03": "validation", "04": "test", "05": "test", "06": "test"}


def head(seed: int, shape: tuple[int, int, int] = SHAPE) -> tuple[Volume, Volume, dict[str, np.ndarray]]:
    """T1w, T2w and regions of one head: two tissues and a lesion that only the T2w shows well."""
    rng = np.random.default_rng(seed)
    i, j, k = np.meshgrid(*[np.linspace(-1, 1, n) for n in shape], indexing="ij")
    radius = np.sqrt((i / 0.85) ** 2 + (j / 0.9) ** 2 + (k / 0.95) ** 2)
    scalp, brain, white = radius < 1, radius < 0.8, radius < 0.5 + 0.03 * rng.standard_normal()
    lesion = (i - 0.2) ** 2 + (j + 0.1) ** 2 + k**2 < 0.03
    t1w, t2w = np.zeros(shape), np.zeros(shape)
    for mask, first, second in ((scalp, 300, 500), (brain, 500, 700), (white, 800, 400), (lesion, 480, 900)):
        t1w[mask], t2w[mask] = first, second
    gain = 1 + 0.1 * rng.standard_normal()
    t1w = np.where(scalp, gain * t1w + 15 * rng.standard_normal(shape), 0).astype(np.float32)
    t2w = np.where(scalp, gain * t2w + 15 * rng.standard_normal(shape), 0).astype(np.float32)
    return Volume(t1w, AFFINE), Volume(t2w, AFFINE), {"head": scalp, "brain": brain, "lesion": lesion}


def write_prepared(folder: Path, splits: Mapping[str, str]) -> None:
    """A prepared folder as `recontrast prepare` leaves it, with T1w and T2w."""
    for subject in splits:
        t1w, t2w, regions = head(int(subject))
        anat = folder / f"sub-{subject}" / "anat"
        for label, volume in (("T1w", t1w), ("T2w", t2w)):
            path = anat / BidsName.of(Case(subject), label, desc="prepared").filename
            write_volume(path, volume)
            write_sidecar(path, {"Scale": fit_scale(volume).to_dict(), "Contrast": label})
        for name, mask in regions.items():
            path = anat / BidsName.of(Case(subject), "mask", desc=name).filename
            write_volume(path, Volume(mask.astype(np.uint8), AFFINE), np.uint8)
    rows = [(f"sub-{subject}", split) for subject, split in splits.items()]
    write_table(folder / "splits.tsv", pd.DataFrame(rows, columns=["subject", "split"]))
    cases = pd.DataFrame([(f"sub-{s}", "ok", None) for s in splits], columns=["case", "status", "message"])
    write_table(folder / "cases.tsv", cases)
    provenance = {"stage": "prepare", "settings": {"scale": {"name": "percentile", "high": 99.9}}}
    (folder / "provenance.json").write_text(json.dumps(provenance), encoding="utf-8")


@pytest.fixture(scope="session")
def _prepared_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("evaluation") / "prepared"
    write_prepared(folder, SPLITS)
    return folder


@pytest.fixture
def prepared(_prepared_once: Path, tmp_path: Path) -> Path:
    """Prepared folder of six subjects: 01 and 02 train, 03 validation, 04 to 06 test."""
    import shutil

    return Path(shutil.copytree(_prepared_once, tmp_path / "prepared"))


@pytest.fixture
def write_synthetic(tmp_path: Path) -> Callable[..., Path]:
    """Write a synthetic T2w of a subject: the truth with noise of a given strength, in another brightness."""

    def write(
        subject: str, *, noise: float = 30.0, sidecar: bool = True, facts: dict[str, str] | None = None,
        folder: str = "synthetic", data: np.ndarray | None = None, affine: np.ndarray = AFFINE,
    ) -> Path:  # fmt: skip
        _, t2w, regions = head(int(subject))
        rng = np.random.default_rng(100 + int(subject))
        truth = fit_scale(t2w).apply(t2w.data)
        scale = Scale("percentile", 0.0, 2000.0)
        noisy = np.where(regions["head"], truth + noise / 1000 * rng.standard_normal(truth.shape), 0)
        values = scale.invert(noisy) if data is None else data
        path = tmp_path / folder / f"sub-{subject}" / "anat" / f"sub-{subject}_desc-synthetic_T2w.nii.gz"
        write_volume(path, Volume(values.astype(np.float32), affine))
        if sidecar:
            content = {"Sources": [f"sub-{subject}/anat/sub-{subject}_desc-prepared_T1w.nii.gz"], "Synthetic": True}
            write_sidecar(path, {**content, "Scale": scale.to_dict(), **({"Translator": facts} if facts else {})})
        return path

    return write
