"""The pixel-wise generator: the same small function on every voxel, which cannot invent anatomy.

A. Hagiwara et al., Improving the quality of synthetic FLAIR images with deep learning using a conditional generative
adversarial network for pixel-by-pixel image translation, AJNR Am J Neuroradiol 40:224, 2019.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from recontrast.errors import ConfigError
from recontrast.models import MODELS
from recontrast.models.blocks import CONVOLUTION, require_spatial_dims

_VOXELS = 2048
"""Voxels worked off at a time when nothing has to be learned: what is between the layers stays in the cache."""

_SELECTOR = 16

_FEWEST, _FLATTEST = 20, 1e-6
"""Voxels for each channel from which the whitening is taken; least spread of a direction beside the largest."""


@MODELS.register("pixelwise")
class Pixelwise(nn.Module):
    """Contrast branch times CSF gate, both of convolutions of width 1; no voxel sees another.

    Contrast: channels -> width, logistic sigmoid -> 1, square, as a magnitude is never negative. Gate: channels ->
    width, ELU -> 1, logistic sigmoid, which can null CSF. 2,562 parameters for 8 channels, 4,610 for 16. Voxels with
    equal numbers get equal results wherever they lie.

    With several `functions` each has its own pair of heads, and a third branch (channels -> 16, ELU -> functions,
    softmax) says from the voxel's own numbers what share each function has: mixtures of tissues then need not be
    served by the function of pure ones. That stays pixel-wise.

    The result is unbounded above. It is always computed in float32, for there is nothing to be gained by less.

    Args:
        in_channels: Numbers of a voxel: sources, or raw images (twice as many when complex).
        out_channels: Channels of the result.
        spatial_dims: 2 or 3.
        width: Hidden width of both branches.
        functions: Number of pixel functions.
        whitened: Begin with first layers that see the training signals uncorrelated and of unit spread (`fit`). The
            images of one acquisition are nearly proportional to each other, and from plain weights the few per cent
            in which they differ are learned last. The function that can be learned is the same.

    Raises:
        ConfigError: An option is out of range.

    Example:
        >>> network = Pixelwise(in_channels=8)
        >>> sum(parameter.numel() for parameter in network.parameters())
        2562
        >>> network(torch.zeros(1, 8, 5, 7)).shape
        torch.Size([1, 1, 5, 7])
    """

    voxelwise = True
    """Its training signals are kept beside it, to tell where it guesses."""

    def __init__(
        self,
        *,
        in_channels: int = 8,
        out_channels: int = 1,
        spatial_dims: int = 2,
        width: int = 128,
        functions: int = 1,
        whitened: bool = False,
    ) -> None:
        super().__init__()
        layer = CONVOLUTION[require_spatial_dims(spatial_dims)]
        if min(in_channels, out_channels, width, functions) < 1:
            raise ConfigError(
                "in_channels, out_channels, width and functions of the pixel-wise generator must be at least 1, "
                f"got {in_channels}, {out_channels}, {width} and {functions}"
            )
        self.functions, self.whitened = functions, whitened
        self.contrast = layer(in_channels, width, 1)
        self.contrast_head = layer(width, functions * out_channels, 1)
        self.gate = layer(in_channels, width, 1)
        self.gate_head = layer(width, functions * out_channels, 1)
        self.selector = layer(in_channels, _SELECTOR, 1) if functions > 1 else None
        self.selector_head = layer(_SELECTOR, functions, 1) if functions > 1 else None
        self._initialise()

    @torch.no_grad()
    def fit(self, source: Tensor, target: Tensor, mask: Tensor) -> None:
        """Fold the whitening of training signals into the first layers, before the first step, if `whitened`.

        Args:
            source: (B, in_channels, I, J[, K]).
            target: Not looked at.
            mask: Voxels that count, (B, 1, I, J[, K]); with too few of them nothing happens.
        """
        signals = source.movedim(1, -1)[mask[:, 0].bool()].double()
        if not self.whitened or len(signals) < _FEWEST * signals.shape[1]:
            return
        mean = signals.mean(dim=0)
        spread, directions = torch.linalg.eigh(torch.cov(signals.T).reshape(len(mean), len(mean)))
        matrix = (directions / spread.clamp_min(_FLATTEST * float(spread.max())).sqrt()).T
        for layer in (self.contrast, self.gate, self.selector):
            if layer is not None:
                weight, bias = layer.get_parameter("weight"), layer.get_parameter("bias")
                whitening = weight.flatten(1).double() @ matrix
                bias.sub_(whitening @ mean)
                weight.copy_(whitening.reshape(weight.shape))

    def forward(self, source: Tensor) -> Tensor:
        """Translate (B, in_channels, I, J[, K]) to float32 (B, out_channels, I, J[, K])."""
        with torch.autocast(source.device.type, enabled=False):
            columns = source.float().flatten(2)
            if torch.is_grad_enabled() or _is_recorded():
                result = self._translate(columns)
            else:
                result = torch.cat([self._translate(part) for part in torch.split(columns, _VOXELS, dim=2)], dim=2)
        return result.reshape(*result.shape[:2], *source.shape[2:])

    def _translate(self, columns: Tensor) -> Tensor:
        """The function itself: (B, in_channels, V) to (B, out_channels, V)."""
        contrast = _apply(self.contrast_head, torch.sigmoid_(_apply(self.contrast, columns))).square()
        gate = torch.sigmoid(_apply(self.gate_head, functional.elu_(_apply(self.gate, columns))))
        product = contrast * gate
        if self.selector is None or self.selector_head is None:
            return product
        share = torch.softmax(_apply(self.selector_head, functional.elu_(_apply(self.selector, columns))), dim=1)
        each = product.reshape(product.shape[0], self.functions, -1, product.shape[2])
        return (each * share.unsqueeze(2)).sum(dim=1)

    def _initialise(self) -> None:
        """Weights that keep the spread (the paper says nothing): Xavier for sigmoids, He for ELU; biases zero."""
        for name, layer in self.named_children():
            if name in ("gate", "selector"):
                nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu")  # type: ignore[arg-type]
            else:
                nn.init.xavier_uniform_(layer.weight)  # type: ignore[arg-type]
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]


def _apply(layer: nn.Module, columns: Tensor) -> Tensor:
    """A convolution of width 1 on voxels in a row, whatever their arrangement was."""
    return functional.conv1d(columns, layer.get_parameter("weight").flatten(2), layer.get_parameter("bias"))


def _is_recorded() -> bool:
    """Whether the network is being traced or compiled: then it must not be cut into pieces."""
    return bool(torch.compiler.is_compiling() or torch._C._get_tracing_state())
