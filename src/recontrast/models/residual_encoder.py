"""The residual-encoder U-Net: many residual blocks on the way down, two convolutions a level on the way up.

F. Isensee et al., nnU-Net revisited, MICCAI 2024 (the encoder).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from recontrast.errors import ConfigError
from recontrast.models import MODELS
from recontrast.models.blocks import framed, in_float32, require_spatial_dims, unframed
from recontrast.models.expected import ExpectedTarget
from recontrast.models.residual_levels import (
    channels_of_levels,
    down_and_up,
    he_normal,
    head_layer,
    levels_down,
    levels_up,
    require_levels,
    stem_layer,
)
from recontrast.models.surroundings import VOXELS, Surroundings


@MODELS.register("residual_encoder")
class ResidualEncoder(nn.Module):
    """Residual-encoder U-Net, on top of what each voxel alone says of the target.

    The network adds to a control: with `start="expected"` the mean target of the training voxels that have this
    voxel's sources (see `ExpectedTarget`). Its last layer begins at zero, so before the first step the result is the
    control, and training can only improve on it.

    Level n has `width * 2**n` channels (512 at most in 2D, 320 in 3D). With `stem=2` the first level works at half the
    resolution, and the result is brought back by a transposed convolution: a quarter of the work (an eighth in 3D).

    Args:
        in_channels: Channels of the source (contrasts, times slices in 2.5D).
        out_channels: Channels of the result.
        spatial_dims: 2 or 3.
        width: Channels of the first level.
        blocks: Residual blocks of each level; as many levels as numbers.
        stem: 1, or 2 for half the resolution from the start.
        start: What the network adds to: expected (needs `contrasts` of 1 to 3), context (the same, and what all
            channels of the voxel say beyond it, see `Surroundings`), or none.
        contrasts: Number of contrasts among the channels, for `start`; they come first, and the middle slice of each is
            looked at. 0: every channel is a contrast.
        slices: Channels of each contrast (2.5D); 0: as many as there are channels for each.
        share: Part of what is added to the control that is kept, 0 to 1; a training ends by setting it.

    Raises:
        ConfigError: An option is out of range.

    Example:
        >>> network = ResidualEncoder(in_channels=2, width=8, blocks=(1, 1))
        >>> network(torch.zeros(1, 2, 17, 19)).shape
        torch.Size([1, 1, 17, 19])
    """

    controls = ("expected", "surroundings")
    """Parts that are fitted to the data before the first step (`fit`)."""

    last = ("head",)
    """Parts that put the result together; a training that begins with a network of another task begins them anew."""

    most_fitted = VOXELS
    """Voxels that the slowest of them learns from, at most."""

    def __init__(
        self,
        *,
        in_channels: int = 1,
        out_channels: int = 1,
        spatial_dims: int = 2,
        width: int = 32,
        blocks: Sequence[int] = (1, 2, 2, 2, 2),
        stem: int = 1,
        start: str = "expected",
        contrasts: int = 0,
        slices: int = 0,
        share: float = 1.0,
    ) -> None:
        super().__init__()
        dims = require_spatial_dims(spatial_dims)
        if not 0 <= share <= 1:
            raise ConfigError(f"the residual encoder keeps a share of 0 to 1 of what it adds, got {share}")
        self.share = share
        require_levels(
            "residual encoder",
            in_channels=in_channels, out_channels=out_channels, width=width, blocks=blocks, stem=stem,
        )  # fmt: skip
        self.expected = _start(start, in_channels, contrasts, slices, out_channels)
        self.surroundings: Surroundings | None = None
        if start == "context":
            self.surroundings = Surroundings(channels=in_channels, spatial_dims=dims)
        shown = in_channels + (self.expected is not None)
        channels = channels_of_levels(width, len(blocks), dims)
        self.multiple = stem * 2 ** (len(blocks) - 1)
        self.stem = stem_layer(shown, width, stem, dims)
        self.down = nn.ModuleList(nn.Sequential(*level) for level in levels_down(width, channels, blocks, dims))
        self.up = levels_up(channels, dims)
        self.skips = nn.ModuleList(nn.Identity() for _ in channels[:-1])
        self.head = head_layer(width, out_channels, stem, dims)
        self._initialise()

    @property
    def has_control(self) -> bool:
        """Whether it adds to a control, a function of each voxel: that says where the result lies."""
        return self.expected is not None

    def fit(self, source: Tensor, target: Tensor, mask: Tensor) -> None:
        """Learn the control from training slices, before the first step; nothing happens without one.

        Args:
            source: (B, in_channels, I, J[, K]).
            target: (B, 1, I, J[, K]); nan where it is held out.
            mask: Voxels that count, like the target.
        """
        if self.expected is None:
            return
        self.expected.fit(source, target, mask)
        if self.surroundings is not None:
            self.surroundings.fit(source, target - self._in_parts(self.expected, source), mask)

    @torch.no_grad()
    def _in_parts(self, module: nn.Module, source: Tensor) -> Tensor:
        return torch.cat([module(part) for part in torch.split(source, 8)])

    @torch.no_grad()
    def agreement(self, source: Tensor, target: Tensor, mask: Tensor) -> tuple[float, float]:
        """How what the network adds agrees with what the control lacks: their product, and the square of the former.

        Summed over voxels of the mask. Their quotient, over slices that were not learned from, is the `share` of the
        addition that has the least squared error there. Arguments as for `fit`.
        """
        if self.expected is None:
            return 0.0, 0.0
        begun = self.expected(source)
        added, lacking = (self(source) - begun)[mask].double(), (target - begun)[mask].double()
        return float((added * lacking).sum()), float(added.square().sum())

    def forward(self, source: Tensor) -> Tensor:
        """Translate (B, in_channels, I, J[, K]) to float32 (B, out_channels, I, J[, K])."""
        control = begun = None if self.expected is None else self.expected(source)
        if begun is not None and self.surroundings is not None:
            begun = begun + in_float32(self.surroundings, source)
        shown = source if begun is None else torch.cat([source, begun.to(source.dtype)], dim=1)
        features = self.stem(framed(shown, self.multiple))
        features = down_and_up(features, down=self.down, skips=self.skips, up=self.up)
        result = unframed(in_float32(self.head, features), source.shape[2:])
        if control is None or begun is None:
            return result
        whole = result + begun
        return whole if self.share == 1 else control + self.share * (whole - control)

    def _initialise(self) -> None:
        """He's normal distribution, and zero in the last layer."""
        he_normal(self)
        if self.expected is not None:
            nn.init.zeros_(self.head.weight)
        if self.surroundings is not None:
            nn.init.zeros_(self.surroundings.last.weight)


def _start(start: str, in_channels: int, contrasts: int, slices: int, out_channels: int) -> ExpectedTarget | None:
    if start == "none":
        return None
    number = contrasts or in_channels
    each = slices or in_channels // number
    if start not in ("expected", "context") or number * each > in_channels or in_channels % each or out_channels != 1:
        raise ConfigError(
            f"the residual encoder starts from 'expected', 'context' or 'none', got '{start}'; contrasts ({number}) "
            f"times slices ({each}) must be among in_channels ({in_channels}), and out_channels must be 1 "
            f"(got {out_channels}) to start from a control"
        )
    return ExpectedTarget(contrasts=number, slices=each)
