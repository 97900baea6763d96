"""Moving whole images, and finding by how much."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from recontrast.losses.shifts import best_shift, moved


def smooth_images(rng: np.random.Generator, *shape: int) -> torch.Tensor:
    return torch.from_numpy(np.stack([gaussian_filter(rng.random(shape), 2.0) for _ in range(3)])[:, None]).float()


@pytest.mark.parametrize("shape", [(32, 40), (20, 24, 22)])
def test_a_planted_shift_is_found_in_slices_and_volumes(shape: tuple[int, ...], rng: np.random.Generator) -> None:
    images = smooth_images(rng, *shape)
    planted = torch.from_numpy(rng.uniform(-3, 3, (3, len(shape)))).float()
    mask = torch.zeros_like(images, dtype=torch.bool)
    mask[(..., *[slice(4, -4)] * len(shape))] = True
    found = best_shift(moved(images, planted), images, mask, 3)
    assert (found - planted).abs().max() < 0.1


def test_only_the_mask_decides(rng: np.random.Generator) -> None:
    images = smooth_images(rng, 32, 40)
    mask = torch.zeros_like(images, dtype=torch.bool)
    mask[..., 6:-6, 6:-6] = True
    disturbed = torch.where(mask, moved(images, torch.full((3, 2), 2.0)), 5.0)
    assert best_shift(disturbed, images, mask, 3).round().eq(2).all()


def test_images_that_fit_or_show_nothing_stay(rng: np.random.Generator) -> None:
    images = smooth_images(rng, 16, 18)
    assert best_shift(images, images, None, 3).abs().max() < 1e-3
    flat = torch.ones(1, 1, 16, 18)
    assert best_shift(flat, flat, None, 3).abs().max() == 0
    assert best_shift(images, images.roll(2, 3), torch.zeros_like(images), 3).abs().max() == 0


def test_no_shift_is_farther_than_asked_for(rng: np.random.Generator) -> None:
    images = smooth_images(rng, 32, 40)
    assert best_shift(moved(images, torch.full((3, 2), 5.0)), images, None, 2).abs().max() <= 2


def test_whole_voxels_are_moved_exactly_and_gradients_flow(rng: np.random.Generator) -> None:
    image = torch.from_numpy(rng.random((1, 1, 6, 7))).float().requires_grad_()
    result = moved(image, torch.tensor([[1.0, -2.0]]))
    assert torch.allclose(result[..., 1:, :-2], image[..., :-1, 2:], atol=1e-6)
    result.sum().backward()
    assert image.grad is not None
    assert torch.isfinite(image.grad).all()
