from __future__ import annotations

import torch
from torch.nn import functional

from recontrast.models.attention import attend
from recontrast.models.dropout import kept
from recontrast.translation.memory import without_values

SHAPE = (2, 3, 40, 8)
RATE = 0.3


def three(dtype: torch.dtype = torch.float32) -> list[torch.Tensor]:
    torch.manual_seed(0)
    return [torch.randn(SHAPE, dtype=dtype, requires_grad=True) for _ in range(3)]


def by_hand(queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """With the masks that `attend` draws, in the order of heads."""
    torch.manual_seed(5)
    like = torch.empty(40, 40)
    masks = torch.stack([kept(like, RATE, int(torch.randint(2**62, ()))) for _ in range(6)]).view(2, 3, 40, 40)
    weights = (queries @ keys.transpose(-1, -2) / 8**0.5).softmax(-1)
    return (weights * masks / (1 - RATE)) @ values


def test_results_and_gradients_are_those_of_attention_with_the_same_mask() -> None:
    inputs, wanted = three(), torch.rand(SHAPE)
    torch.manual_seed(5)
    made = attend(*inputs, RATE)
    expected = by_hand(*inputs)
    torch.testing.assert_close(made, expected)
    for one, other in zip(
        torch.autograd.grad((made * wanted).sum(), inputs),
        torch.autograd.grad((expected * wanted).sum(), inputs),
        strict=True,
    ):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)


def test_under_autocast_it_is_near() -> None:
    inputs = three()
    torch.manual_seed(5)
    with torch.autocast("cpu", torch.bfloat16):
        made = attend(*inputs, RATE)
    assert made.dtype == torch.bfloat16
    expected = by_hand(*inputs)
    assert float((made.float() - expected).detach().square().mean().sqrt()) < 0.01 * float(expected.detach().std())
    for one, other in zip(
        torch.autograd.grad(made.float().square().sum(), inputs),
        torch.autograd.grad(expected.square().sum(), inputs),
        strict=True,
    ):
        assert one.dtype == torch.float32
        assert float((one - other).square().mean().sqrt()) < 0.02 * float(other.std())


def test_on_average_nothing_is_dropped() -> None:
    inputs = [each.detach() for each in three()]
    torch.manual_seed(1)
    average = torch.stack([attend(*inputs, RATE) for _ in range(400)]).mean(0)
    expected = functional.scaled_dot_product_attention(*inputs)
    assert float((average - expected).abs().mean()) < 0.05 * float(expected.detach().std())


def test_without_dropout_it_is_that_of_torch() -> None:
    inputs = three()
    assert torch.equal(attend(*inputs), functional.scaled_dot_product_attention(*inputs))


def test_nothing_of_the_pairs_is_kept() -> None:
    inputs, sizes = three(), []

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        sizes.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        attend(*inputs, RATE)
    assert sizes == [inputs[0].numel()] * 3


def test_other_numbers_of_keys() -> None:
    torch.manual_seed(0)
    inputs = [torch.randn(1, 2, count, 4, requires_grad=True) for count in (7, 9, 9)]
    torch.manual_seed(5)
    made = attend(*inputs, RATE)
    torch.manual_seed(5)
    masks = torch.stack([kept(torch.empty(7, 9), RATE, int(torch.randint(2**62, ()))) for _ in range(2)])
    expected = (inputs[0] @ inputs[1].transpose(-1, -2) / 2).softmax(-1) * masks / (1 - RATE) @ inputs[2]
    torch.testing.assert_close(made, expected)
    for one, other in zip(
        torch.autograd.grad(made.square().sum(), inputs),
        torch.autograd.grad(expected.square().sum(), inputs),
        strict=True,
    ):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)


def test_memory_is_counted_without_values() -> None:
    with without_values():
        inputs = [torch.zeros(SHAPE, requires_grad=True) for _ in range(3)]
        assert attend(*inputs, RATE).shape == SHAPE
