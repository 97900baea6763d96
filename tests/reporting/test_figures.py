from __future__ import annotations

import io
import math

import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image

from recontrast.reporting.curves import Curves
from recontrast.reporting.figures import data_uri, plot_learning_curves, plot_values, png, style, svg


@pytest.fixture
def curves() -> Curves:
    steps = np.arange(1, 61)
    return Curves(
        steps, 1.0 / steps, np.arange(10, 70, 10), {"psnr": np.arange(6.0), "mae": np.arange(6.0)},
        {"psnr": "PSNR (dB) ↑, brain", "mae": "MAE ↓, brain"}, "brain", "recontrast", 2, 40,
    )  # fmt: skip


def test_learning_curves_mark_the_best_step_in_every_panel(curves: Curves) -> None:
    figure = plot_learning_curves(curves)
    visible = [axes for axes in figure.axes if axes.get_visible()]
    assert len(visible) == 3
    for axes in visible:
        assert any(list(line.get_xdata()) == [40, 40] for line in axes.lines)
    assert visible[1].get_title(loc="left") == "validation PSNR (dB) ↑, brain"


def test_curves_without_validation_or_with_broken_losses_are_drawn(curves: Curves) -> None:
    bare = Curves(curves.steps, np.full(60, math.nan), np.array([], int), {}, {}, "", "", None, None)
    assert svg(plot_learning_curves(bare)).startswith(b"<?xml")


def test_values_show_every_subject_and_boxes_only_from_five_on() -> None:
    few = plot_values({"synthetic": [30, 31, math.nan], "identity": [20, 21, 22]}, "PSNR", ["01", "02", "03"]).axes[0]
    many = plot_values({"synthetic": [30, 31, 32, 33, 34], "ridge": [1, 2, 3, 4, 5]}, "PSNR", list("abcde")).axes[0]
    assert [tick.get_text() for tick in few.get_yticklabels()] == ["synthetic", "identity"]
    assert len(few.lines) == 3
    assert len(many.lines) > 5
    assert "one dot a subject (3)" in few.get_xlabel()


@pytest.mark.slow
def test_bytes_do_not_depend_on_the_run(curves: Curves) -> None:
    assert svg(plot_learning_curves(curves)) == svg(plot_learning_curves(curves))
    assert png(plot_learning_curves(curves)) == png(plot_learning_curves(curves))


@pytest.mark.slow
def test_pngs_have_no_alpha_and_svgs_no_fonts_to_load(curves: Curves) -> None:
    figure = plot_learning_curves(curves)
    assert Image.open(io.BytesIO(png(figure))).mode == "RGB"
    drawn = svg(figure).decode()
    assert "font-family" not in drawn
    assert "<image" not in drawn


def test_our_style_does_not_leak() -> None:
    before = mpl.rcParams["font.size"]
    with style():
        assert mpl.rcParams["font.size"] == 7.5
    assert mpl.rcParams["font.size"] == before


def test_data_addresses() -> None:
    assert data_uri(b"x", "image/png") == "data:image/png;base64,eA=="
