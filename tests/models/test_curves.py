"""Curves: least squares for every subset and target, flat where nothing was seen, nothing from what is absent."""

from __future__ import annotations

import pytest
import torch

from recontrast.errors import ConfigError
from recontrast.models.curves import KNOTS, MOST, TOP, Curves


def test_every_subset_and_target_has_a_number_of_its_own() -> None:
    curves = Curves(contrasts=3, targets=2)
    there = torch.tensor([[n >> k & 1 for k in range(3)] for n in range(8) for _ in range(2)])
    wanted = torch.eye(2).repeat(8, 1)
    assert curves.code(there, wanted).tolist() == list(range(16))


def test_the_fit_is_the_one_of_least_squares() -> None:
    torch.manual_seed(0)
    curves, images = Curves(contrasts=2, targets=1), TOP * torch.rand(4, 2, 40, 40)
    target = torch.sin(3 * images[:, :1]) + images[:, 1:] ** 2 + 0.1 * torch.randn(4, 1, 40, 40)
    mask = torch.rand(4, 1, 40, 40) > 0.3
    code = torch.tensor([3, 3, 1, 3])
    curves.fit(images, code, target, mask)
    chosen = code == 3
    error = (curves(images, code) - target)[chosen][mask[chosen]]
    assert float(error.square().mean()) < 0.1**2 * 1.02
    assert abs(float(error.mean())) < 1e-3
    assert torch.all(curves.heights[1, 1] == 0)  # the second source is not in subset 1
    assert torch.all(curves.heights[2] == 0)


def test_where_nothing_was_seen_a_curve_is_flat_and_finite() -> None:
    curves, image = Curves(contrasts=1, targets=1), torch.full((1, 1, 8, 8), 0.5)
    code = torch.tensor([1])
    curves.fit(image, code, torch.full_like(image, 0.7), torch.ones_like(image))
    for value in (-1.0, 0.0, 0.5, 1.0, 9.0):
        assert float(curves(torch.full((1, 1, 1, 1), value), code)) == pytest.approx(0.7, abs=1e-3)
    curves.fit(image, code, torch.zeros_like(image), torch.zeros_like(image))  # an empty mask: nothing changes
    assert float(curves(image, code).mean()) == pytest.approx(0.7, abs=1e-3)


def test_volumes_are_done_as_slices_are() -> None:
    curves, volume = Curves(contrasts=2, targets=1), torch.rand(1, 2, 6, 5, 4)
    curves.heights.copy_(torch.rand(4, 2, KNOTS))
    code = torch.tensor([3])
    torch.testing.assert_close(curves(volume, code)[..., 2], curves(volume[..., 2], code))


def test_there_are_not_curves_for_any_number_of_sources() -> None:
    with pytest.raises(ConfigError, match=f"at most {MOST} sources, got {MOST + 1}; use start 'none'"):
        Curves(contrasts=MOST + 1, targets=1)
