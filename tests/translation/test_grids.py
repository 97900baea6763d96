"""Any grid in, the same grid out: 48 orientations, three spacings, straight and oblique, with a network that copies."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from recontrast import cli
from recontrast.io.nifti import read_volume, write_volume
from recontrast.preparation.normalize import Scale, ScaleSettings
from recontrast.translation.command import TranslateSettings, translate
from recontrast.translation.engines.choice import EngineSettings
from recontrast.translation.translator import load_translator
from recontrast.volume import Volume

SHAPE = (9, 11, 8)

ORIENTATIONS = [
    "".join(code)
    for axes in itertools.permutations(("RL", "AP", "SI"))
    for code in itertools.product(*axes)
]  # fmt: skip

SPACINGS = [(1.0, 1.0, 1.0), (0.7, 1.3, 5.0), (3.0, 0.9375, 0.9375)]

DIRECTIONS = {
    code: sign * np.eye(3)[axis]
    for axis, pair in enumerate(("RL", "AP", "SI"))
    for code, sign in zip(pair, (1, -1), strict=True)
}
"""World direction of each letter."""

FIXED: dict[str, Any] = {
    "scale_settings": ScaleSettings(name="fixed", fixed_offset=0.0, fixed_factor=1000.0),
    "target_scale": Scale("fixed", 0.0, 1000.0),
}


def affine_of(orientation: str, spacing: tuple[float, ...], oblique: bool) -> np.ndarray:
    """Axes along `orientation`, turned by 17, 9 and -12 degrees when oblique, off centre."""
    affine = np.eye(4)
    for column, (code, size) in enumerate(zip(orientation, spacing, strict=True)):
        affine[:3, column] = size * DIRECTIONS[code]
    if oblique:
        for axis, angle in enumerate(np.deg2rad([17.0, 9.0, -12.0])):
            turn = np.eye(4)
            others = [n for n in range(3) if n != axis]
            turn[np.ix_(others, others)] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
            affine = turn @ affine
    affine[:3, 3] += (-91.3, 12.7, 40.1)
    return affine


def scan(path: Path, affine: np.ndarray, rng: np.random.Generator, qform: int = 1, sform: int = 1) -> np.ndarray:
    """Write a scan without symmetry, as a scanner would; return its values."""
    values = rng.uniform(50, 900, SHAPE).astype(np.float32)
    values[0], values[:, -1] = 0, 0
    image = nib.Nifti1Image(values, None)
    image.header.set_zooms(np.sqrt((affine[:3, :3] ** 2).sum(axis=0)))
    image.set_qform(affine, qform)
    image.set_sform(affine, sform)
    nib.save(image, path)
    return values


def test_there_are_48_orientations() -> None:
    assert len(set(ORIENTATIONS)) == 48


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::recontrast.errors.RecontrastWarning")  # other voxels than in training
@pytest.mark.parametrize("oblique", [False, True], ids=["straight", "oblique"])
@pytest.mark.parametrize("spacing", SPACINGS, ids=str)
def test_a_copy_lies_where_its_source_lay(
    save: Callable[..., Path], tmp_path: Path, rng: np.random.Generator, spacing: tuple[float, ...], oblique: bool
) -> None:
    translator = load_translator(save(**FIXED), EngineSettings(engine="torch", precision="fp32", device="cpu"))
    for orientation in ORIENTATIONS:
        source, made = tmp_path / f"{orientation}.nii", tmp_path / f"{orientation}_synthetic.nii"
        values = scan(source, affine_of(orientation, spacing, oblique), rng)
        volume = read_volume(source)
        assert volume.orientation == orientation
        write_volume(made, translator.translate({"T1w": volume}), like=source)
        before, after = nib.load(source), nib.load(made)
        assert np.abs(after.get_fdata() - values).max() <= 1e-4 * np.ptp(values), orientation
        assert np.abs(after.affine - before.affine).max() == 0, orientation
        for form in ("get_qform", "get_sform"):
            (there, code), (here, kept) = getattr(before, form)(coded=True), getattr(after, form)(coded=True)
            assert kept == code
            assert np.array_equal(here, there), orientation


@pytest.mark.filterwarnings("ignore::recontrast.errors.RecontrastWarning")
@pytest.mark.parametrize(
    ("orientation", "oblique", "codes", "extension", "dtype"),
    [
        ("RAS", False, (1, 1), ".nii.gz", "float32"),
        ("LPS", True, (1, 0), ".nii", "source"),
        ("ASL", True, (0, 2), ".nii.gz", "source"),
        ("IPR", False, (1, 4), ".nii", "float32"),
    ],
)
def test_the_same_by_the_command(
    save: Callable[..., Path],
    tmp_path: Path,
    rng: np.random.Generator,
    orientation: str,
    oblique: bool,
    codes: tuple[int, int],
    extension: str,
    dtype: str,
) -> None:
    source, made = tmp_path / f"head{extension}", tmp_path / f"head_synthetic{extension}"
    values = scan(source, affine_of(orientation, SPACINGS[1], oblique), rng, *codes)
    run = str(save(**FIXED))
    options = ["--engine", "torch", "--precision", "fp32", "--dtype", dtype, "--no-tuned-allocator"]
    assert cli.run(["translate", run, str(source), str(made), *options]) == 0
    before, after = nib.load(source), nib.load(made)
    assert np.abs(after.get_fdata() - values).max() <= 1e-4 * np.ptp(values)
    np.testing.assert_array_equal(after.affine, before.affine)
    assert (int(after.header["qform_code"]), int(after.header["sform_code"])) == codes


@pytest.mark.filterwarnings("ignore::recontrast.errors.RecontrastWarning")
@pytest.mark.parametrize("angle", [44.9, 45.0, 45.1])
def test_half_way_between_two_axes(
    save: Callable[..., Path], tmp_path: Path, rng: np.random.Generator, angle: float
) -> None:
    a = np.deg2rad(angle)
    affine = np.eye(4)
    affine[:2, :2] = [[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]]
    values = scan(tmp_path / "head.nii", affine, rng)
    translator = load_translator(save(**FIXED), EngineSettings(engine="torch", precision="fp32", device="cpu"))
    made = translator.translate({"T1w": read_volume(tmp_path / "head.nii")})
    np.testing.assert_allclose(made.data, values, atol=1e-3)


@pytest.mark.filterwarnings("ignore::recontrast.errors.RecontrastWarning")
def test_one_volume_of_a_series(save: Callable[..., Path], tmp_path: Path, rng: np.random.Generator) -> None:
    series = rng.uniform(50, 900, (*SHAPE, 3)).astype(np.float32)
    nib.save(nib.Nifti1Image(series, affine_of("LPS", SPACINGS[0], False)), tmp_path / "series.nii.gz")
    out = tmp_path / "one_synthetic.nii.gz"
    settings = TranslateSettings(
        run=save(**FIXED), input=tmp_path / "series.nii.gz", out=out, engine="torch", precision="fp32", volume=2
    )
    translate(settings)
    np.testing.assert_allclose(read_volume(out).data, series[..., 2], atol=1e-2)
    np.testing.assert_array_equal(nib.load(out).affine, nib.load(tmp_path / "series.nii.gz").affine)


@pytest.mark.filterwarnings("ignore::recontrast.errors.RecontrastWarning")
def test_a_single_slice(save: Callable[..., Path], tmp_path: Path, rng: np.random.Generator) -> None:
    image = nib.Nifti1Image(rng.uniform(50, 900, (16, 20, 1)).astype(np.float32), np.diag([0.5, 0.5, 8.0, 1.0]))
    nib.save(image, tmp_path / "slice.nii")
    translator = load_translator(save(**FIXED), EngineSettings(engine="torch", precision="fp32", device="cpu"))
    source = read_volume(tmp_path / "slice.nii")
    np.testing.assert_allclose(translator.translate({"T1w": source}).data, source.data, rtol=1e-6)
    assert isinstance(source, Volume)
