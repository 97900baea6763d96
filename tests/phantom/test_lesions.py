"""Pathology and its truth."""

from __future__ import annotations

import numpy as np
import pytest

from recontrast.errors import DataError, UnknownNameError
from recontrast.phantom.lesions import KINDS, NEEDED, add_pathology, make_blob


@pytest.mark.parametrize("kind", KINDS)
def test_lesions_lie_in_brain_and_keep_the_sum(tiny_anatomy, kind):
    before = tiny_anatomy.fractions.copy()
    truth = add_pathology(tiny_anatomy, kind, np.random.default_rng(5))
    np.testing.assert_allclose(tiny_anatomy.fractions.sum(axis=0), before.sum(axis=0), atol=1e-5)
    assert truth.min() >= 0
    assert truth.max() <= 1 + 1e-6
    changed = np.abs(tiny_anatomy.fractions - before).max(axis=0) > 1e-6
    assert changed.any() == (kind != "none")
    assert not truth[~changed].any()
    skull = tiny_anatomy.tissues.index("skull")
    np.testing.assert_array_equal(tiny_anatomy.fractions[skull], before[skull])
    for tissue in NEEDED[kind]:
        assert tiny_anatomy.share(tissue).sum() > 0


def test_oedema_stays_on_the_side_of_the_tumour(tiny_anatomy):
    add_pathology(tiny_anatomy, "tumour", np.random.default_rng(1))
    x = tiny_anatomy.grid.axes()[0]
    per_side = [tiny_anatomy.share("oedema", "tumour", "necrosis")[side].sum() for side in (x < -3, x > 3)]
    assert min(per_side) < 0.15 * max(per_side)


def test_a_head_without_white_matter_is_refused(tiny_anatomy):
    tiny_anatomy.fractions[tiny_anatomy.tissues.index("WM")] = 0
    with pytest.raises(DataError, match="no voxel that is mostly white matter"):
        add_pathology(tiny_anatomy, "ms", np.random.default_rng(0))


def test_unknown_pathology(tiny_anatomy):
    with pytest.raises(UnknownNameError, match="did you mean 'tumour'"):
        add_pathology(tiny_anatomy, "tumor", np.random.default_rng(0))


def test_blob_at_the_edge_of_the_grid_has_a_box_inside_it(tiny_grid):
    corner = np.array([axis[0] for axis in tiny_grid.axes()])
    blob = make_blob(tiny_grid, corner, np.array([4.0, 4.0, 4.0]), np.random.default_rng(0))
    assert np.zeros(tiny_grid.shape)[blob.box].shape == blob.radius.shape
