"""Attention with dropout that keeps nothing of the pairs of tokens.

Torch has a fused attention for processors, but not with dropout: then it keeps several numbers for each pair of tokens
until the way back, and draws the mask one by one. Here each head is worked off by itself with a few arrays of all its
pairs, which are let go: the way back computes their weights again, and draws the mask again from its seed.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from recontrast.models.dropout import draw_seed, has_fast_form, kept


def attend(queries: Tensor, keys: Tensor, values: Tensor, rate: float = 0.0) -> Tensor:
    """Softmax of queries times keys over the square root of their length, dropped out at a rate, times values.

    As `torch.nn.functional.scaled_dot_product_attention`, which it is where nothing is dropped or on other devices.

    Args:
        queries: (B, H, N, D).
        keys: (B, H, M, D).
        values: (B, H, M, D).
        rate: Probability that a weight is dropped, in [0, 1).

    Example:
        >>> attend(torch.zeros(1, 1, 2, 4), torch.zeros(1, 1, 3, 4), torch.ones(1, 1, 3, 4)).shape
        torch.Size([1, 1, 2, 4])
    """
    if rate == 0 or not has_fast_form(queries):
        return functional.scaled_dot_product_attention(queries, keys, values, dropout_p=rate)
    attended: Tensor = _Attended.apply(queries, keys, values, rate)  # type: ignore[no-untyped-call]
    return attended


class _Attended(torch.autograd.Function):
    @staticmethod
    @torch.amp.custom_fwd(device_type="cpu", cast_inputs=torch.bfloat16)  # type: ignore[untyped-decorator]
    def forward(ctx: Any, queries: Tensor, keys: Tensor, values: Tensor, rate: float) -> Tensor:
        ctx.rate = rate
        ctx.seeds = [draw_seed(queries) for _ in range(queries.shape[0] * queries.shape[1])]
        ctx.save_for_backward(queries, keys, values)
        result = torch.empty_like(queries)
        for seed, head in zip(ctx.seeds, _heads(queries), strict=True):
            weights = _weights(queries[head], keys[head])
            dropped = weights.mul_(kept(weights, rate, seed)).to(values.dtype)
            result[head] = (dropped @ values[head]).div_(1 - rate)
        return result

    @staticmethod
    @once_differentiable
    @torch.amp.custom_bwd(device_type="cpu")  # type: ignore[untyped-decorator]
    def backward(  # type: ignore[override]
        ctx: Any, *gradients: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, None]:
        queries, keys, values = ctx.saved_tensors
        of_queries, of_keys, of_values = (torch.empty_like(each) for each in (queries, keys, values))
        (gradient,), scale, dtype = gradients, 1 / math.sqrt(queries.shape[-1]), values.dtype
        for seed, head in zip(ctx.seeds, _heads(queries), strict=True):
            weights = _weights(queries[head], keys[head])
            mask = kept(weights, ctx.rate, seed)
            of_values[head] = ((weights * mask).to(dtype).t() @ gradient[head]).div_(1 - ctx.rate)
            of_weights = (gradient[head] @ values[head].t()).float().mul_(mask).div_(1 - ctx.rate)
            of_products = weights.mul_(of_weights.sub_((of_weights * weights).sum(-1, keepdim=True)))
            of_products = of_products.mul_(scale).to(dtype)
            of_queries[head] = of_products @ keys[head]
            of_keys[head] = of_products.t() @ queries[head]
        return of_queries, of_keys, of_values, None


def _heads(queries: Tensor) -> list[tuple[int, int]]:
    return [(image, head) for image in range(queries.shape[0]) for head in range(queries.shape[1])]


def _weights(queries: Tensor, keys: Tensor) -> Tensor:
    """How much each query (N, D) looks at each key (M, D): (N, M), float32, rows add up to 1."""
    products = (queries.float() / math.sqrt(queries.shape[-1])) @ keys.float().t()
    return products.softmax(-1)
