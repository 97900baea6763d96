"""Distances between features of networks that were trained to name objects: LPIPS on VGG16, and layers of VGG19.

R. Zhang et al., The unreasonable effectiveness of deep features as a perceptual metric, CVPR 2018 (version 0.1);
C. Ledig et al., Photo-realistic single image super-resolution using a GAN, CVPR 2017, section 2.2.1.

The weights are read from files the user names; nothing is downloaded and nothing is unpickled. Names in the files are
those of torchvision (`features.0.weight`) and of lpips (`lin0.model.1.weight`); several files are read as one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from recontrast.errors import ConfigError, FormatError, UnknownNameError
from recontrast.provenance import sha256_of

PERCEPTUAL = ("none", "lpips_vgg", "vgg19_54", "vgg19_22")
"""none; LPIPS on VGG16; VGG19 up to relu5_4; VGG19 up to relu2_2."""

_VGG16 = (2, 2, 3, 3, 3)
_VGG19 = (2, 2, 4, 4, 4)
"""Convolutions in each of the five stages; a stage ends in a pooling."""

_LPIPS_SHIFT, _LPIPS_SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
_IMAGENET_MEAN, _IMAGENET_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class PerceptualLoss:
    """Perceptual distance of two images; its networks are fixed, and no part of what is trained or saved.

    Args:
        name: lpips_vgg, vgg19_54 or vgg19_22.
        weights: Files with the weights: .safetensors, .npz, or .pth (a state dict, read with `weights_only`).

    Raises:
        UnknownNameError: No such loss.
        ConfigError: A file is not given or not there.
        FormatError: A file cannot be read or lacks weights.

    Example:
        >>> loss = PerceptualLoss("lpips_vgg", ["vgg16.pth", "lpips_vgg.pth"])  # doctest: +SKIP
        >>> loss(target, estimate)  # doctest: +SKIP
    """

    def __init__(self, name: str, weights: Sequence[str | Path] | str | Path) -> None:
        if name not in PERCEPTUAL[1:]:
            raise UnknownNameError.among("perceptual loss", name, PERCEPTUAL[1:])
        self.name = name
        self.stages = _VGG16 if name == "lpips_vgg" else _VGG19
        self._last = {"lpips_vgg": (4, 3), "vgg19_54": (4, 4), "vgg19_22": (1, 2)}[name]
        self.files = [Path(file) for file in ([weights] if isinstance(weights, str | Path) else weights)]
        self._weights = self._chosen(_read(name, self.files))

    def __call__(self, reference: Tensor, estimate: Tensor) -> Tensor:
        """Mean distance over the batch.

        Args:
            reference: The target, (B, 1, I, J) or (B, 1, I, J, K) on the scale [-1, 1]; volumes slice by slice along K.
            estimate: The synthetic image, same shape.

        Raises:
            ConfigError: The slices are smaller than the network can halve.
        """
        if reference.shape != estimate.shape:
            raise ValueError(f"reference {tuple(reference.shape)} and estimate {tuple(estimate.shape)} differ in shape")
        reference, estimate = _slices(reference), _slices(estimate)
        least = 2 ** self._last[0]
        if min(reference.shape[2:]) < least:
            raise ConfigError(
                f"slices of {reference.shape[2]} x {reference.shape[3]} voxels are too small for the perceptual loss "
                f"{self.name}, which needs {least}; set recipe.options.perceptual=none"
            )
        if next(iter(self._weights.values())).device != reference.device:
            self._weights = {key: value.to(reference.device) for key, value in self._weights.items()}
        with torch.no_grad():
            wanted = list(self._taps(reference))
        if self.name != "lpips_vgg":
            *_, found = self._taps(estimate)
            return functional.mse_loss(found.float(), wanted[-1].float())
        distances = [
            self._distance(number, one.float(), other.float())
            for number, (one, other) in enumerate(zip(wanted, self._taps(estimate), strict=True))
        ]
        return torch.stack(distances).sum()

    def _distance(self, number: int, reference: Tensor, estimate: Tensor) -> Tensor:
        difference = (_unit(reference) - _unit(estimate)).square()
        with torch.autocast(difference.device.type, enabled=False):
            return functional.conv2d(difference, self._weights[f"lin{number}.model.1.weight"]).mean()

    def _taps(self, image: Tensor) -> Iterator[Tensor]:
        """Features after the last ReLU of each stage, up to the last that is needed."""
        if self.name == "lpips_vgg":
            shift, scale = _LPIPS_SHIFT, _LPIPS_SCALE
        else:
            image, shift, scale = 0.5 * image + 0.5, _IMAGENET_MEAN, _IMAGENET_DEVIATION
        coloured = image.float().expand(-1, 3, -1, -1)
        features = (coloured - coloured.new_tensor(shift)[:, None, None]) / coloured.new_tensor(scale)[:, None, None]
        for stage, places in enumerate(_places(self.stages)):
            if stage:
                features = functional.max_pool2d(features, 2)
            for place in places:
                kernel, bias = self._weights[f"features.{place}.weight"], self._weights[f"features.{place}.bias"]
                features = functional.relu(functional.conv2d(features, kernel, bias, padding=1))
            yield features
            if stage == self._last[0]:
                return

    def _chosen(self, found: dict[str, Any]) -> dict[str, Tensor]:
        chosen = {}
        for name, shape in expected_weights(self.name).items():
            value = found.get(name)
            if value is None or tuple(value.shape) != shape:
                problem = "is not there" if value is None else f"has shape {tuple(value.shape)}, not {shape}"
                raise FormatError(
                    f"{', '.join(map(str, self.files))}: {name} {problem}; the perceptual loss {self.name} "
                    f"needs {_needed(self.name)}"
                )
            chosen[name] = torch.as_tensor(value, dtype=torch.float32).clone().requires_grad_(False)
        return chosen


def expected_weights(name: str) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the weights a perceptual loss needs.

    >>> len(expected_weights("lpips_vgg"))
    31
    """
    stages = _VGG16 if name == "lpips_vgg" else _VGG19
    shapes: dict[str, tuple[int, ...]] = {}
    before = 3
    for stage, places in enumerate(_places(stages[: 2 if name == "vgg19_22" else 5])):
        after = min(64 * 2**stage, 512)
        for place in places:
            shapes[f"features.{place}.weight"] = (after, before, 3, 3)
            shapes[f"features.{place}.bias"] = (after,)
            before = after
        if name == "lpips_vgg":
            shapes[f"lin{stage}.model.1.weight"] = (1, after, 1, 1)
    return shapes


def weights_of_perceptual(recipe: nn.Module) -> list[str]:
    """SHA-256 of the files that a recipe's perceptual loss was read from, in their order; empty where it has none.

    Raises:
        FormatError: A file is gone or cannot be read.

    Example:
        >>> weights_of_perceptual(nn.Identity())
        []
    """
    loss = getattr(recipe, "perceptual", None)
    return [sha256_of(file) for file in loss.files] if isinstance(loss, PerceptualLoss) else []


def _places(stages: Sequence[int]) -> list[range]:
    """Numbers of the convolutions in torchvision's `features`: each is followed by its ReLU, a stage by a pooling."""
    places, start = [], 0
    for count in stages:
        places.append(range(start, start + 2 * count, 2))
        start += 2 * count + 1
    return places


def _needed(name: str) -> str:
    return "torchvision's VGG16 and the heads of lpips (vgg, 0.1)" if name == "lpips_vgg" else "torchvision's VGG19"


def _read(name: str, files: Sequence[Path]) -> dict[str, Any]:
    absent = [str(file) for file in files if not file.is_file()]
    if absent or not files:
        problem = f"{', '.join(absent)} is not there" if absent else "no file was given"
        raise ConfigError(
            f"the perceptual loss {name} needs the weights of {_needed(name)}, and {problem}; nothing is downloaded: "
            "name the files with recipe.options.perceptual_weights, or set recipe.options.perceptual=none"
        )
    found: dict[str, Any] = {}
    for file in files:
        try:
            if file.suffix == ".safetensors":
                found |= load_file(file, device="cpu")
            elif file.suffix == ".npz":
                with np.load(file, allow_pickle=False) as content:
                    found |= {key: content[key] for key in content.files}
            else:
                found |= torch.load(file, map_location="cpu", weights_only=True)
        except Exception as error:  # damaged files raise many kinds, among them those of readers below torch
            reason = str(error).strip().splitlines() or [type(error).__name__]
            raise FormatError(f"{file}: cannot be read as weights ({reason[0]})") from error
    return found


def _slices(image: Tensor) -> Tensor:
    return image if image.ndim == 4 else image.movedim(-1, 1).flatten(0, 1)


def _unit(features: Tensor) -> Tensor:
    """Each voxel's features as a vector of length one.

    The root is taken of the sum and a tiny number, so that its gradient exists where all features are zero; the length
    is then enlarged by 1e-10 as published.
    """
    length = (features.square().sum(dim=1, keepdim=True) + 1e-20).sqrt()
    return features / (length + 1e-10)
