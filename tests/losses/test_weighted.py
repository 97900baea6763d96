"""Errors at edges and in lesions count more."""

from __future__ import annotations

import pytest
import torch

from recontrast.errors import ConfigError
from recontrast.losses.weighted import EdgeError, LesionError


def test_an_error_at_an_edge_counts_and_one_in_a_flat_place_does_not() -> None:
    step = torch.zeros(1, 1, 8, 8)
    step[..., 4:] = 1
    at_edge, flat = step.clone(), step.clone()
    at_edge[..., 2, 4] += 0.5
    flat[..., 2, 1] += 0.5
    assert EdgeError()(step, at_edge).item() == pytest.approx(0.5 / 64)
    assert EdgeError()(step, flat).item() == 0


def test_steepness_is_measured_in_volumes_and_inside_the_mask() -> None:
    ramp = torch.linspace(0, 0.5, 6).view(1, 1, 1, 1, 6).expand(1, 1, 4, 5, 6)  # 0.1 a voxel
    mask = torch.zeros(1, 1, 4, 5, 6)
    mask[..., 2] = 1
    wrong = ramp + mask
    assert EdgeError(full=0.4)(ramp, wrong, mask).item() == pytest.approx(0.25, rel=1e-4)
    with pytest.raises(ConfigError, match="full is 0"):
        EdgeError(full=0)


def test_a_lesion_counts_by_its_voxels_whatever_its_size() -> None:
    target, mask = torch.zeros(1, 1, 4, 4), torch.ones(1, 1, 4, 4)
    lesion = torch.zeros(1, 1, 4, 4)
    lesion[..., 0, :2] = 1
    assert LesionError()(target, target + 0.8, mask, lesion=lesion).item() == pytest.approx(0.8 * 2 / 16)
    mask[..., 0, 0] = 0
    assert LesionError()(target, target + 0.8, mask, lesion=lesion).item() == pytest.approx(0.8 / 15)
    assert LesionError()(target, target + 0.8, mask).item() == 0
