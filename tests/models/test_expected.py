"""The table of expected targets."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from recontrast.errors import ConfigError
from recontrast.models.expected import ExpectedTarget


def test_before_fitting_it_says_nothing() -> None:
    assert not ExpectedTarget(contrasts=2)(torch.rand(1, 2, 4, 4)).any()


@pytest.mark.parametrize("contrasts", [1, 2, 3])
def test_finds_a_smooth_function_of_the_sources(contrasts: int) -> None:
    torch.manual_seed(0)
    source = torch.rand(4, contrasts, 96, 96)
    target = source.square().mean(1, keepdim=True)
    expected = ExpectedTarget(contrasts=contrasts)
    expected.fit(source, target, torch.ones_like(target))
    asked = 0.1 + 0.8 * torch.rand(1, contrasts, 20, 20)
    error = expected(asked) - asked.square().mean(1, keepdim=True)
    assert error.square().mean().sqrt() < {1: 0.004, 2: 0.01, 3: 0.05}[contrasts]


def test_noise_in_the_target_is_averaged_out() -> None:
    torch.manual_seed(0)
    source = torch.rand(1, 1, 256, 256)
    clean = torch.sin(3 * source)
    expected = ExpectedTarget(contrasts=1)
    expected.fit(source, clean + 0.1 * torch.randn_like(source), torch.ones_like(source))
    assert (expected(source) - clean).square().mean().sqrt() < 0.02


def test_only_voxels_of_the_mask_count() -> None:
    source = torch.full((1, 1, 32, 32), 0.5)
    target = torch.cat([torch.full((1, 1, 16, 32), 0.25), torch.full((1, 1, 16, 32), 99.0)], dim=2)
    expected = ExpectedTarget(contrasts=1)
    expected.fit(source, target, target < 1)
    assert expected(source).flatten().tolist() == pytest.approx([0.25] * 1024)
    expected.fit(source, target, torch.zeros_like(target))
    assert expected(source)[0, 0, 0, 0].item() == pytest.approx(0.25)


def test_voxels_beyond_the_training_stay_bounded() -> None:
    source = torch.rand(1, 2, 64, 64)
    target = source[:, :1]
    expected = ExpectedTarget(contrasts=2)
    expected.fit(source, target, torch.ones_like(target))
    far = expected(torch.tensor([-7.0, 9.0]).reshape(1, 2, 1, 1))
    assert 0 <= float(far) <= 1


def test_the_middle_of_neighbouring_slices_is_looked_at() -> None:
    torch.manual_seed(0)
    source = torch.rand(2, 6, 64, 64)
    target = source[:, 1:2] + source[:, 4:5]
    expected = ExpectedTarget(contrasts=2, slices=3)
    expected.fit(source, target, torch.ones_like(target))
    assert np.corrcoef(expected(source).flatten().numpy(), target.flatten().numpy())[0, 1] > 0.99


def test_gradients_reach_the_sources_and_volumes_work() -> None:
    expected = ExpectedTarget(contrasts=1)
    volume = torch.rand(1, 1, 8, 8, 8)
    expected.fit(volume, 2 * volume, torch.ones_like(volume))
    volume.requires_grad_()
    expected(volume).sum().backward()  # type: ignore[no-untyped-call]
    assert volume.grad is not None
    assert volume.grad.abs().sum() > 0


def test_too_many_contrasts() -> None:
    with pytest.raises(ConfigError, match="1 to 3 contrasts, got 4"):
        ExpectedTarget(contrasts=4)
