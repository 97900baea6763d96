"""Layers that several architectures share, and the fast forms of layers that cost most on processors.

The fast forms compute the same function as the layers of torch they stand for; the tests hold them together.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from recontrast.errors import ConfigError, UnknownNameError
from recontrast.models.dropout import relu_dropout

CONVOLUTION: dict[int, type[nn.Conv2d] | type[nn.Conv3d]] = {2: nn.Conv2d, 3: nn.Conv3d}
"""Convolution by number of spatial axes."""

TRANSPOSED: dict[int, type[nn.ConvTranspose2d] | type[nn.ConvTranspose3d]] = {
    2: nn.ConvTranspose2d,
    3: nn.ConvTranspose3d,
}
"""Transposed convolution by number of spatial axes."""

_CONVOLVE: dict[int, Any] = {2: functional.conv2d, 3: functional.conv3d}
_CONVOLVE_TRANSPOSED: dict[int, Any] = {2: functional.conv_transpose2d, 3: functional.conv_transpose3d}
_POOL: dict[int, Any] = {2: functional.max_pool2d, 3: functional.max_pool3d}
_BATCH_NORM: dict[int, type[nn.Module]] = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
_INSTANCE_NORM: dict[int, type[nn.Module]] = {2: nn.InstanceNorm2d, 3: nn.InstanceNorm3d}

NORMS = ("none", "batch", "batch_of_one", "instance", "layer")
"""Names of the normalisations of `norm_layer`."""

ACTIVATIONS = {"linear": nn.Identity, "sigmoid": nn.Sigmoid, "tanh": nn.Tanh}
"""What may end a network."""

ROWS_OF_A_PRODUCT = 64
"""Up to this many places (over the batch) a convolution is computed as one matrix product, see `halve`."""


def require_spatial_dims(spatial_dims: int) -> int:
    """Return `spatial_dims` when it is 2 or 3.

    Raises:
        ConfigError: It is not.
    """
    if spatial_dims not in CONVOLUTION:
        raise ConfigError(f"model.options.spatial_dims is {spatial_dims}; 2 (slices) and 3 (volumes) exist")
    return spatial_dims


def norm_layer(name: str, channels: int, spatial_dims: int, *, learned: bool = True) -> nn.Module:
    """A normalisation layer, or nothing.

    - batch: statistics of the batch in training, running statistics at test.
    - batch_of_one: each image by its own statistics, in training and at test. This is what batch normalisation does
      in training when a batch holds one image; used as well at test, the network that is used is the one that was
      trained. Running statistics are not: they average over images that were each normalised by themselves.
    - instance: the same function; the published networks that call it so have no learned scale and shift.
    - layer: each image by its own statistics over all channels.

    Args:
        name: none, batch, batch_of_one, instance or layer.
        channels: Number of channels.
        spatial_dims: 2 or 3.
        learned: Whether each channel has a learned scale and shift.

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
        return _BATCH_NORM[spatial_dims](channels, affine=learned)
    if name == "batch_of_one":
        return OwnStatistics(channels, learned=learned)
    if name == "layer":
        return nn.GroupNorm(1, channels, affine=learned)
    return _INSTANCE_NORM[spatial_dims](channels, affine=True) if learned else OwnStatistics(channels, learned=False)


class OwnStatistics(nn.Module):
    """Every channel of every image brought to mean zero and standard deviation one, then scaled and shifted.

    The fastest of torch's forms is taken for the memory layout. A channel of a single voxel becomes its shift.

    Args:
        channels: Number of channels.
        learned: Whether scale and shift are learned.

    Example:
        >>> OwnStatistics(1)(torch.tensor([[[[1.0, 3.0]]]])).round(decimals=3).tolist()
        [[[[-1.0, 1.0]]]]
    """

    def __init__(self, channels: int, *, learned: bool = True) -> None:
        super().__init__()
        self.channels = channels
        self.weight = nn.Parameter(torch.ones(channels)) if learned else None
        self.bias = nn.Parameter(torch.zeros(channels)) if learned else None

    def forward(self, image: Tensor) -> Tensor:
        """Normalise (B, C, I, J[, K])."""
        layout = torch.channels_last if image.ndim == 4 else torch.channels_last_3d
        innermost = image.is_contiguous(memory_format=layout) and not image.is_contiguous()
        if innermost and image.device.type == "cpu" and image[0, 0].numel() > 1 and not _is_recorded():
            # Ten times faster than group norm there; one image is a batch of its own.
            images = [
                functional.batch_norm(one, None, None, self.weight, self.bias, training=True)
                for one in torch.split(image, 1)
            ]
            return images[0] if len(images) == 1 else torch.cat(images)
        if _is_recorded():
            # OpenVINO 2026.4 dies in compiling a residual block with group norm in fp32.
            return torch.instance_norm(image, self.weight, self.bias, None, None, True, 0.0, 1e-5, False)
        return torch.group_norm(image, self.channels, self.weight, self.bias)


def max_pool(image: Tensor) -> Tensor:
    """Halve every spatial axis by the maximum of 2 (x 2) x 2 voxels; shape (B, C, I, J[, K])."""
    return _POOL[image.ndim - 2](image, 2)


def convolve_upsampled(image: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Convolution (3 wide, padding 1) of an image after nearest-neighbour upsampling by 2, without making it.

    Upsampling and convolution together are one transposed convolution of stride 2 whose kernel is 4 wide: the
    sum of the kernel shifted by 0 and 1 along each axis. Of every 9 products (27 in 3D) 4 (8) are left, and the large
    upsampled image is never stored.

    Args:
        image: (B, C, I, J[, K]).
        weight: Kernel of the convolution, (D, C, 3, 3[, 3]).
        bias: Bias of the convolution, (D,).

    Returns:
        (B, D, 2I, 2J[, 2K]), equal to `conv(interpolate(image, scale_factor=2), weight, bias, padding=1)`.

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
    result: Tensor = _CONVOLVE_TRANSPOSED[dims](image, kernel.transpose(0, 1).contiguous(), bias, stride=2, padding=1)
    return result


def convolve_joined(layer: nn.Module, first: Tensor, second: Tensor) -> Tensor:
    """`layer(cat([first, second], dim=1))` for a convolution, as the sum of two, without making the joined image.

    Example:
        >>> convolve_joined(nn.Conv2d(3, 1, 3, padding=1), torch.ones(1, 1, 4, 4), torch.ones(1, 2, 4, 4)).shape
        torch.Size([1, 1, 4, 4])
    """
    weight: Tensor = layer.weight  # type: ignore[assignment]
    of_first, of_second = torch.split(weight, [first.shape[1], second.shape[1]], dim=1)
    convolve, form = _CONVOLVE[first.ndim - 2], {"stride": layer.stride, "padding": layer.padding}
    result: Tensor = convolve(first, of_first, layer.bias, **form).add_(convolve(second, of_second, **form))
    return result


def convolve_transposed_joined(layer: nn.Module, first: Tensor, second: Tensor) -> Tensor:
    """`convolve_joined` for a transposed convolution.

    Example:
        >>> joined = convolve_transposed_joined
        >>> joined(nn.ConvTranspose2d(3, 1, 4, 2, 1), torch.ones(1, 1, 4, 4), torch.ones(1, 2, 4, 4)).shape
        torch.Size([1, 1, 8, 8])
    """
    weight: Tensor = layer.weight  # type: ignore[assignment]
    of_first, of_second = torch.split(weight, [first.shape[1], second.shape[1]])
    convolve, form = _CONVOLVE_TRANSPOSED[first.ndim - 2], {"stride": layer.stride, "padding": layer.padding}
    result: Tensor = convolve(first, of_first, layer.bias, **form).add_(convolve(second, of_second, **form))
    return result


def halve(image: Tensor, layer: Any) -> Tensor:
    """Apply a convolution of width 4, stride 2 and padding 1; as one matrix product where the image is small.

    In the deep levels of large U-Nets the weights are thousands of times larger than the image. There the convolution
    kernels of processors spend their time on rearranging weights; a matrix product reads them once.

    Args:
        image: (B, C, I, J[, K]), even sizes.
        layer: The convolution.

    Example:
        >>> halve(torch.zeros(1, 2, 8, 8), nn.Conv2d(2, 3, 4, 2, 1)).shape
        torch.Size([1, 3, 4, 4])
    """
    if not _is_small(image, image.shape[2:].numel() // 4):
        result: Tensor = layer(image)
        return result
    weight, bias = layer.weight, layer.bias
    count, _, rows, columns = image.shape
    padded = functional.pad(image.permute(0, 2, 3, 1), (0, 0, 1, 1, 1, 1))
    windows = padded.unfold(1, 4, 2).unfold(2, 4, 2).permute(0, 1, 2, 4, 5, 3)
    kernel = weight.permute(0, 2, 3, 1).reshape(weight.shape[0], -1)
    product = functional.linear(windows.reshape(count * rows * columns // 4, -1), kernel, bias)
    return product.view(count, rows // 2, columns // 2, -1).permute(0, 3, 1, 2)


def double(image: Tensor, layer: Any) -> Tensor:
    """Apply a transposed convolution of width 4, stride 2 and padding 1; a matrix product where the image is small.

    Example:
        >>> double(torch.zeros(1, 2, 4, 4), nn.ConvTranspose2d(2, 3, 4, 2, 1)).shape
        torch.Size([1, 3, 8, 8])
    """
    if not _is_small(image, image.shape[2:].numel()):
        result: Tensor = layer(image)
        return result
    weight, bias = layer.weight, layer.bias
    count, channels, rows, columns = image.shape
    kernel = weight.permute(0, 2, 3, 1).reshape(channels, -1)
    spread = image.permute(0, 2, 3, 1).reshape(-1, channels) @ kernel
    spread = spread.view(count, rows * columns, 16, -1).permute(0, 3, 2, 1).reshape(count, -1, rows * columns)
    enlarged = functional.fold(spread, (2 * rows, 2 * columns), 4, stride=2, padding=1)
    return enlarged if bias is None else enlarged + bias[:, None, None].to(enlarged.dtype)


def framed(image: Tensor, multiple: int, least: int = 1) -> Tensor:
    """Continue an image on all sides, by repeating its edge, to sizes that are multiples of `multiple`.

    Args:
        image: (B, C, I, J[, K]).
        multiple: What every size becomes a multiple of.
        least: Smallest size.

    Example:
        >>> framed(torch.ones(1, 1, 5, 8), 4).shape
        torch.Size([1, 1, 8, 8])
    """
    missing = [max(size + -size % multiple, least + -least % multiple) - size for size in image.shape[2:]]
    if not any(missing):
        return image
    padding = [part for size in reversed(missing) for part in (size // 2, size - size // 2)]
    return functional.pad(image, padding, mode="replicate")


def unframed(image: Tensor, size: Sequence[int]) -> Tensor:
    """Undo `framed`: the middle of an image, of spatial size `size`.

    Example:
        >>> unframed(framed(torch.ones(1, 1, 5, 8), 4), (5, 8)).shape
        torch.Size([1, 1, 5, 8])
    """
    for axis, length in enumerate(size, start=2):
        image = image.narrow(axis, (image.shape[axis] - length) // 2, length)
    return image


def centred(image: Tensor) -> Tensor:
    """From the scale [0, 1], in which images travel, to [-1, 1], in which adversarial networks work.

    >>> centred(torch.tensor([0.0, 1.0])).tolist()
    [-1.0, 1.0]
    """
    return 2.0 * image - 1.0


def from_centred(image: Tensor) -> Tensor:
    """Undo `centred`.

    >>> from_centred(torch.tensor([-1.0, 1.0])).tolist()
    [0.0, 1.0]
    """
    return 0.5 * image + 0.5


def in_float32(layer: nn.Module, features: Tensor) -> Tensor:
    """Apply a layer in float32 even under autocast: bfloat16 has 8 bits, too coarse for the image itself."""
    with without_autocast(features):
        result: Tensor = layer(features.float())
    return result


def without_autocast(image: Tensor) -> AbstractContextManager[object]:
    """A context in which nothing on the device of `image` is rounded to bfloat16.

    Example:
        >>> with without_autocast(torch.zeros(1)):
        ...     torch.is_autocast_enabled("cpu")
        False
    """
    # Without memory (to check a network or count its numbers) there is no autocast, and asking for it is an error.
    return nullcontext() if image.is_meta else torch.autocast(image.device.type, enabled=False)


def he_uniform(module: nn.Module) -> None:
    """Initialise the convolutions of `module` with He's uniform distribution for ReLU and zero bias.

    K. He et al., Delving deep into rectifiers, ICCV 2015, equation 10 (the uniform form).
    """
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.Conv3d | nn.ConvTranspose2d | nn.ConvTranspose3d):
            nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def gaussian_init(module: nn.Module, deviation: float = 0.02) -> None:
    """Initialise convolutions with N(0, deviation) and zero bias, learned scales of norms with N(1, deviation).

    A. Radford et al., DCGAN, ICLR 2016, section 4; used by pix2pix and CycleGAN.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.Conv3d | nn.ConvTranspose2d | nn.ConvTranspose3d):
            nn.init.normal_(layer.weight, 0.0, deviation)
        elif isinstance(layer, nn.BatchNorm2d | nn.BatchNorm3d | OwnStatistics) and layer.weight is not None:
            nn.init.normal_(layer.weight, 1.0, deviation)
        else:
            continue
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


class ResidualBlock(nn.Module):
    """image + norm(convolution(relu(norm(convolution(image))))), width 3, padding by reflection or zeros.

    K. He et al., Deep residual learning, CVPR 2016, without the last ReLU.

    Args:
        channels: Number of channels.
        norm: Name of a normalisation.
        spatial_dims: 2 or 3.
        learned: Whether the norms have a learned scale and shift; convolutions have a bias where they have none.
        padding: reflect or zeros.
        dropout: Rate after the first ReLU.
    """

    def __init__(
        self, channels: int, norm: str, spatial_dims: int, *, learned: bool = False, padding: str = "reflect",
        dropout: float = 0.0,
    ) -> None:  # fmt: skip
        super().__init__()
        self.rate = dropout
        options = {"padding": 1, "padding_mode": padding, "bias": not (learned and norm != "none")}
        self.first = CONVOLUTION[spatial_dims](channels, channels, 3, **options)  # type: ignore[arg-type]
        self.first_norm = norm_layer(norm, channels, spatial_dims, learned=learned)
        self.second = CONVOLUTION[spatial_dims](channels, channels, 3, **options)  # type: ignore[arg-type]
        self.second_norm = norm_layer(norm, channels, spatial_dims, learned=learned)

    def forward(self, image: Tensor) -> Tensor:
        """(B, C, I, J[, K]), same shape."""
        inner = relu_dropout(self.first_norm(self.first(image)), self.rate, self.training)
        result: Tensor = image + self.second_norm(self.second(inner))
        return result


def _is_small(image: Tensor, places: int) -> bool:
    """Whether a matrix product is the faster form; recorded networks keep their convolutions."""
    small = image.ndim == 4 and image.shape[0] * places <= ROWS_OF_A_PRODUCT
    return small and image.device.type == "cpu" and not _is_recorded()


def _is_recorded() -> bool:
    """Whether the network is being traced, compiled or exported: the plain form of a layer is wanted then."""
    traced: bool = torch._C._get_tracing_state() is not None
    return traced or torch.compiler.is_compiling() or torch.onnx.is_in_onnx_export()
