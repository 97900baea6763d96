from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from recontrast.io.nifti import read_volume, write_volume
from recontrast.reporting.cases import CaseFiles, CasePictures, cut_case
from recontrast.reporting.figures import png
from recontrast.reporting.montage import nice_limit, plot_case


@pytest.fixture
def cut(tmp_path: Path, make_case: Callable[..., dict[str, Path]]) -> Callable[..., CasePictures]:
    """Write a case in which the patient's left is marked, as its axes are stored in `orientation`, and cut it."""

    def make(orientation: str = "RAS", convention: str = "radiological", error: float = 40.0) -> CasePictures:
        paths = make_case(tmp_path, "sub-01", error=error)
        for path in paths.values():
            volume = read_volume(path)
            data = np.minimum(volume.data, 600)
            data[3:6, 9:14, 6:12] = 2000  # low i is the patient's left: the axes run RAS
            write_volume(path, volume.with_data(data).reoriented(orientation))
        for mask in paths["reference"].parent.glob("*_mask.nii.gz"):
            write_volume(mask, read_volume(mask, np.uint8).reoriented(orientation), np.uint8)
        files = CaseFiles(
            "sub-01", {"T1w": paths["source"]}, paths["synthetic"], paths["reference"], (0, 2000), (0, 2000)
        )  # fmt: skip
        return cut_case(files, convention)

    return make


def panel(figure: Figure, gid: str) -> Any:
    return next(axes for axes in figure.axes if axes.get_gid() == gid)


def pixels_of(figure: Figure, gid: str) -> np.ndarray:
    """The rendered pixels of one panel, without its edges where the letters stand."""
    figure.canvas.draw()
    image = np.asarray(figure.canvas.buffer_rgba())[..., :3].astype(float).mean(axis=-1)  # type: ignore[attr-defined]
    box = panel(figure, gid).get_window_extent()
    rows = slice(round(image.shape[0] - box.y1) + 2, round(image.shape[0] - box.y0) - 2)
    inside = image[rows, round(box.x0) + 2 : round(box.x1) - 2]
    return inside[inside.shape[0] // 5 : -inside.shape[0] // 5]


def test_limits_of_colour_scales_are_round_numbers() -> None:
    assert [nice_limit(v) for v in (0.117, 0.1, 0.61, 9.0, 0.0)] == [0.15, 0.1, 0.8, 10.0, 1.0]


@pytest.mark.parametrize("orientation", ["RAS", "LPS", "LAS", "SPL"])
@pytest.mark.parametrize(("convention", "on_the_right"), [("radiological", True), ("neurological", False)])
def test_the_patients_left_is_where_the_convention_says(
    cut: Callable[..., CasePictures], orientation: str, convention: str, on_the_right: bool
) -> None:
    figure = plot_case(cut(orientation, convention))
    for plane in ("axial", "coronal"):
        rendered = pixels_of(figure, f"{plane}-reference")
        bright = rendered > 200
        assert bright.any()
        centre = np.nonzero(bright)[1].mean() / rendered.shape[1]
        assert (centre > 0.55) == on_the_right
        letters = [text.get_text() for text in panel(figure, f"{plane}-reference").texts]
        assert letters[:2] == (["R", "L"] if on_the_right else ["L", "R"])


def test_synthetic_and_reference_have_the_references_window(cut: Callable[..., CasePictures]) -> None:
    pictures = cut(error=400.0)
    figure = plot_case(pictures)
    for plane in ("axial", "coronal", "sagittal"):
        windows = {
            name: (image.norm.vmin, image.norm.vmax)
            for name in ("synthetic", "reference")
            for image in panel(figure, f"{plane}-{name}").images
        }
        assert windows["synthetic"] == windows["reference"] == pictures.window


def test_the_difference_is_signed_and_its_colours_centred_at_zero(cut: Callable[..., CasePictures]) -> None:
    figure = plot_case(cut(), 0.2)
    image = panel(figure, "axial-difference").images[0]
    assert (image.norm.vmin, image.norm.vmax) == (-0.2, 0.2)
    red, green, blue, _ = image.cmap(image.norm(0.0))
    assert min(red, green, blue) > 0.95
    assert image.cmap(image.norm(0.2))[0] > image.cmap(image.norm(0.2))[2]
    assert image.cmap(image.norm(-0.2))[2] > image.cmap(image.norm(-0.2))[0]


def test_every_colour_bar_says_what_it_shows(cut: Callable[..., CasePictures]) -> None:
    figure = plot_case(cut())
    bars = {axes.get_gid(): axes for axes in figure.axes if str(axes.get_gid()).startswith("bar-")}
    assert set(bars) == {"bar-source-T1w", "bar-synthetic", "bar-difference", "bar-ssim"}
    assert all(axes.get_xlabel() for axes in bars.values())
    assert [tick.get_text() for tick in bars["bar-ssim"].get_xticklabels()] == ["0", "0.5", "1"]


def test_panels_keep_the_proportions_of_the_head(cut: Callable[..., CasePictures]) -> None:
    pictures = cut()
    figure = plot_case(pictures)
    figure.canvas.draw()
    for plane in pictures.planes:
        box = panel(figure, f"{plane.where.plane.name}-reference").get_window_extent()
        rows, cols = plane.reference.shape
        assert box.width / box.height == pytest.approx(cols * plane.pixel_mm[0] / (rows * plane.pixel_mm[1]), rel=0.02)


@pytest.mark.slow
def test_synthetic_panels_are_marked(cut: Callable[..., CasePictures]) -> None:
    figure = plot_case(cut())
    for axes in figure.axes:
        marked = "synthetic" in [text.get_text() for text in axes.texts]
        assert marked == str(axes.get_gid()).endswith("-synthetic") or str(axes.get_gid()).startswith("bar-")


@pytest.mark.slow
def test_the_same_case_gives_the_same_bytes(cut: Callable[..., CasePictures]) -> None:
    pictures = cut()
    assert png(plot_case(pictures)) == png(plot_case(pictures))
