"""The residual-encoder U-Net: its numbers, and that it begins at the control."""

from __future__ import annotations

import pytest
import torch

from recontrast.errors import ConfigError
from recontrast.models.residual_encoder import ResidualEncoder


def parameters(model: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def test_number_of_parameters_by_hand() -> None:
    # width 4, levels of 4 and 8 channels, one block each, no control:
    stem = 9 * 1 * 4 + 4
    first = 2 * (9 * 4 * 4) + 2 * 8
    second = 9 * 4 * 8 + 9 * 8 * 8 + 2 * 16 + 4 * 8
    up = 8 * 4 + 9 * 8 * 4 + 9 * 4 * 4 + 2 * 8
    head = 9 * 4 + 1
    assert parameters(ResidualEncoder(width=4, blocks=(1, 1), start="none")) == stem + first + second + up + head


@pytest.mark.parametrize("stem", [1, 2])
@pytest.mark.parametrize(("dims", "size"), [(2, (17, 22)), (3, (9, 10, 7))])
def test_begins_at_the_control_on_any_grid(dims: int, size: tuple[int, ...], stem: int) -> None:
    torch.manual_seed(0)
    model = ResidualEncoder(in_channels=2, spatial_dims=dims, width=4, blocks=(1, 2), stem=stem)
    source = torch.rand(2, 2, *size)
    target = source[:, :1] * 0.5
    model.fit(source, target, torch.ones_like(target))
    result = model(source)
    assert result.shape == target.shape
    assert model.expected is not None
    assert torch.equal(result, model.expected(source))
    assert result.std() > 0


def test_tells_whether_it_adds_to_a_control() -> None:
    assert [ResidualEncoder(width=4, blocks=(1, 1), start=start).has_control for start in ("expected", "none")] == [
        True, False,
    ]  # fmt: skip


def test_training_leaves_the_control_behind() -> None:
    torch.manual_seed(0)
    model = ResidualEncoder(width=4, blocks=(1, 1))
    source = torch.rand(2, 1, 16, 16)
    target = torch.roll(source, 2, dims=-1)
    model.fit(source, target, torch.ones_like(target))
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    first = (model(source) - target).square().mean()
    for _ in range(30):
        optimizer.zero_grad()
        loss = (model(source) - target).square().mean()
        loss.backward()
        optimizer.step()
    assert loss < 0.7 * first


def test_neighbouring_slices_are_no_contrasts() -> None:
    model = ResidualEncoder(in_channels=6, contrasts=2, width=4, blocks=(1, 1))
    assert model.expected is not None
    assert model.expected.slices == 3
    assert model(torch.rand(1, 6, 8, 8)).shape == (1, 1, 8, 8)


def test_channels_are_limited() -> None:
    with torch.device("meta"):
        model = ResidualEncoder(width=64, blocks=(1,) * 6, start="none")
    assert model.down[5][0].first.out_channels == 512  # type: ignore[index, union-attr]


@pytest.mark.parametrize(
    "options",
    [
        {"blocks": ()},
        {"width": 0},
        {"stem": 3},
        {"start": "ridge"},
        {"in_channels": 5, "contrasts": 2},
        {"blocks": (0,)},
    ],
)
def test_options_out_of_range(options: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        ResidualEncoder(**options)  # type: ignore[arg-type]
