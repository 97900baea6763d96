"""Training in bfloat16, but for convolutions that processors get wrong.

oneDNN 3.12 (PyTorch 2.13), on a processor with AVX-512 BF16 and without matrix tiles: where the kernel of a convolution
is about as long as an axis of its image, the gradient of the weights is memory that nobody has written, and memory
beyond it is overwritten. Nothing is said. Seen with kernels of 3 for volumes of 2 slices, with kernels of 4 and 5 for
those of 4, with stride for slices of 1 voxel. There convolutions are computed in float32, on every processor. In most
networks that is the deepest level, which costs nothing; of a volume of three slices it is every level.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

_CONVOLUTIONS = frozenset({torch.conv2d, torch.conv3d, torch.conv_transpose2d, torch.conv_transpose3d})


@contextmanager
def half_precision(device: str, enabled: bool = True) -> Iterator[None]:
    """A context in which networks compute in bfloat16, where that is right.

    Args:
        device: cpu or cuda.
        enabled: False: in float32, as without the context.

    Example:
        >>> with half_precision("cpu"):
        ...     made = torch.nn.functional.conv2d(torch.ones(1, 1, 8, 8), torch.ones(1, 1, 3, 3))
        >>> made.dtype
        torch.bfloat16
    """
    with torch.autocast(device, torch.bfloat16, enabled=enabled):
        if enabled and device == "cpu":
            with SmallInFloat32():
                yield
        else:
            yield


class SmallInFloat32(TorchFunctionMode):
    """Convolutions of images that are hardly longer than the kernel leave bfloat16, on processors.

    Example:
        >>> with torch.autocast("cpu", torch.bfloat16), SmallInFloat32():
        ...     made = torch.nn.functional.conv3d(torch.ones(1, 1, 2, 8, 8), torch.ones(1, 1, 3, 3, 3), padding=1)
        >>> made.dtype
        torch.float32
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation."""
        given = kwargs or {}
        if func in _CONVOLUTIONS and torch.is_autocast_enabled("cpu"):
            image = args[0] if args else given["input"]
            weight = args[1] if len(args) > 1 else given["weight"]
            if image.device.type == "cpu" and is_small(image, weight):
                with torch.autocast("cpu", enabled=False):
                    return func(*map(_single, args), **{name: _single(value) for name, value in given.items()})
        return func(*args, **given)


def is_small(image: Tensor, weight: Tensor) -> bool:
    """Whether an axis of the image is no longer than the kernel.

    Args:
        image: (B, C, I, J[, K]).
        weight: Kernel, its last axes the spatial ones.

    Example:
        >>> is_small(torch.empty(1, 1, 2, 9, 9), torch.empty(1, 1, 3, 3, 3))
        True
    """
    sizes = zip(image.shape[2:], weight.shape[2:], strict=True)
    return max(weight.shape[2:]) > 1 and any(length <= kernel for length, kernel in sizes)


def _single(value: Any) -> Any:
    return value.float() if isinstance(value, Tensor) else value
