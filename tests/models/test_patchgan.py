"""PatchGAN: its numbers, its patches, its options."""

from __future__ import annotations

import pytest
import torch

from recontrast.errors import ConfigError
from recontrast.models.patchgan import PatchGAN


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"in_channels": 2}, 2_764_609),
        ({"in_channels": 2, "norm": "batch"}, 2_764_609),
        ({"in_channels": 6}, 2_768_705),
        ({"in_channels": 1, "norm": "instance"}, 2_762_689),
        ({"in_channels": 3, "norm": "instance"}, 2_764_737),
    ],
)
def test_published_numbers_of_parameters(options: dict[str, object], expected: int) -> None:
    with torch.device("meta"):
        model = PatchGAN(**options)  # type: ignore[arg-type]
    assert sum(parameter.numel() for parameter in model.parameters()) == expected


@pytest.mark.parametrize(("size", "expected"), [(256, 30), (512, 62)])
def test_published_output(size: int, expected: int) -> None:
    with torch.no_grad():
        assert PatchGAN(width=2)(torch.zeros(1, 2, size, size)).shape == (1, 1, expected, expected)


@pytest.mark.parametrize(
    ("options", "patch"),
    [
        ({"strided": 3}, 70),
        ({"strided": 1}, 16),
        ({"strided": 0}, 1),
        ({"strided": 3, "straight": 0, "head_stride": 2}, 46),
    ],
)
def test_a_value_sees_its_patch_and_no_more(options: dict[str, int], patch: int) -> None:
    torch.manual_seed(0)
    model = PatchGAN(in_channels=1, width=4, norm="none", **options)  # type: ignore[arg-type]
    image = torch.rand(1, 1, 160, 160, requires_grad=True)
    judged = model(image)
    judged[0, 0, judged.shape[2] // 2, judged.shape[3] // 2].backward()
    assert image.grad is not None
    seen = torch.nonzero(image.grad[0, 0])
    assert (seen.max(dim=0).values - seen.min(dim=0).values + 1).tolist() == [patch, patch]


@pytest.mark.parametrize("dims", [2, 3])
def test_volumes_too_and_logits_are_float32(dims: int) -> None:
    with torch.autocast("cpu", torch.bfloat16):
        judged = PatchGAN(in_channels=1, spatial_dims=dims, width=2, strided=1)(torch.rand(1, 1, *(16,) * dims))
    assert judged.ndim == 2 + dims
    assert judged.dtype == torch.float32


@pytest.mark.parametrize("options", [{"width": 0}, {"strided": -1}, {"kernel": 7}])
def test_options_out_of_range(options: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="patch discriminator"):
        PatchGAN(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [(1, 1), (3, 40)])
def test_images_smaller_than_a_patch(size: tuple[int, int]) -> None:
    for options in ({}, {"straight": 0, "head_stride": 2}, {"kernel": 3, "strided": 4}):
        assert torch.isfinite(PatchGAN(in_channels=1, width=2, **options)(torch.rand(1, 1, *size))).all()  # type: ignore[arg-type]
