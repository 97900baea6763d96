"""What a voxel's surroundings say of the target beyond its own intensities: a small network of single voxels.

Its channels already tell of the surroundings (blurred images, the place in the head), so no convolution is needed, and
hundreds of thousands of voxels are learned from in seconds: the cheapest way there is to most of the gain.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from recontrast.models.blocks import CONVOLUTION

VOXELS = 1_200_000
"""At most this many training voxels."""

VOXELS_OF_EACH = 600_000
"""At most this many for each code of a network that makes several targets."""

WIDTH, HIDDEN = 48, 3
_SLOPE = 0.01
_ROWS = 4096
_EPOCHS = 6
_FEWEST_STEPS = 150
_RATE, _DECAY = 4e-3, 1e-3
_JITTER = 0.05
"""Noise on the standardised channels, so that single places are not learned by heart."""


_AIR, _DARK = 0.1, 0.1
"""So many voxels of air for each of the head are learned from, too: else what is said of air is left to chance, and a
haze lies behind the head. Air is what is darker than this in the first source, outside the mask, of known target."""


class Surroundings(nn.Module):
    """A few hidden layers over the channels of one voxel; gives zero before `fit`.

    Args:
        channels: Channels of a voxel.
        spatial_dims: 2 or 3.
        width: Units of a hidden layer.
        hidden: Hidden layers.

    Example:
        >>> Surroundings(channels=4)(torch.rand(1, 4, 5, 6)).abs().max().item()
        0.0
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, *, channels: int, spatial_dims: int = 2, width: int = WIDTH, hidden: int = HIDDEN) -> None:
        super().__init__()
        layer = CONVOLUTION[spatial_dims]
        self.layers = nn.ModuleList(layer(a, b, 1) for a, b in pairwise([channels, *[width] * hidden]))
        self.last = layer(width, 1, 1)
        for parameter in self.last.parameters():
            nn.init.zeros_(parameter)
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("deviation", torch.ones(channels))

    def fit(
        self, source: Tensor, lacking: Tensor, mask: Tensor, quantile: float | None = None, most: int = VOXELS
    ) -> None:
        """Learn from training voxels by Adam; the same voxels give the same weights on a processor.

        Args:
            source: (B, channels, I, J[, K]).
            lacking: What is to be said of each voxel, (B, 1, I, J[, K]); nan where it is held out.
            mask: Voxels that count, like `lacking`; some air of the same images is added.
            quantile: Learn this quantile of `lacking`, 0 to 1; None: its mean, by least squares.
            most: At most this many voxels.
        """
        chance = torch.Generator().manual_seed(0)
        inside = mask[:, 0].bool()
        inside = inside | _some_air(source, lacking, inside, chance)
        voxels = source.movedim(1, -1)[inside].float()
        wanted = lacking[:, 0][inside].float()[:, None]
        if len(voxels) > most:
            chosen = torch.randperm(len(voxels), generator=chance)[:most].to(voxels.device)
            voxels, wanted = voxels[chosen], wanted[chosen]
        if not len(voxels):
            return
        self.mean.copy_(voxels.mean(0))
        self.deviation.copy_(voxels.std(0, correction=0).clamp(min=1e-3))
        voxels = (voxels - self.mean) / self.deviation
        steps = max(_FEWEST_STEPS, _EPOCHS * len(voxels) // _ROWS)
        optimizer = torch.optim.AdamW(self.parameters(), lr=_RATE, weight_decay=_DECAY, fused=True)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        with torch.enable_grad():
            for _ in range(steps):
                rows = torch.randint(len(voxels), (_ROWS,), generator=chance)
                noise = _JITTER * torch.randn((_ROWS, voxels.shape[1]), generator=chance)
                batch = voxels[rows.to(voxels.device)] + noise.to(voxels.device)
                loss = _loss(self._of_rows(batch), wanted[rows.to(voxels.device)], quantile)
                optimizer.zero_grad(set_to_none=True)
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                schedule.step()
        optimizer.zero_grad(set_to_none=True)

    def forward(self, source: Tensor) -> Tensor:
        """What the surroundings say, (B, 1, I, J[, K]), of (B, channels, I, J[, K])."""
        shape = (1, -1, *[1] * (source.ndim - 2))
        features = (source - self.mean.view(shape)) / self.deviation.view(shape)
        for layer in self.layers:
            features = functional.leaky_relu(layer(features), _SLOPE, inplace=True)
        result: Tensor = self.last(features)
        return result

    def of_columns(self, columns: Tensor) -> Tensor:
        """What the surroundings say of single voxels, (N,), of (channels, N): as `forward`, many times as fast.

        A convolution of width 1 is a matrix product, but PyTorch does not compute it as one.
        """
        hidden: Any = self.layers
        columns = (columns - self.mean[:, None]) / self.deviation[:, None]
        for layer in hidden:
            columns = torch.addmm(layer.bias[:, None], layer.weight.flatten(1), columns)
            columns = functional.leaky_relu(columns, _SLOPE, inplace=True)
        last: Any = self.last
        return torch.addmm(last.bias[:, None], last.weight.flatten(1), columns)[0]

    def _of_rows(self, rows: Tensor) -> Tensor:
        hidden: Any = self.layers
        for layer in hidden:
            rows = functional.leaky_relu(functional.linear(rows, layer.weight.flatten(1), layer.bias), _SLOPE)
        return functional.linear(rows, self.last.weight.flatten(1), self.last.bias)


class SurroundingsOfEach(nn.Module):
    """`Surroundings` for each of several codes (which sources are there, which target is wanted), chosen by the code.

    They are fitted once and stay as they are. A code that was never shown says zero.

    Args:
        channels: Channels of a voxel.
        codes: Number of codes.

    Example:
        >>> SurroundingsOfEach(channels=4, codes=3)(torch.rand(2, 4, 5, 6), torch.tensor([0, 2])).shape
        torch.Size([2, 1, 5, 6])
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, *, channels: int, codes: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(codes, channels, 1))
        self.register_buffer("scale", torch.ones(codes, channels, 1))
        for n, (before, after) in enumerate(pairwise([channels, *[WIDTH] * HIDDEN, 1])):
            self.register_buffer(f"weight_{n}", torch.zeros(codes, after, before))
            self.register_buffer(f"bias_{n}", torch.zeros(codes, after, 1))

    def fit(self, source: Tensor, code: Tensor, lacking: Tensor, mask: Tensor) -> None:
        """Fit those of the codes that occur; the others stay as they are.

        Args:
            source: (B, channels, I, J[, K]).
            code: (B,), 0 to `codes` - 1.
            lacking: What is to be said of each voxel, (B, 1, I, J[, K]); nan where it is held out.
            mask: Voxels that count, like `lacking`.
        """
        for number in sorted(set(code.tolist())):
            of_code = code == number
            one = Surroundings(channels=source.shape[1], spatial_dims=source.ndim - 2).to(source.device)
            one.fit(source[of_code], lacking[of_code], mask[of_code], most=VOXELS_OF_EACH)
            self.mean[number, :, 0], self.scale[number, :, 0] = one.mean, 1 / one.deviation
            for n, layer in enumerate((*one.layers, one.last)):
                weight, bias = self._layer(n)
                weight[number], bias[number, :, 0] = layer.weight.detach().flatten(1), layer.bias.detach()

    def forward(self, source: Tensor, code: Tensor) -> Tensor:
        """What the surroundings say, float32 (B, 1, I, J[, K]); arguments as for `fit`."""
        with torch.autocast(source.device.type, enabled=False):
            features = (source.float().flatten(2) - self.mean[code]) * self.scale[code]
            for n in range(HIDDEN + 1):
                weight, bias = self._layer(n)
                features = torch.baddbmm(bias[code], weight[code], features)
                if n < HIDDEN:
                    features = functional.leaky_relu(features, _SLOPE, inplace=True)
            return features.reshape(source.shape[0], 1, *source.shape[2:])  # an int of len() is baked into a trace

    def _layer(self, n: int) -> tuple[Tensor, Tensor]:
        return getattr(self, f"weight_{n}"), getattr(self, f"bias_{n}")


def _some_air(source: Tensor, lacking: Tensor, inside: Tensor, chance: torch.Generator) -> Tensor:
    """Voxels of air to learn from, of images of which something counts (others are held out), drawn at random."""
    counts = inside.flatten(1).any(1).view(-1, *[1] * (inside.ndim - 1))
    air = ~inside & (source[:, 0] < _DARK) & counts & ~lacking[:, 0].isnan()
    number = int(air.sum())
    if not number:
        return air
    drawn = torch.rand(air.shape, generator=chance).to(air.device) < _AIR * int(inside.sum()) / number
    return air & drawn


def _loss(said: Tensor, wanted: Tensor, quantile: float | None) -> Tensor:
    """Squared error, or the pinball loss, whose least is the quantile (R. Koenker, G. Bassett, Econometrica 1978)."""
    if quantile is None:
        return functional.mse_loss(said, wanted)
    below = wanted - said
    return torch.maximum(quantile * below, (quantile - 1) * below).mean()
