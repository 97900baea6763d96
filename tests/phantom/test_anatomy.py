"""Deforming a template into subjects."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from recontrast.phantom.anatomy import draw_shape, render, rotation
from recontrast.phantom.grids import Grid, average_boxes


def test_a_shape_without_differences_returns_the_template(tiny_head, tiny_grid, same_shape):
    anatomy = render(tiny_head, same_shape, np.random.default_rng(0), tiny_grid, tiny_grid)
    np.testing.assert_allclose(anatomy.fractions, tiny_head.fractions / 255, atol=1e-3)


def test_right_stays_right(tiny_anatomy):
    muscle = tiny_anatomy.share("muscle")
    x = tiny_anatomy.grid.axes()[0][:, None, None]
    assert (muscle * x).sum() / muscle.sum() > 40


def test_a_smaller_head_takes_less_space(tiny_head, tiny_grid, same_shape):
    affine = np.diag([1 / 0.8, 1 / 0.8, 1 / 0.8, 1])
    smaller = replace(same_shape, affine=tuple(map(tuple, affine.tolist())))
    full = render(tiny_head, same_shape, np.random.default_rng(0), tiny_grid, tiny_grid).share("WM", "GM").sum()
    part = render(tiny_head, smaller, np.random.default_rng(0), tiny_grid, tiny_grid).share("WM", "GM").sum()
    assert part / full == pytest.approx(0.8**3, rel=0.06)


def test_ventricles_widen_and_sulci_open(tiny_head, tiny_grid, same_shape):
    def csf(shape):
        return render(tiny_head, shape, np.random.default_rng(0), tiny_grid, tiny_grid)

    plain = csf(same_shape)
    assert csf(replace(same_shape, ventricles_mm=4.0)).ventricles.sum() > 1.2 * plain.ventricles.sum()
    shifted = replace(same_shape, affine=((1, 0, 0, 2.5), (0, 1, 0, 2.5), (0, 0, 1, 2.5), (0, 0, 0, 1)))
    wide = replace(shifted, sulci=3.0)
    assert csf(wide).share("CSF").sum() > csf(shifted).share("CSF").sum()
    np.testing.assert_allclose(csf(wide).fractions.sum(axis=0), csf(shifted).fractions.sum(axis=0), atol=1e-5)


def test_the_same_seed_gives_one_head_on_any_grid(tiny_head, tiny_grid):
    shape = draw_shape(np.random.default_rng(3), 50.0)
    fine = Grid(tuple(2 * n for n in tiny_grid.shape), (3.0, 3.0, 3.0), tiny_grid.origin)
    on_fine = render(tiny_head, shape, np.random.default_rng(7), fine, tiny_grid)
    on_coarse = render(tiny_head, shape, np.random.default_rng(7), tiny_grid, tiny_grid)
    np.testing.assert_allclose(on_fine.fractions[:, ::2, ::2, ::2], on_coarse.fractions, atol=1e-5)
    other = render(tiny_head, shape, np.random.default_rng(8), tiny_grid, tiny_grid)
    assert np.abs(other.fractions - on_coarse.fractions).max() > 0.1
    assert average_boxes(on_fine.share("WM"), fine, tiny_grid).sum() == pytest.approx(
        on_coarse.share("WM").sum(), rel=0.1
    )


def test_shapes_age():
    young = [draw_shape(np.random.default_rng(i), 25.0) for i in range(40)]
    old = [draw_shape(np.random.default_rng(i), 80.0) for i in range(40)]
    assert np.mean([s.ventricles_mm for s in old]) > np.mean([s.ventricles_mm for s in young]) + 1
    assert np.mean([s.sulci for s in old]) > np.mean([s.sulci for s in young])


def test_replacing_keeps_the_sum(tiny_anatomy):
    box = (slice(5, 15), slice(5, 15), slice(5, 15))
    before = tiny_anatomy.fractions.sum(axis=0)
    white = tiny_anatomy.share("WM")[box].sum()
    tiny_anatomy.replace("lesion", np.full((10, 10, 10), 0.5, np.float32), box, ("WM",))
    np.testing.assert_allclose(tiny_anatomy.fractions.sum(axis=0), before, atol=1e-6)
    assert tiny_anatomy.share("lesion").sum() == pytest.approx(white / 2, rel=1e-5)


def test_rotation_is_proper():
    turn = rotation(0.1, -0.2, 0.3)
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(rotation(0, 0, np.pi / 2) @ [1, 0, 0], [0, 1, 0], atol=1e-12)
