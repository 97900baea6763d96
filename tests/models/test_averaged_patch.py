"""The discriminator of large patches: published size, which voxels it judges."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from recontrast.errors import ConfigError
from recontrast.models.averaged_patch import AveragedPatch


def test_published_number_of_parameters_and_one_number_a_patch() -> None:
    with torch.device("meta"):
        judge = AveragedPatch(spatial_dims=3, stride=50)
        maps = []
        judge.head.register_forward_hook(lambda _, __, result: maps.append(tuple(result.shape)))
        assert judge(torch.empty(1, 2, 128, 128, 128)).shape == (1, 8)
    assert sum(parameter.numel() for parameter in judge.parameters()) == 286_625
    assert maps == [(8, 1, 5, 5, 5)]


def test_published_stride_leaves_voxels_unjudged_and_the_exact_one_none() -> None:
    for stride, share in ((50, 0.70645), (64, 1.0)):
        judged = torch.zeros(128, 128, 128)
        for i, j, k in AveragedPatch(spatial_dims=3, width=1, stride=stride).starts(judged.shape):
            judged[i : i + 64, j : j + 64, k : k + 64] = 1
        assert float(judged.mean()) == pytest.approx(share, abs=1e-5)


def test_each_logit_is_of_its_own_patch_and_image() -> None:
    torch.manual_seed(0)
    judge = AveragedPatch(spatial_dims=2, width=2, layers=1, patch=16)
    images = torch.rand(3, 2, 32, 16)
    logits = judge(images)
    assert logits.shape == (3, 2)
    alone = judge(images[1:2, :, 16:])
    torch.testing.assert_close(logits[1, 1], alone[0, 0])
    features = functional.leaky_relu(judge.layers[0](images[1:2, :, 16:]), 0.2)
    torch.testing.assert_close(alone[0, 0], judge.head(features).mean())


def test_a_small_image_is_one_patch() -> None:
    assert AveragedPatch(spatial_dims=3, width=1, layers=2)(torch.rand(2, 2, 5, 9, 70)).shape == (2, 1)
    with pytest.raises(ConfigError, match="stride"):
        AveragedPatch(stride=-1)
