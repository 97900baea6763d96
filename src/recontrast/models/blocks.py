"""Layers that several architectures share, and the fast forms of layers that cost most on processors.

The fast forms compute the same function as the layers of torch they stand for; the tests hold them together.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from recontrast.errors import ConfigError, UnknownNameError

CONVOLUTION: dict[int, type[nn.Conv2d] | type[nn.Conv3d]] = {2: nn.Conv2d, 3: nn.Conv3d}
"""Convolution by number of spatial axes."""

_TRANSPOSED: dict[int, Any] = {2: functional.conv_transpose2d, 3: functional.conv_transpose3d}
_POOL: dict[int, Any] = {2: functional.max_pool2d, 3: functional.max_pool3d}
_BATCH_NORM: dict[int, type[nn.Module]] = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
_INSTANCE_NORM: dict[int, type[nn.Module]] = {2: nn.InstanceNorm2d, 3: nn.InstanceNorm3d}

NORMS = ("none", "batch", "instance")
"""Names of the normalisations of `norm_layer`."""

ACTIVATIONS = {"linear": nn.Identity, "sigmoid": nn.Sigmoid, "tanh": nn.Tanh}
"""What may end a network."""


def require_spatial_dims(spatial_dims: int) -> int:
    """Return `spatial_dims` when it is 2 or 3.

    Raises:
        ConfigError: It is not.
    """
    if spatial_dims not in CONVOLUTION:
        raise ConfigError(f"model.options.spatial_dims is {spatial_dims}; 2 (slices) and 3 (volumes) exist")
    return spatial_dims


def norm_layer(name: str, channels: int, spatial_dims: int) -> nn.Module:
    """A normalisation layer with learned scale and shift, or nothing.

    Args:
        name: none, batch or instance.
        channels: Number of channels.
        spatial_dims: 2 or 3.

    Raises:
        UnknownNameError: No such normalisation.

    Example:
        >>> norm_layer("none", 8, 2)
        Identity()
    """
    if name not in NORMS:
        raise UnknownNameError.among("norm", name, NORMS)
    if name == "none":
        return nn.Identity()
    if name == "batch":
        return _BATCH_NORM[spatial_dims](channels)
    return _INSTANCE_NORM[spatial_dims](channels, affine=True)


def max_pool(image: Tensor) -> Tensor:
    """Halve every spatial axis by the maximum of 2 (x 2) x 2 voxels; shape (B, C, I, J[, K])."""
    return _POOL[image.ndim - 2](image, 2)


def relu_dropout(features: Tensor, rate: float, training: bool) -> Tensor:
    """`dropout(relu(features), rate)`; may overwrite `features`, which must be the output of a layer.

    On processors the mask of torch's dropout costs more than the convolutions around it. Here it is made of sixteen
    random bits a value, 15 of which are compared with the rate (steps of 1/32768), and no mask is kept: a zero in
    the result says where the gradient is zero. The random bits are seeded from torch's generator.

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
    fast = features.device.type == "cpu" and features.dtype in _SIGNED and not torch.compiler.is_compiling()
    if not fast or not _is_dense(features) or _is_input(features):
        return functional.dropout(functional.relu(features), rate, training=True)
    dropped: Tensor = _ReluDropout.apply(features, rate)  # type: ignore[no-untyped-call]
    return dropped


def convolve_upsampled(image: Tensor, weight: Tensor) -> Tensor:
    """Convolution (3 wide, padding 1, no bias) of an image after nearest-neighbour upsampling by 2, without making it.

    Upsampling and convolution together are one transposed convolution of stride 2 whose kernel is 4 wide: the
    sum of the kernel shifted by 0 and 1 along each axis. Of every 9 products (27 in 3D) 4 (8) are left, and the large
    upsampled image is never stored.

    Args:
        image: (B, C, I, J[, K]).
        weight: Kernel of the convolution, (D, C, 3, 3[, 3]).

    Returns:
        (B, D, 2I, 2J[, 2K]), equal to `conv(interpolate(image, scale_factor=2), weight, padding=1)`.

    Example:
        >>> convolve_upsampled(torch.ones(1, 1, 2, 2), torch.ones(1, 1, 3, 3))[0, 0, 0].tolist()
        [4.0, 6.0, 6.0, 4.0]
    """
    dims = image.ndim - 2
    axes = tuple(range(2, 2 + dims))
    kernel = functional.pad(weight.flip(axes), (1, 1) * dims)
    for axis in axes:
        length = kernel.shape[axis] - 1
        kernel = kernel.narrow(axis, 0, length) + kernel.narrow(axis, 1, length)
    result: Tensor = _TRANSPOSED[dims](image, kernel.transpose(0, 1).contiguous(), stride=2, padding=1)
    return result


def in_float32(layer: nn.Module, features: Tensor) -> Tensor:
    """Apply a layer in float32 even under autocast: bfloat16 has 8 bits, too coarse for the image itself."""
    with torch.autocast(features.device.type, enabled=False):
        result: Tensor = layer(features.float())
    return result


def he_uniform(module: nn.Module) -> None:
    """Initialise the convolutions of `module` with He's uniform distribution for ReLU and zero bias.

    K. He et al., Delving deep into rectifiers, ICCV 2015, equation 10 (the uniform form).
    """
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.Conv3d | nn.ConvTranspose2d | nn.ConvTranspose3d):
            nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


_SIGNED = {torch.float32: torch.int32, torch.bfloat16: torch.int16, torch.float16: torch.int16}
"""Integer types of the same width; zeroing all bits of a float makes it 0.0."""


class _ReluDropout(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, features: Tensor, rate: float) -> Tensor:
        keep = _random_bits(features).bitwise_and_(0x7FFF)
        # Minus one (all bits set) where the 15 random bits are at least the rate, zero elsewhere.
        keep.sub_(min(round(rate * 0x8000), 0x7FFF)).bitwise_right_shift_(15).bitwise_not_()
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


def _random_bits(like: Tensor) -> Tensor:
    """Sixteen random bits a value, in the memory layout of `like`."""
    seed = int(torch.randint(2**62, ()))
    count = like.numel()
    words = np.random.Generator(np.random.SFC64(seed)).integers(
        0, 2**64 - 1, size=(count + 3) // 4, dtype=np.uint64, endpoint=True
    )
    return torch.from_numpy(words.view(np.int16))[:count].as_strided(like.shape, like.stride())


def _is_input(features: Tensor) -> bool:
    """Whether overwriting would destroy a parameter or an input whose gradient is wanted."""
    return features.is_leaf and features.requires_grad


def _is_dense(features: Tensor) -> bool:
    """Whether the values fill one block of memory, in any order of the axes."""
    return features.is_contiguous() or any(
        features.ndim == dims and features.is_contiguous(memory_format=layout)
        for dims, layout in ((4, torch.channels_last), (5, torch.channels_last_3d))
    )
