"""Nothing but the picture is left: formats that differ in everything give images that a test cannot tell apart."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from recontrast.errors import IntensityError, RecontrastWarning
from recontrast.io.nifti import write_volume
from recontrast.readers.blinding import LEVELS, WHITE, blind_case, grey_step, to_bytes
from recontrast.volume import Volume


@pytest.fixture
def files(tmp_path: Path, write_images: Callable[..., None]) -> dict[str, Path]:
    write_images(tmp_path, 1, (24, 26, 20))
    return {"acquired": tmp_path / "sub-00_acquired.nii.gz", "computed": tmp_path / "sub-00_computed.nii.gz"}


def test_arms_share_grid_mask_range_and_size(files: dict[str, Path]) -> None:
    blind = blind_case("sub-00", files, "acquired")
    acquired, computed = blind.images["acquired"], blind.images["computed"]
    assert acquired.shape == computed.shape == (24, 26, 20)
    assert blind.spacing == (2.0, 2.0, 3.0)
    outside = (acquired == 0) & (computed == 0)
    assert outside[0].all()  # air, by one mask for both
    assert acquired.max() < LEVELS
    for levels in (acquired, computed):
        assert np.percentile(levels[~outside], 99.5) == pytest.approx(WHITE, rel=0.05)
    assert len(to_bytes(acquired)) == len(to_bytes(computed)) == 2 * 24 * 26 * 20


def test_no_arm_has_gaps_between_its_grey_levels(files: dict[str, Path]) -> None:
    # The acquired image has 16-bit integers a quarter as fine as the levels sent; without noise most levels are empty.
    blind = blind_case("sub-00", files, "acquired")
    used = [np.unique(levels[levels > 0]).size for levels in blind.images.values()]
    assert 0.8 < used[0] / used[1] < 1.25


def test_integers_of_different_steps_leave_no_comb(tmp_path: Path) -> None:
    places = np.stack(np.meshgrid(*[np.arange(40) * 3.0 - 58.5] * 3, indexing="ij"))
    radius = np.sqrt((places**2).sum(axis=0))
    files = {}
    for arm, step in (("acquired", 5.0), ("computed", 7.0)):
        rng = np.random.default_rng(int(step))
        smooth = np.where(radius < 55, 1000 + 20 * radius + 150 * rng.standard_normal(radius.shape), 0)
        files[arm] = tmp_path / f"{arm}.nii.gz"
        write_volume(files[arm], Volume((np.abs(smooth) / step).astype(np.int16), np.diag([3.0, 3.0, 3.0, 1.0])))
    periods = np.arange(2.5, 20, 0.01)
    for arm, levels in blind_case("c", files, "acquired").images.items():
        inner = levels[radius < 50].astype(np.float64)
        combs = [np.abs(np.exp(2j * np.pi * inner / period).mean()) for period in periods]
        assert max(combs) < 0.03, (arm, periods[int(np.argmax(combs))])


def test_axes_are_put_right(files: dict[str, Path]) -> None:
    # The computed file is stored LPS; the bright half lies at high i (right) in both.
    blind = blind_case("sub-00", files, "acquired")
    for levels in blind.images.values():
        assert levels[14:17, 13, 10].mean() > levels[7:10, 13, 10].mean() + 300


def test_bytes_have_the_first_axis_fastest_and_the_low_byte_first() -> None:
    levels = np.zeros((2, 2, 1), np.uint16)
    levels[1, 0, 0] = 258
    assert to_bytes(levels) == bytes([0, 0, 2, 1, 0, 0, 0, 0])


def test_reference_scale_keeps_differences_of_brightness(files: dict[str, Path], tmp_path: Path) -> None:
    from recontrast.io.nifti import read_volume

    brighter = read_volume(files["acquired"])
    write_volume(tmp_path / "double.nii.gz", brighter.with_data(brighter.data * 1.4))
    both = {"acquired": files["acquired"], "computed": tmp_path / "double.nii.gz"}
    ratios = {}
    for scale in ("own", "reference"):
        images = blind_case("sub-00", both, "acquired", scale=scale).images  # type: ignore[arg-type]
        ratios[scale] = images["computed"].mean() / images["acquired"].mean()
    assert ratios["own"] == pytest.approx(1.0, abs=0.02)
    assert ratios["reference"] > 1.2


def test_another_grid_is_brought_over_with_a_warning(files: dict[str, Path], tmp_path: Path) -> None:
    from recontrast.io.nifti import read_volume

    shifted = read_volume(files["acquired"])
    affine = shifted.affine.copy()
    affine[0, 3] += 0.3
    write_volume(tmp_path / "shifted.nii.gz", Volume(shifted.data, affine))
    with pytest.warns(RecontrastWarning, match="resampled"):
        blind = blind_case("c", {"acquired": files["acquired"], "x": tmp_path / "shifted.nii.gz"}, "acquired")
    assert blind.images["x"].shape == (24, 26, 20)


def test_a_stripped_arm_strips_all_and_says_so(files: dict[str, Path], tmp_path: Path) -> None:
    from recontrast.io.nifti import read_volume

    whole = read_volume(files["acquired"])
    i, j, k = np.meshgrid(*[np.linspace(-1, 1, n) for n in whole.shape], indexing="ij")
    stripped = np.where(i**2 + j**2 + k**2 < 0.3, whole.data + 1, 0)
    write_volume(tmp_path / "brain.nii.gz", whole.with_data(stripped.astype(np.float32)))
    with pytest.warns(RecontrastWarning, match="skull-stripped"):
        images = blind_case("c", {"acquired": files["acquired"], "x": tmp_path / "brain.nii.gz"}, "acquired").images
    assert (images["acquired"][stripped == 0] == 0).all()


def test_a_constant_image_is_refused(files: dict[str, Path], tmp_path: Path) -> None:
    write_volume(tmp_path / "flat.nii.gz", Volume(np.ones((24, 26, 20), np.float32), np.diag([2.0, 2, 3, 1])))
    with pytest.raises(IntensityError, match="case c"):
        blind_case("c", {"acquired": files["acquired"], "x": tmp_path / "flat.nii.gz"}, "acquired")


def test_step_of_continuous_values_is_none() -> None:
    assert grey_step(np.random.default_rng(0).random(20000) * 1000) == 0


def test_bright_fat_of_the_scalp_does_not_leave_the_brain_dark(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    places = np.stack(np.meshgrid(*[np.arange(50) * 3.0 - 73.5] * 3, indexing="ij"))
    radius = np.sqrt((places**2).sum(axis=0))
    head = np.where(radius < 70, 400.0, 0.0)
    head[(radius > 62) & (radius < 70)] = 3000.0  # scalp
    head[radius < 52] = 1000.0
    files = {}
    for arm in ("acquired", "computed"):
        noisy = np.abs(head + 20 * rng.standard_normal(head.shape)).astype(np.float32)
        files[arm] = tmp_path / f"{arm}.nii.gz"
        write_volume(files[arm], Volume(noisy, np.diag([3.0, 3.0, 3.0, 1.0])))
    for levels in blind_case("c", files, "acquired").images.values():
        assert levels[radius < 45].mean() > WHITE / 2  # by the percentiles of the whole head: a fifth of it
        assert levels[(radius > 63) & (radius < 69)].min() > WHITE
