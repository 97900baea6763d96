"""Inside a network: what it is shown at a voxel, what its levels do with it, and what the output loses without them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from recontrast.translation.description import TranslatorDescription
from recontrast.translation.engines.pytorch import device_of
from recontrast.translation.slices import AXES, SliceStack

BLOCK = 64
"""Networks that see volumes are shown a block of at most this many voxels along each axis."""


@dataclass(frozen=True, eq=False)
class Shown:
    """What a network is shown at a voxel.

    Attributes:
        given: Input of the network, (1, C, I, J[, K]), float32.
        place: Where the voxel is in its spatial axes.
        box: The part of the case that is shown: one slice of the plane, or a block.
    """

    given: NDArray[np.float32]
    place: tuple[int, ...]
    box: tuple[slice, slice, slice]


@dataclass(frozen=True, eq=False)
class Level:
    """What a network does at one resolution, between two changes of it.

    Attributes:
        name: The last module with features at this resolution.
        shape: Spatial size of its features.
        activation: Their mean absolute value over the channels.
    """

    name: str
    shape: tuple[int, ...]
    activation: NDArray[np.float32]


def shown_at(
    about: TranslatorDescription, sources: Mapping[str, NDArray[np.float32]], voxel: Sequence[int], block: int = BLOCK
) -> Shown:
    """The slice through a voxel, or the block around it, as the translator's network is shown it.

    Args:
        about: The translator.
        sources: Contrast label to scaled array (I, J, K), axes along R, A, S.
        voxel: Where.
        block: Largest size of a block.

    Example:
        >>> from recontrast.translation.description import Member
        >>> from recontrast.preparation.normalize import Scale
        >>> about = TranslatorDescription(
        ...     preset="", sources=("T1w",), target="T2w", model=Member(name="unet"), recipe=Member(name="supervised"),
        ...     target_scale=Scale("percentile", 0.0, 1.0), spacing_mm=(1, 1, 1),
        ... )
        >>> shown_at(about, {"T1w": np.zeros((4, 5, 6), np.float32)}, (1, 2, 3)).place
        (1, 2)
    """
    images = [sources[label] for label in about.sources]
    shape = images[0].shape
    if about.spatial_dims == 2:
        axis = AXES[about.plane]
        box = [slice(0, n) for n in shape]
        box[axis] = slice(voxel[axis], voxel[axis] + 1)
        given = SliceStack(images, about.plane, about.neighbours).batch([voxel[axis]])
        return Shown(given, tuple(v for a, v in enumerate(voxel) if a != axis), (box[0], box[1], box[2]))
    starts = [min(max(0, v - block // 2), max(0, n - block)) for v, n in zip(voxel, shape, strict=True)]
    place = [slice(start, min(n, start + block)) for start, n in zip(starts, shape, strict=True)]
    shown = np.stack([image[tuple(place)] for image in images])[None]
    within = tuple(int(v) - start for v, start in zip(voxel, starts, strict=True))
    return Shown(np.ascontiguousarray(shown, np.float32), within, (place[0], place[1], place[2]))


def as_tensor(network: nn.Module, given: NDArray[np.float32]) -> Tensor:
    """Network input on the network's device."""
    return torch.from_numpy(given).to(device_of(network))


def levels_of(network: nn.Module, given: Tensor) -> list[Level]:
    """The levels a network goes through, in the order it does: a U-Net of depth 4 has nine.

    Args:
        network: The network, in evaluation.
        given: Its input.

    Example:
        >>> network = nn.Sequential(nn.Conv2d(1, 2, 2, stride=2), nn.ReLU())
        >>> [level.shape for level in levels_of(network, torch.zeros(1, 1, 8, 6))]
        [(4, 3)]
    """
    seen: list[Level] = []
    wide: list[bool] = []

    def keep(name: str, output: Any) -> None:
        if not isinstance(output, Tensor) or output.ndim != given.ndim or prod(output.shape[2:]) < 2:
            return
        shape, many = tuple(output.shape[2:]), output.shape[1] > 1
        if seen and seen[-1].shape == shape:
            if wide[-1] and not many:
                return  # the layer that ends the network has features no more
            del seen[-1], wide[-1]
        seen.append(Level(name, shape, output[0].detach().float().abs().mean(0).cpu().numpy()))
        wide.append(many)

    _watch(network, given, [n for n, _ in network.named_modules() if n and not n.startswith("skips")], keep)
    return seen


def sizes_of(network: nn.Module, given: Tensor, names: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """Spatial size of what each named module gives; modules that are not used are not named."""
    found: dict[str, tuple[int, ...]] = {}
    _watch(network, given, names, lambda name, output: found.update({name: tuple(output.shape[2:])}))
    return found


def _watch(network: nn.Module, given: Tensor, names: Sequence[str], look: Callable[[str, Any], None]) -> None:
    """Run a network and look at what each named module gives."""
    modules = [(name, network.get_submodule(name)) for name in names]
    handles = [m.register_forward_hook(lambda _, __, output, name=name: look(name, output)) for name, m in modules]
    try:
        with torch.no_grad():
            network(given)
    finally:
        for handle in handles:
            handle.remove()


def skips_of(network: nn.Module) -> list[str]:
    """Names of the skip connections of a network, finest first (see `recontrast.models`)."""
    return [name for name, _ in network.named_modules() if name.startswith("skips.")]


@contextmanager
def without_detail(network: nn.Module, name: str) -> Iterator[None]:
    """The output of one module of the network is its mean over the image: it carries no detail any more.

    Args:
        network: The network; it is as before afterwards.
        name: The module (`Level.name`, a name of `skips_of`).
    """

    def flat(_: nn.Module, __: Any, output: Tensor) -> Tensor:
        axes = tuple(range(2, output.ndim))
        return output.mean(dim=axes, keepdim=True).expand_as(output).contiguous()

    handle = network.get_submodule(name).register_forward_hook(flat)
    try:
        yield
    finally:
        handle.remove()
