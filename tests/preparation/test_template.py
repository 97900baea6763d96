"""Registration to the template."""

from __future__ import annotations

import numpy as np
import pytest
from tests.preparation.conftest import mni_grid, mni_scan
from tests.preparation.test_align import rigid

from recontrast.errors import ConfigError, GeometryError
from recontrast.preparation.align import mean_displacement
from recontrast.preparation.template import (
    TemplateSettings,
    register_to_template,
    template_brain,
)
from recontrast.volume import Volume

AFFINE = rigid((8, -10, 12), (15, -20, 18)) @ np.diag([0.9, 0.95, 0.92, 1.0])


def test_the_brain_of_the_template_is_a_large_one():
    assert template_brain().data.sum() == pytest.approx(1.9e6, rel=0.05)  # 1.9 litres: an average is large


@pytest.mark.slow
@pytest.mark.parametrize("contrast", ["T1w", "T2w"])
def test_a_planted_affine_is_found(contrast):
    image = mni_scan(contrast, *mni_grid(3.0), AFFINE)
    found = register_to_template(image)
    assert mean_displacement(found.transform, AFFINE, template_brain()) < 0.75  # a quarter voxel
    np.testing.assert_allclose(found.stretches, (0.9, 0.92, 0.95), atol=0.015)


@pytest.mark.slow
@pytest.mark.parametrize("dof", [6, 9])
def test_fewer_degrees_of_freedom(dof):
    planted = rigid((6, -4, 8), (10, 5, -8)) @ (np.eye(4) if dof == 6 else np.diag([0.9, 0.95, 0.92, 1.0]))
    found = register_to_template(mni_scan("T1w", *mni_grid(4.0), planted), TemplateSettings(dof=dof))
    assert mean_displacement(found.transform, planted, template_brain()) < 1.0
    if dof == 6:
        np.testing.assert_allclose(found.stretches, 1.0, atol=1e-6)


@pytest.mark.slow
def test_headers_far_away_and_the_same_bits():
    image = mni_scan("T1w", *mni_grid(4.0), seed=2)
    away = rigid((0, 0, 0), (300, -200, 150))
    moved = Volume(image.data, away @ image.affine)
    first, second = (register_to_template(moved).transform for _ in range(2))
    assert mean_displacement(first, away, template_brain()) < 1.0
    np.testing.assert_array_equal(first, second)


@pytest.mark.slow
def test_what_is_no_head_is_refused():
    rng = np.random.default_rng(0)
    small = Volume((rng.random((30, 30, 30)) * 100).astype(np.float32), np.diag([0.5, 0.5, 0.5, 1]))
    with pytest.raises(GeometryError, match=r"sub-01: (registration to the template|only \d+ % of the template)"):
        register_to_template(small, what="sub-01")
    with pytest.raises(ConfigError, match="has 6, 9 or 12"):
        register_to_template(small, TemplateSettings(dof=7))
