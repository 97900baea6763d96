"""Figures of a study: every run has a panel, every network its difference."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from recontrast.reporting.curves import read_curves
from recontrast.reporting.figures import png
from recontrast.reporting.planes import AXIAL, sides
from recontrast.reporting.studies import plot_all_curves, plot_networks, plot_sheet, plot_volume_differences

LETTERS = sides(AXIAL, "radiological")


def test_all_runs_on_one_page() -> None:
    events = [{"event": "step", "step": n, "loss": 1 / n} for n in range(1, 9)]
    events += [
        {"event": "validation", "step": n, "region": "brain", "metrics": {"psnr": 20.0 + n}, "best": True}
        for n in (4, 8)
    ]
    curves = read_curves(events)
    assert curves is not None
    figure = plot_all_curves({f"run {n}": curves for n in range(4)})
    shown = [axes for axes in figure.axes if axes.get_visible() and axes.get_title(loc="left")]
    assert [axes.get_title(loc="left") for axes in shown] == [f"run {n}" for n in range(4)]


def test_sheet_has_a_row_for_each_candidate() -> None:
    images = [np.ones((10, 8))] * 3
    figure = plot_sheet({"acquired": images, "C1": images}, [1.0] * 3, LETTERS)
    written = [{text.get_text() for text in axes.texts} for axes in figure.axes]
    assert all({"R", "L", "A", "P"} <= texts for texts in written)
    assert ["synthetic" in texts for texts in written] == [False] * 3 + [True] * 3
    assert [axes.get_ylabel() for axes in figure.axes if axes.get_ylabel()] == ["acquired", "C1"]


def test_networks_have_a_signed_difference_row() -> None:
    image = np.full((6, 5), 0.5)
    columns = {"T1w": image, "acquired": image, "net": image + 0.1}
    figure = plot_networks(columns, "acquired", 1.0, 0.2, LETTERS, aspect=2.0)
    written = [{text.get_text() for text in axes.texts} for axes in figure.axes]
    assert ["synthetic" in texts for texts in written[:3]] == [False, False, True]
    assert all({"R", "L", "A", "P"} <= written[n] for n in (0, 1, 2, 5))
    assert figure.axes[2].get_aspect() == 2.0
    below = figure.axes[5].images[0]
    assert np.allclose(below.get_array(), 0.1)
    assert (below.norm.vmin, below.norm.vmax) == (-0.2, 0.2)
    assert not figure.axes[4].images


@pytest.mark.slow
def test_volume_differences_have_a_strip_a_method_and_a_panel_a_tissue():
    values = {
        name: {tissue: {"untranslated": [-5.0, -3.0], "unet": [1.0, float("nan")]} for tissue in ("GM", "CSF")}
        for name in ("good sources", "low sources")
    }
    figure = plot_volume_differences(values, "VD, cm³")
    assert [axes.get_title(loc="left") for axes in figure.axes] == [
        "GM, good sources", "CSF, good sources", "GM, low sources", "CSF, low sources",
    ]  # fmt: skip
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["unet", "untranslated"]


def test_a_small_l_keeps_its_bar() -> None:
    dark = np.zeros((60, 48))
    columns = {"T1w": dark, "acquired": dark, **{f"net {n}": dark for n in range(6)}}
    figure = plot_networks(columns, "acquired", 1.0, 0.3, LETTERS)
    with Image.open(io.BytesIO(png(figure))) as picture:
        pixels = np.asarray(picture.convert("L"))
    height = pixels.shape[0]
    for axes in figure.axes[:8]:
        letter = next(text for text in axes.texts if text.get_text() == "L")
        x0, y0, x1, y1 = letter.get_window_extent().extents.round().astype(int)
        bright = pixels[height - y1 - 1 : height - y0 + 1, x0 - 1 : x1 + 1] > 60
        assert bright.any(axis=1).sum() >= 6, "its stem"
        assert bright.sum(axis=1).max() >= 3, "its bar"
