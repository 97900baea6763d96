"""Distance between features of a small network that tells tissues apart, made by `recontrast train-segmenter`.

A voxel-wise loss counts a lesion or a border by its few voxels. A network that was trained to find them answers to them
with its features wherever they are, so their distance counts them for more. The idea of a loss on features: J. Johnson
et al., Perceptual losses for real-time style transfer, ECCV 2016.

The network is read from a folder that the user names. It is fixed, and no part of what is trained or saved.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor
from torch.nn import functional

from recontrast.atomic import output_error, write_json
from recontrast.config import build_settings
from recontrast.errors import CheckpointError, ConfigError
from recontrast.losses import LOSSES
from recontrast.models.unet import UNet
from recontrast.provenance import sha256_of

DESCRIPTION, WEIGHTS = "segmenter.json", "segmenter.safetensors"
"""Files in the folder of a segmenter."""

_POOL: dict[int, Callable[..., Tensor]] = {4: functional.avg_pool2d, 5: functional.avg_pool3d}
"""Mean over blocks, by the axes of the image."""

_NOTHING = 1e-6
"""Keeps a level without any feature from dividing by zero."""


@dataclass(frozen=True, kw_only=True)
class SegmenterDescription:
    """What a segmenter is: which image it reads, and its network.

    Attributes:
        contrast: Contrast it was trained on, on the scale of the prepared images.
        plane: axial, coronal, sagittal or volume, as `data.plane`.
        classes: Names of its classes, in the order of its channels; the first is everything else.
        width: Channels of the first level of its U-Net.
        depth: How often its resolution is halved.
        training_subjects: Hashes of the labels of the subjects it learned from.
    """

    contrast: str
    plane: str
    classes: tuple[str, ...]
    width: int
    depth: int
    training_subjects: tuple[str, ...] = ()

    def build(self) -> UNet:
        """Its network, with random weights: (B, 1, I, J[, K]) to logits (B, classes, I, J[, K])."""
        return UNet(
            out_channels=len(self.classes),
            spatial_dims=3 if self.plane == "volume" else 2,
            width=self.width,
            depth=self.depth,
            norm="batch",
            activation="linear",
        )


def save_segmenter(folder: Path, network: UNet, description: SegmenterDescription) -> None:
    """Write weights and description of a segmenter into a folder.

    Raises:
        OutputError: They cannot be written.

    Example:
        >>> save_segmenter(Path("segmenter"), description.build(), description)  # doctest: +SKIP
    """
    weights = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
    try:
        save_file(weights, folder / WEIGHTS)
    except (OSError, SafetensorError) as error:
        raise output_error(folder / WEIGHTS, OSError(0, str(error))) from error
    write_json(folder / DESCRIPTION, asdict(description))


def load_segmenter(folder: Path) -> tuple[UNet, SegmenterDescription]:
    """Read what `save_segmenter` wrote: the network, in evaluation and with fixed weights, and what it is.

    Raises:
        ConfigError: There is no segmenter.
        CheckpointError: It is damaged.
    """
    path = folder / DESCRIPTION
    if not path.is_file():
        raise ConfigError(
            f"{folder}: the loss segmentation finds no segmenter there (no {DESCRIPTION}); make one with `recontrast "
            f"train-segmenter PREPARED {folder} --contrast TARGET`"
        )
    try:
        about = build_settings(SegmenterDescription, json.loads(path.read_text(encoding="utf-8")), str(path))
        with torch.device("cpu"):  # also where a recipe is built without memory, to check its options
            network = about.build()
        if not isinstance(network.head.weight, FakeTensor):  # else memory is counted, nothing is computed
            network.load_state_dict(load_file(folder / WEIGHTS, device="cpu"))
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, ConfigError, SafetensorError) as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise CheckpointError(f"{folder}: damaged segmenter ({reason[-1].strip()}); train it again") from error
    return network.eval().requires_grad_(False), about


@LOSSES.register("segmentation")
class SegmentationLoss(nn.Module):
    """Distance between the features that a segmenter has of target and synthetic image; 0 when both are the same.

    The features are what each level of the segmenter's U-Net gives on the way down and up. Of each level it is

        sum(w |f(estimate) - f(reference)|) / sum(w |f(reference)|),

    with w the part of a feature's voxel that lies in the mask; the mean over levels is the loss. So every level counts
    alike, however large its features are. Outside the mask the segmenter sees the target in both images.

    Args:
        segmenter: Folder of a segmenter, made by `recontrast train-segmenter`.

    Raises:
        ConfigError: No folder is named, or there is no segmenter in it.
        CheckpointError: The segmenter is damaged.

    Example:
        >>> loss = SegmentationLoss(segmenter="segmenter")  # doctest: +SKIP
        >>> loss(target, estimate, mask)  # doctest: +SKIP
    """

    def __init__(self, *, segmenter: str = "") -> None:
        super().__init__()
        if not segmenter:
            raise ConfigError(
                "the loss segmentation needs a segmenter: make one with `recontrast train-segmenter PREPARED SEGMENTER "
                "--contrast TARGET`, and name its folder: recipe.options.terms.segmentation.segmenter=SEGMENTER"
            )
        self.folder = Path(segmenter)
        network, self.description = load_segmenter(self.folder)
        # In a tuple torch does not see it: it stays in evaluation, and is in no checkpoint.
        self._fixed = (network,)
        self._levels: list[Tensor] = []
        for level in (*network.down, *network.up):
            level.register_forward_hook(lambda _module, _given, features: self._levels.append(features))

    def forward(self, reference: Tensor, estimate: Tensor, mask: Tensor | None = None) -> Tensor:
        """Mean over the levels of their distance, a float32 number.

        Args:
            reference: The target, (B, 1, I, J[, K]) on the prepared scale; a segmenter of slices reads volumes slice by
                slice along K.
            estimate: The synthetic image, same shape.
            mask: Voxels that count (non-zero), same shape; None: all. An empty mask gives 0.

        Raises:
            ConfigError: The segmenter reads volumes, and these are slices.
        """
        if reference.shape != estimate.shape:
            raise ValueError(f"reference {tuple(reference.shape)} and estimate {tuple(estimate.shape)} differ in shape")
        inside = torch.ones_like(reference, dtype=torch.bool) if mask is None else mask != 0
        images = [reference.float(), torch.where(inside, estimate.float(), reference.float()), inside.float()]
        if self.description.plane != "volume":
            images = [_slices(image) for image in images]
        elif reference.ndim == 4:
            raise ConfigError("the segmenter of the loss segmentation reads volumes, not slices: train one of slices")
        images[:2] = [image.contiguous() for image in images[:2]]
        with torch.autocast(reference.device.type, enabled=False):
            with torch.no_grad():
                wanted = self._features(images[0])
            found = self._features(images[1])
            down = _parts_inside(images[2], self.description.depth)
            distances = list(map(_distance, wanted, found, [*down, *down[-2::-1]]))
        return torch.stack(distances).mean()

    def _features(self, image: Tensor) -> list[Tensor]:
        (network,) = self._fixed
        if network.head.weight.device != image.device:
            network.to(image.device)
        self._levels.clear()
        network(image)
        levels = list(self._levels)
        self._levels.clear()
        return levels


def subjects_of_segmenters(recipe: nn.Module, target: str, planes: Sequence[str]) -> set[str]:
    """Subjects that the segmenters of a recipe's losses learned from, once these are known to read what it makes.

    Args:
        recipe: The recipe.
        target: Contrast that it makes; "" for several.
        planes: Planes of the slices it learns from; volume alone where it learns from volumes.

    Returns:
        Hashes of their labels.

    Raises:
        ConfigError: A segmenter reads another contrast or plane.
    """
    subjects: set[str] = set()
    for about in (loss.description for loss in _segmentation_losses(recipe)):
        if about.contrast != target:
            raise ConfigError(
                f"the segmenter of the loss segmentation reads {about.contrast}, and the target is "
                f"{target or 'one of several'}: train a segmenter of the target, or leave the loss out"
            )
        if set(planes) != {about.plane} and (about.plane, *planes) != ("axial", "volume"):
            raise ConfigError(
                f"the segmenter of the loss segmentation reads images {about.plane}, and it is learned from "
                f"{', '.join(planes)}: train a segmenter with the --plane of data.plane, and learn from one plane"
            )
        subjects |= set(about.training_subjects)
    return subjects


def weights_of_segmenters(recipe: nn.Module) -> list[str]:
    """SHA-256 of the weights of the segmenters of a recipe's losses, in their order.

    Args:
        recipe: The recipe.

    Raises:
        FormatError: A file of weights is gone or cannot be read.

    Example:
        >>> weights_of_segmenters(nn.Identity())
        []
    """
    return [sha256_of(loss.folder / WEIGHTS) for loss in _segmentation_losses(recipe)]


def _segmentation_losses(recipe: nn.Module) -> list[SegmentationLoss]:
    terms = getattr(recipe, "terms", ())
    losses = (getattr(recipe, "loss", None), *(term.loss for term in terms))
    return [loss for loss in losses if isinstance(loss, SegmentationLoss)]


def _distance(wanted: Tensor, found: Tensor, weight: Tensor) -> Tensor:
    difference = (weight * (found - wanted).abs()).sum()
    return difference / torch.clamp((weight * wanted.abs()).sum(), min=_NOTHING)


def _parts_inside(inside: Tensor, depth: int) -> list[Tensor]:
    """Part of each level's voxels that lies inside, finest first; what the network adds at far edges lies outside."""
    padding = [amount for size in reversed(inside.shape[2:]) for amount in (0, -size % 2**depth)]
    padded = functional.pad(inside, padding)
    return [_POOL[inside.ndim](padded, 2**level) for level in range(depth + 1)]


def _slices(image: Tensor) -> Tensor:
    return image if image.ndim == 4 else image.movedim(-1, 1).flatten(0, 1)
