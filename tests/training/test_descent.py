from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from recontrast.errors import CheckpointError, TrainingError
from recontrast.training.checkpoint import load_checkpoint, save_checkpoint
from recontrast.training.descent import Descent, memory_order
from recontrast.training.plan import LoopSettings

BETAS = (0.9, 0.999)


def network(layout: torch.memory_format) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 3, 3)).to(memory_format=layout)


def descend(layout: torch.memory_format, steps: int, **loop: Any) -> tuple[nn.Module, Descent]:
    net = network(layout)
    descent = Descent(list(net.parameters()), LoopSettings(steps=9, **loop))
    go_on(net, descent, range(steps))
    return net, descent


def learn(net: nn.Module, number: int) -> None:
    torch.manual_seed(100 + number)
    net(torch.rand(1, 1, 8, 8)).square().sum().backward()


def go_on(net: nn.Module, descent: Descent, numbers: range) -> None:
    for number in numbers:
        learn(net, number)
        descent.step(1e-3, BETAS)


def same(one: nn.Module, other: nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_it_is_adam_bit_for_bit(layout: torch.memory_format, decay: float) -> None:
    expected = network(layout)
    kind = torch.optim.AdamW if decay else torch.optim.Adam
    adam = kind(expected.parameters(), lr=1e-3, betas=BETAS, weight_decay=decay, fused=True)
    for number in range(4):
        learn(expected, number)
        adam.step()
        adam.zero_grad()
    descended, _ = descend(layout, 4, weight_decay=decay)
    assert same(expected, descended)
    assert not same(expected, network(layout))
    assert all(parameter.grad is None for parameter in descended.parameters())


def test_weights_are_handed_over_as_they_lie_in_memory() -> None:
    _, descent = descend(torch.channels_last, 1)
    seen = [tensor for group in descent._adam.param_groups for tensor in group["params"]]
    kept = [moment for moments in descent._adam.state.values() for moment in moments.values()]
    assert all(tensor.is_contiguous() for tensor in [*seen, *kept])
    assert [view.data_ptr() for view in seen] == [parameter.data_ptr() for parameter in descent.parameters]


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("later", [torch.contiguous_format, torch.channels_last])
def test_restored_it_goes_on_bit_for_bit_in_any_layout(
    tmp_path: Path, layout: torch.memory_format, later: torch.memory_format
) -> None:
    net, descent = descend(layout, 3)
    save_checkpoint(
        tmp_path, {**net.state_dict(), **{f"adam.{n}": v for n, v in descent.tensors().items()}}, {"step": 3}
    )
    found = load_checkpoint(tmp_path)
    fresh, again = descend(later, 0)
    fresh.load_state_dict({name: found.tensors[name] for name in net.state_dict()})
    again.restore(found.part("adam"))
    assert {name: value.shape for name, value in again.tensors().items()} == {
        name: value.shape for name, value in descent.tensors().items()
    }
    for name, value in descent.tensors().items():
        assert torch.equal(again.tensors()[name], value)
    go_on(fresh, again, range(3, 6))
    if layout is later:  # kernels of another layout round differently
        assert same(fresh, descend(layout, 6)[0])


def test_a_parameter_without_gradient_stays() -> None:
    net = network(torch.channels_last)
    before = [parameter.clone() for parameter in net.parameters()]
    Descent(list(net.parameters()), LoopSettings(steps=1)).step(1.0, BETAS)
    assert all(torch.equal(a, b) for a, b in zip(before, net.parameters(), strict=True))


def test_state_of_another_network_is_refused() -> None:
    _, descent = descend(torch.contiguous_format, 1)
    other = Descent(list(nn.Sequential(nn.Conv2d(1, 8, 3), nn.Conv2d(8, 3, 3)).parameters()), LoopSettings(steps=1))
    with pytest.raises(CheckpointError, match="was its model changed"):
        other.restore(descent.tensors())
    with pytest.raises(CheckpointError, match="does not fit"):
        other.restore({"9.exp_avg": torch.zeros(2)})


def test_a_gradient_in_another_order_belongs_to_the_right_weights() -> None:
    net, expected = network(torch.channels_last), network(torch.channels_last)
    for one in (net, expected):
        learn(one, 0)
    for parameter in net.parameters():
        gradient = parameter.grad
        assert gradient is not None
        parameter.grad = torch.empty(parameter.shape).copy_(gradient)
    for one in (net, expected):
        Descent(list(one.parameters()), LoopSettings(steps=1)).step(1e-3, BETAS)
    assert same(net, expected)


def test_a_weight_that_was_moved_is_not_quietly_left_behind() -> None:
    net, descent = descend(torch.channels_last, 1)
    net[0].weight.data = net[0].weight.data.clone()  # type: ignore[index, union-attr]
    learn(net, 1)
    with pytest.raises(TrainingError, match="was moved"):
        descent.step(1e-3, BETAS)


def test_a_weight_named_twice_is_stepped_once() -> None:
    weight = nn.Parameter(torch.zeros(1))
    weight.grad = torch.ones(1)
    Descent([weight, weight], LoopSettings(steps=1)).step(0.5, BETAS)
    assert weight.item() == pytest.approx(-0.5)


@pytest.mark.parametrize(
    ("shape", "layout", "order"),
    [
        ((2, 3, 4, 5), torch.contiguous_format, (0, 1, 2, 3)),
        ((2, 3, 4, 5), torch.channels_last, (0, 2, 3, 1)),
        ((2, 3, 4, 5, 6), torch.channels_last_3d, (0, 2, 3, 4, 1)),
        ((), torch.contiguous_format, ()),
    ],
)
def test_memory_order(shape: tuple[int, ...], layout: torch.memory_format, order: tuple[int, ...]) -> None:
    values = torch.zeros(shape).to(memory_format=layout) if shape else torch.zeros(())
    assert memory_order(values) == order


@pytest.mark.parametrize("shape", [(2, 1, 4, 5), (1, 3, 1, 1), (1, 1, 4, 4)])
def test_axes_of_one_do_not_disturb_the_order(shape: tuple[int, ...]) -> None:
    values = torch.zeros(shape).contiguous(memory_format=torch.channels_last)
    assert values.permute(memory_order(values)).is_contiguous()
