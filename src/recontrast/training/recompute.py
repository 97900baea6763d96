"""Less memory in training: the inside of a level is not kept for the way back, it is computed again.

T. Chen et al., Training deep nets with sublinear memory cost, 2016.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from recontrast.training.half_precision import SmallInFloat32


def recompute_levels(network: nn.Module) -> int:
    """Let each level of a network keep only its input in training.

    Levels are the members, with layers of their own, of the lists of modules that a network has. Results, gradients
    and running averages of norms are what they are without, up to rounding.

    Args:
        network: The network; it is changed.

    Returns:
        Number of levels found.

    Example:
        >>> recompute_levels(nn.Sequential(nn.Linear(1, 1)))
        0
    """
    levels = [
        level
        for child in network.children()
        if isinstance(child, nn.ModuleList)
        for level in child
        if any(True for _ in level.children())
    ]
    for level in levels:
        level.forward = _Recomputed(level)
    return len(levels)


class _Recomputed:
    """The forward pass of a module, whose inner results are thrown away where gradients are wanted."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module

    def __call__(self, *inputs: Any) -> Any:
        plain = type(self.module).forward
        if not (self.module.training and torch.is_grad_enabled()):
            return plain(self.module, *inputs)
        return checkpoint(plain, self.module, *inputs, use_reentrant=False, context_fn=self._contexts)

    def _contexts(self) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), _again(self.module)


@contextmanager
def _again(module: nn.Module) -> Iterator[None]:
    """The second pass is on the way back, outside of the context of the first one; autocast alone is put back."""
    with _averages_kept(module), SmallInFloat32():
        yield


@contextmanager
def _averages_kept(module: nn.Module) -> Iterator[None]:
    """Norms leave their running averages alone: the first pass has updated them."""
    norms = [m for m in module.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm) and m.track_running_stats]
    momenta = [norm.momentum for norm in norms]
    counts = [norm.num_batches_tracked.clone() for norm in norms if norm.num_batches_tracked is not None]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum, count in zip(norms, momenta, counts, strict=True):
            norm.momentum = momentum
            norm.num_batches_tracked.copy_(count)  # type: ignore[union-attr]
