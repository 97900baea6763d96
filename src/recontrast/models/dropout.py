"""Dropout that costs little on processors.

There the mask of torch's dropout, drawn value by value, costs more than the layers around it. Here sixteen random bits
a value are drawn from a fast generator, which torch's one seeds; fifteen of them are compared with the rate (steps of
1/32768). No mask is kept: it is read off the result, or drawn again from its seed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor
from torch.nn import functional

_BITS = 0x7FFF


def relu_dropout(features: Tensor, rate: float, training: bool) -> Tensor:
    """`dropout(relu(features), rate)`; may overwrite `features`, which must be the output of a layer.

    A zero in the result says where the gradient is zero.

    Args:
        features: Any shape, float32 or bfloat16.
        rate: Probability of being dropped, in [0, 1).
        training: Whether to drop at all.

    Example:
        >>> relu_dropout(torch.tensor([-1.0, 2.0]), 0.5, training=False)
        tensor([0., 2.])
    """
    if not training or rate == 0:
        return functional.relu(features, inplace=not _is_input(features))
    if not has_fast_form(features) or not _is_dense(features) or _is_input(features):
        return functional.dropout(functional.relu(features), rate, training=True)
    dropped: Tensor = _ReluDropout.apply(features, rate)  # type: ignore[no-untyped-call]
    return dropped


def dropout(values: Tensor, rate: float, training: bool) -> Tensor:
    """`torch.nn.functional.dropout`, with a mask that is drawn again on the way back.

    Args:
        values: Any shape, float32 or bfloat16.
        rate: Probability of being dropped, in [0, 1).
        training: Whether to drop at all.

    Example:
        >>> dropout(torch.tensor([1.0, 2.0]), 0.5, training=False)
        tensor([1., 2.])
    """
    if not training or rate == 0:
        return values
    if not has_fast_form(values) or not values.is_contiguous():
        return functional.dropout(values, rate, training=True)
    dropped: Tensor = _Dropout.apply(values, rate)  # type: ignore[no-untyped-call]
    return dropped


def has_fast_form(values: Tensor) -> bool:
    """Whether the forms of this module are made for these values."""
    return values.device.type == "cpu" and values.dtype in _SIGNED and not torch.compiler.is_compiling()


def draw_seed(values: Tensor) -> int:
    """The seed of a mask, from torch's generator; 0 where memory is counted and nothing is computed."""
    return 0 if isinstance(values, FakeTensor) else int(torch.randint(2**62, ()))


def kept(like: Tensor, rate: float, seed: int) -> Tensor:
    """Which values are kept, bool, in the memory layout of `like`: the same for the same seed."""
    return random_bits(like, seed).bitwise_and_(_BITS) >= _threshold(rate)


def random_bits(like: Tensor, seed: int) -> Tensor:
    """Sixteen random bits a value, int16, in the memory layout of `like`."""
    if isinstance(like, FakeTensor):
        return torch.empty(like.numel(), dtype=torch.int16).as_strided(like.shape, like.stride())
    count = like.numel()
    words = np.random.Generator(np.random.SFC64(seed)).integers(
        0, 2**64 - 1, size=(count + 3) // 4, dtype=np.uint64, endpoint=True
    )
    return torch.from_numpy(words.view(np.int16))[:count].as_strided(like.shape, like.stride())


def _threshold(rate: float) -> int:
    return min(round(rate * (_BITS + 1)), _BITS)


_SIGNED = {torch.float32: torch.int32, torch.bfloat16: torch.int16, torch.float16: torch.int16}
"""Integer types of the same width; zeroing all bits of a float makes it 0.0."""


class _ReluDropout(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, features: Tensor, rate: float) -> Tensor:
        keep = random_bits(features, draw_seed(features)).bitwise_and_(_BITS)
        # Minus one (all bits set) where the 15 random bits are at least the rate, zero elsewhere.
        keep.sub_(_threshold(rate)).bitwise_right_shift_(15).bitwise_not_()
        integers = _SIGNED[features.dtype]
        features.relu_().view(integers).bitwise_and_(keep.to(integers))
        ctx.scale = 1.0 / (1.0 - rate)
        features.mul_(ctx.scale)
        ctx.mark_dirty(features)
        ctx.save_for_backward(features)
        return features

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (result,) = ctx.saved_tensors
        passed = torch.ops.aten.threshold_backward(gradients[0], result, 0)
        return passed.mul_(ctx.scale), None


class _Dropout(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, rate: float) -> Tensor:
        ctx.rate, ctx.seed = rate, draw_seed(values)
        return _scaled(values, rate, ctx.seed)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return _scaled(gradients[0].contiguous(), ctx.rate, ctx.seed), None


def _scaled(values: Tensor, rate: float, seed: int) -> Tensor:
    return (values * kept(values, rate, seed)).mul_(1.0 / (1.0 - rate))


def _is_input(features: Tensor) -> bool:
    """Whether overwriting would destroy a parameter or an input whose gradient is wanted."""
    return features.is_leaf and features.requires_grad


def _is_dense(features: Tensor) -> bool:
    """Whether the values fill one block of memory, in any order of the axes."""
    return features.is_contiguous() or any(
        features.ndim == dims and features.is_contiguous(memory_format=layout)
        for dims, layout in ((4, torch.channels_last), (5, torch.channels_last_3d))
    )
