"""Training signals kept beside a voxel-wise translator, and a scan held against them."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from recontrast.errors import CheckpointError, RecontrastWarning
from recontrast.io.bids import read_sidecar
from recontrast.io.nifti import read_volume, write_volume
from recontrast.preparation.cohort import Preparation
from recontrast.preparation.normalize import Scale
from recontrast.relaxometry.coverage import fit_coverage
from recontrast.translation import support
from recontrast.translation.command import TranslateSettings, translate
from recontrast.translation.description import Member
from recontrast.volume import Volume, same_grid


@pytest.fixture
def signals(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(0.5, 0.05, (3000, 1))


def test_a_translator_says_where_it_guesses(
    save: Callable[..., Path], signals: np.ndarray, tmp_path: Path, rng: np.random.Generator
) -> None:
    run = save()
    support.save_training_signals(run / "translator", fit_coverage(signals, gaussians=2))
    data = np.zeros((16, 18, 10), np.float32)
    data[3:-3, 3:-3, 2:-2] = rng.normal(500, 25, (10, 12, 6))
    data[3:-3, 3:6, 2:-2] = 1000.0  # a quarter that training never saw
    image = tmp_path / "raw" / "sub-01_T1w.nii.gz"
    write_volume(image, Volume(data, np.diag([1.0, 1.5, 3.0, 1.0])))
    (image.parent / "sub-01_T1w.json").write_text(json.dumps({"Scale": {"name": "fixed", "offset": 0, "factor": 1000}}))
    with pytest.warns(RecontrastWarning, match="translator guesses there"):
        translate(TranslateSettings(run=run, input=image.parent, out=tmp_path / "out"))
    (rarity,) = (tmp_path / "out").rglob("*desc-rarity_T2w.nii.gz")
    found = read_volume(rarity).data
    assert (found[data == 0] == 1).all()
    assert (found[data == 1000] < 1e-3).all()
    assert np.median(found[(data > 0) & (data < 1000)]) > 0.1
    (synthetic,) = (tmp_path / "out").rglob("*desc-synthetic_T2w.nii.gz")
    share = (data == 1000).sum() / (data > 0).sum()
    assert read_sidecar(synthetic)["VoxelsOutsideTrainingSignals"] == pytest.approx(share, abs=0.02)
    translate(TranslateSettings(run=run, input=image.parent, out=tmp_path / "plain", rarity=False))
    assert not list((tmp_path / "plain").rglob("*rarity*"))


def test_the_map_of_a_raw_case_lies_on_its_own_grid(
    save: Callable[..., Path], tmp_path: Path, rng: np.random.Generator
) -> None:
    """Several sources are prepared first, on turned axes; image and map come back together."""
    run = save(sources=("T1w", "PDw"), preparation=Preparation(), model=Member(name="copy", options={"channel": 0}))
    support.save_training_signals(run / "translator", fit_coverage(rng.normal(0.5, 0.05, (3000, 2)), gaussians=2))
    data = np.zeros((10, 18, 16), np.float32)
    data[2:-2, 3:-3, 3:-3] = rng.normal(500, 25, (6, 12, 10))
    data[2:-2, 3:6, 3:-3] = 1000.0  # never seen
    affine = np.array([[0.0, 0, -1, 9], [-1.5, 0, 0, 5], [0, 2, 0, 1], [0, 0, 0, 1]])
    anat = tmp_path / "raw" / "sub-01" / "anat"
    for label in ("T1w", "PDw"):
        write_volume(anat / f"sub-01_{label}.nii.gz", Volume(data, affine))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RecontrastWarning)
        translate(TranslateSettings(run=run, input=anat.parents[1], out=tmp_path / "out"))
    (rarity,) = (tmp_path / "out").rglob("*desc-rarity_T2w.nii.gz")
    (image,) = (tmp_path / "out").rglob("*desc-synthetic_T2w.nii.gz")
    assert same_grid(read_volume(rarity), read_volume(image), 0)
    found = read_volume(rarity).data
    assert found[data == 1000].max() < 1e-3 < np.median(found[(data > 0) & (data < 1000)])


def test_signals_come_from_the_training_cases(signals: np.ndarray, tmp_path: Path) -> None:
    cases = []
    for number in range(2):
        path = tmp_path / f"{number}.nii.gz"
        data = np.append(signals[:, 0] * 1000, np.zeros(24)).reshape(-1, 12, 9).astype(np.float32)
        write_volume(path, Volume(data, np.eye(4)))
        cases.append(SimpleNamespace(images={"T1w": path}, scales={"T1w": Scale("fixed", 0.0, 1000.0)}))
    coverage = support.fit_training_signals(cases, ("T1w",))
    near, far = coverage.rarity(np.array([[0.5], [0.9]]))
    assert near > 0.2
    assert far == 0.0
    assert support.fit_training_signals(cases[:1], ("T1w",), seed=1) is not None


def test_too_few_voxels_are_not_described_and_a_damaged_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.nii.gz"
    write_volume(path, Volume(np.full((4, 4, 4), 500.0, np.float32), np.eye(4)))
    case = SimpleNamespace(images={"T1w": path}, scales={"T1w": Scale("fixed", 0.0, 1000.0)})
    assert support.fit_training_signals([case], ("T1w",)) is None
    assert support.load_training_signals(tmp_path) is None
    (tmp_path / support.FILE).write_text("{}")
    with pytest.raises(CheckpointError, match="cannot be read"):
        support.load_training_signals(tmp_path)
