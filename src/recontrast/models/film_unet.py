"""A residual U-Net that is told what it is given and what it shall make.

E. Perez et al., FiLM: visual reasoning with a general conditioning layer, AAAI 2018 (the modulation); O. Ronneberger et
al., U-Net, MICCAI 2015; K. He et al., Deep residual learning, CVPR 2016.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from recontrast.errors import ConfigError
from recontrast.models import MODELS
from recontrast.models.blocks import CONVOLUTION, framed, in_float32, norm_layer, require_spatial_dims, unframed
from recontrast.models.curves import Curves
from recontrast.models.residual_levels import (
    SLOPE,
    Between,
    channels_of_levels,
    down_and_up,
    he_normal,
    head_layer,
    levels_down,
    levels_up,
    require_levels,
    stem_layer,
)
from recontrast.models.surroundings import VOXELS_OF_EACH, SurroundingsOfEach
from recontrast.preparation.context import channel_count

_EMBEDDED = 32
"""Numbers in which availability and target are told to the levels."""

_FINE = 8
"""Channels of the path at full resolution."""


@MODELS.register("film_unet")
class FilmUNet(nn.Module):
    """Residual U-Net for several sources, some of them absent, and several targets.

    The channels are, each `slices` times: one image for each contrast, what is around (`context` blurred images of each
    contrast, then the place in the head), whether each contrast is there (1 or 0), for each target whether it is
    wanted, and how each contrast was acquired (`acquisition` numbers). What lies in an absent image is replaced by
    zeros before anything else: whatever it holds, the result is the same to the last bit. At every level normalised
    features are scaled and shifted by numbers that follow from what is there, what is wanted and how it was acquired.

    With `start="curves"` it adds to what each voxel alone says of the target (see `Curves`), and begins at that; with
    `start="context"` to that and what the surroundings say beyond it (see `SurroundingsOfEach`). What is around each
    source is absent where the source is.

    With `stem=2` the first level works at half the resolution, and its result is brought back by a transposed
    convolution: a quarter of the work (an eighth in 3D). A narrow path at full resolution, told in the same way and
    never normalised, adds fine detail and the absolute level.

    Args:
        in_channels: Channels in all.
        out_channels: Channels of the result.
        spatial_dims: 2 or 3.
        width: Channels of the first level; twice as many at each further one (512 at most in 2D, 320 in 3D).
        blocks: Residual blocks of each level; as many levels as numbers.
        stem: 1, or 2 for half the resolution from the start.
        start: What the network adds to: curves, context (with `context`), or none.
        contrasts: Number of sources; 0: each channel is one.
        slices: Channels of each contrast (2.5D); 0: as the channels say.
        targets: Number of targets; 0: all contrasts are always there, there is one target and nothing to tell.
        context: Blurred images of each contrast; 0: nothing is told of what is around.
        acquisition: Numbers that tell how each contrast was acquired; 0 of an absent contrast, whatever they are.

    Raises:
        ConfigError: An option is out of range, or the channels are not those of the contrasts and targets.

    Example:
        >>> network = FilmUNet(in_channels=9, width=4, blocks=(1, 1), contrasts=3, targets=3)
        >>> network(torch.zeros(1, 9, 17, 19)).shape
        torch.Size([1, 1, 17, 19])
    """

    controls = ("curves", "surroundings")
    """Parts that are fitted to the data before the first step (`fit`)."""

    most_fitted = VOXELS_OF_EACH
    """Voxels that the slowest of them learns from, at most."""

    def __init__(
        self,
        *,
        in_channels: int = 1,
        out_channels: int = 1,
        spatial_dims: int = 2,
        width: int = 16,
        blocks: Sequence[int] = (1, 1, 1, 1),
        stem: int = 1,
        start: str = "none",
        contrasts: int = 0,
        slices: int = 0,
        targets: int = 0,
        context: int = 0,
        acquisition: int = 0,
    ) -> None:
        super().__init__()
        dims = require_spatial_dims(spatial_dims)
        require_levels(
            "FiLM U-Net",
            in_channels=in_channels, out_channels=out_channels, width=width, blocks=blocks, stem=stem,
        )  # fmt: skip
        if min(contrasts, slices, targets, context, acquisition) < 0:
            raise ConfigError(
                f"the FiLM U-Net has no negative number of contrasts ({contrasts}), slices ({slices}), targets "
                f"({targets}), blurred images ({context}) or numbers of an acquisition ({acquisition})"
            )
        self.told, self.contrasts, self.blurred = targets > 0, contrasts or in_channels, context
        self.asked = contrasts + targets
        code_length = self.asked + contrasts * acquisition if self.told else 0
        self.images = channel_count(self.contrasts, context)
        planes = self.images + code_length
        self.slices = slices or in_channels // planes
        _require_start(start, out_channels, context)
        if planes * self.slices != in_channels or ((self.told or context) and not contrasts):
            raise ConfigError(
                f"the FiLM U-Net with {contrasts} contrasts, {context} blurred images of each and {targets} targets "
                f"needs {planes} channels, times slices, as in_channels; got {in_channels}"
            )
        self.curves = None if start == "none" else Curves(contrasts=self.contrasts, targets=max(1, targets))
        self.surroundings: SurroundingsOfEach | None = None
        if start == "context":
            codes = len(self.curves.heights)  # type: ignore[union-attr]
            self.surroundings = SurroundingsOfEach(channels=self.images * self.slices, codes=codes)
        begun = self.curves is not None
        images = self.images * self.slices + begun
        channels = channels_of_levels(width, len(blocks), dims)
        self.multiple = stem * 2 ** (len(blocks) - 1)
        self.embed = nn.Sequential(nn.Linear(code_length or 1, _EMBEDDED), nn.LeakyReLU(SLOPE))
        self.stem = stem_layer(images, width, stem, dims)
        self.down = nn.ModuleList(_Level(level) for level in levels_down(width, channels, blocks, dims, _TOLD))
        self.up = levels_up(channels, dims, _TOLD)
        self.skips = nn.ModuleList(nn.Identity() for _ in channels[:-1])
        self.head = head_layer(width, out_channels, stem, dims)
        layer = CONVOLUTION[dims]
        self.fine = layer(self.contrasts * self.slices + begun, _FINE, 3, padding=1)
        self.fine_told = nn.Linear(_EMBEDDED, 2 * _FINE)
        self.fine_head = layer(_FINE, out_channels, 3, padding=1)
        self._initialise()

    @property
    def has_control(self) -> bool:
        """Whether it adds to a control, a function of each voxel: that says where the result lies."""
        return self.curves is not None

    def forward(self, source: Tensor) -> Tensor:
        """Translate (B, in_channels, I, J[, K]) to float32 (B, out_channels, I, J[, K])."""
        images, code, begun = self._parted(source)
        images, told = framed(images, self.multiple), self.embed(code)
        features = down_and_up(self.stem(images), told, down=self.down, skips=self.skips, up=self.up)
        scale, shift = _over_space(self.fine_told(told), images).chunk(2, dim=1)
        fine = functional.leaky_relu(self.fine(self._without_context(images)) * (1 + scale) + shift, SLOPE)
        added = unframed(in_float32(self.head, features) + in_float32(self.fine_head, fine), source.shape[2:])
        return added if begun is None else begun + added

    @torch.no_grad()
    def fit(self, source: Tensor, target: Tensor, mask: Tensor) -> None:
        """Learn what the network begins at from training slices; what is added to it becomes zero.

        Args:
            source: (B, in_channels, I, J[, K]).
            target: (B, 1, I, J[, K]); nan where it is held out.
            mask: Voxels that count, like the target.
        """
        if self.curves is None:
            return
        images, code = self._shown(source)
        number = self._number(code)
        self.curves.fit(self._middle(images), number, target, mask)
        if self.surroundings is not None:
            parts = zip(torch.split(self._middle(images), 8), torch.split(number, 8), strict=True)
            lacking = target - torch.cat([self.curves(*part) for part in parts])
            self.surroundings.fit(images, number, lacking, mask)
        for layer in (self.head, self.fine_head):
            nn.init.zeros_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)

    def _parted(self, source: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """What the levels see, what they are told, and what the result is added to."""
        images, code = self._shown(source)
        if self.curves is None:
            return images, code, None
        number = self._number(code)
        begun = self.curves(self._middle(images), number)
        if self.surroundings is not None:
            begun = begun + self.surroundings(images, number)
        return torch.cat([images, begun.to(images.dtype)], dim=1), code, begun

    def _middle(self, images: Tensor) -> Tensor:
        return images[:, self.slices // 2 : self.contrasts * self.slices : self.slices]

    def _without_context(self, images: Tensor) -> Tensor:
        """The images of the contrasts, and what the network begins at."""
        if not self.blurred:
            return images
        return torch.cat([images[:, : self.contrasts * self.slices], images[:, self.images * self.slices :]], dim=1)

    def _number(self, code: Tensor) -> Tensor:
        """The code as the curves count it; with nothing to tell all sources are there."""
        curves: Curves = self.curves  # type: ignore[assignment]
        told = code > 0.5 if self.told else (code > 0.5).expand(-1, self.contrasts + 1)
        return curves.code(told[:, : self.contrasts], told[:, self.contrasts : self.asked if self.told else None])

    def _shown(self, source: Tensor) -> tuple[Tensor, Tensor]:
        """Images and what is around, zero where they are absent; the code: there, wanted, acquired."""
        if not self.told:
            return source, torch.ones_like(source[:, :1]).flatten(2)[:, :, 0]
        count = self.images * self.slices
        code = source[:, count :: self.slices].flatten(2)[:, :, 0]
        there = code[:, : self.contrasts] > 0.5
        acquired = code[:, self.asked :]
        if acquired.shape[1]:
            known = there.repeat_interleave(acquired.shape[1] // self.contrasts, dim=1)
            code = torch.cat([code[:, : self.asked], torch.where(known, acquired, torch.zeros_like(acquired))], dim=1)
        blurred = there.repeat_interleave(self.blurred, dim=1)
        place = torch.ones_like(there[:, :1]).expand(-1, self.images - there.shape[1] - blurred.shape[1])
        kept = torch.cat([there, blurred, place], dim=1).repeat_interleave(self.slices, dim=1)
        return torch.where(_over_space(kept, source), source[:, :count], torch.zeros_like(source[:, :count])), code

    def _initialise(self) -> None:
        """He's normal distribution; modulation begins small."""
        he_normal(self)
        for told in (self.fine_told, *(layer.told for layer in self.modules() if isinstance(layer, _Modulation))):
            nn.init.normal_(told.weight, std=0.02)
            nn.init.zeros_(told.bias)


def _require_start(start: str, out_channels: int, context: int) -> None:
    known = {"none": True, "curves": out_channels == 1, "context": out_channels == 1 and context > 0}
    if not known.get(start, False):
        raise ConfigError(
            f"the FiLM U-Net starts from 'none', or with one channel out from 'curves' or, where there are blurred "
            f"images, from 'context'; got '{start}'"
        )


class _Modulation(nn.Module):
    """Each channel of each image to mean zero and deviation one, then the scale and shift that the code asks for."""

    def __init__(self, channels: int, dims: int) -> None:
        super().__init__()
        self.norm = norm_layer("instance", channels, dims, learned=False)
        self.told = nn.Linear(_EMBEDDED, 2 * channels)

    def forward(self, features: Tensor, told: Tensor) -> Tensor:
        scale, shift = _over_space(self.told(told), features).chunk(2, dim=1)
        modulated: Tensor = self.norm(features) * (1 + scale) + shift
        return modulated


_TOLD = Between("modulation", _Modulation, "batch_of_one")


class _Level(nn.Module):
    """The residual blocks of one resolution."""

    def __init__(self, blocks: Sequence[nn.Module]) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)

    def forward(self, image: Tensor, told: Tensor) -> Tensor:
        for block in self.blocks:
            image = block(image, told)
        return image


def _over_space(numbers: Tensor, like: Tensor) -> Tensor:
    """Numbers of each channel, (B, C), shaped to be applied to images (B, C, I, J[, K])."""
    for _ in range(like.ndim - 2):
        numbers = numbers.unsqueeze(-1)
    return numbers
