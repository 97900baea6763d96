"""What a network is shown, its levels, and its output without a part of it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from recontrast.models.pix2pix_unet import Pix2PixUNet
from recontrast.models.unet import UNet
from recontrast.translation.description import TranslatorDescription
from recontrast.translation.inside import levels_of, shown_at, sizes_of, skips_of, without_detail


def test_a_slice_is_shown_with_its_voxel(describe: Callable[..., TranslatorDescription]) -> None:
    image = np.arange(4 * 5 * 6, dtype=np.float32).reshape(4, 5, 6)
    for plane, given in (("axial", image[:, :, 3]), ("coronal", image[:, 2, :]), ("sagittal", image[1])):
        shown = shown_at(describe(plane=plane), {"T1w": image}, (1, 2, 3))
        assert np.array_equal(shown.given[0, 0], given)
        assert shown.given[(0, 0, *shown.place)] == image[1, 2, 3]
        assert np.array_equal(image[shown.box].squeeze(), given)


def test_a_block_of_a_volume_holds_its_voxel(describe: Callable[..., TranslatorDescription]) -> None:
    image = np.random.default_rng(0).random((20, 9, 30)).astype(np.float32)
    about = describe(plane="volume", sources=("T1w", "FLAIR"))
    for voxel in ((0, 0, 0), (19, 8, 29), (10, 4, 15)):
        shown = shown_at(about, {"T1w": image, "FLAIR": 2 * image}, voxel, block=16)
        assert shown.given.shape == (1, 2, 16, 9, 16)
        assert shown.given[(0, 0, *shown.place)] == image[voxel]
        assert shown.given[(0, 1, *shown.place)] == 2 * image[voxel]
        assert np.array_equal(image[shown.box], shown.given[0, 0])


@pytest.mark.parametrize("dims", [2, 3])
def test_a_u_net_of_depth_two_has_five_levels(dims: int) -> None:
    network = UNet(width=2, depth=2, spatial_dims=dims).eval()
    levels = levels_of(network, torch.rand(1, 1, *[16] * dims))
    assert [level.shape[0] for level in levels] == [16, 8, 4, 8, 16]
    assert [level.name for level in levels] == ["down.0", "down.1", "down.2", "up.0", "up.1"]
    assert all(level.activation.shape == level.shape for level in levels)
    assert not network._forward_hooks


def test_without_detail_a_module_hands_on_its_mean() -> None:
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 1, 3, padding=1), torch.nn.Conv2d(1, 1, 1))
    source = torch.rand(1, 1, 8, 8)
    plain = network(source)
    with without_detail(network, "0"):
        flat = network(source)
    torch.testing.assert_close(flat, plain.mean().expand_as(plain))  # the second layer is affine
    assert torch.equal(network(source), plain)


def test_a_cut_skip_connection_changes_the_output_and_comes_back() -> None:
    torch.manual_seed(0)
    network = UNet(width=4, depth=2).eval()
    source = torch.rand(1, 1, 16, 16)
    assert skips_of(network) == ["skips.0", "skips.1"]
    with torch.no_grad():
        plain = network(source)
        for name in skips_of(network):
            with without_detail(network, name):
                assert (network(source) - plain).abs().max() > 1e-4
        assert torch.equal(network(source), plain)


def test_sizes_are_those_inside() -> None:
    network = Pix2PixUNet(width=2, downs=3).eval()
    sizes = sizes_of(network, torch.zeros(1, 1, 32, 32), skips_of(network))
    assert sizes == {"skips.0": (16, 16), "skips.1": (8, 8)}
