"""Error bars: how far each voxel of a synthetic image may be off, in units of the target.

A small network of single voxels predicts how large the error is where (see `models.surroundings`); conformal
calibration stretches that until the intervals hold what they are meant to (see `translation.conformal`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save

from recontrast.atomic import output_error
from recontrast.errors import CheckpointError
from recontrast.models.surroundings import Surroundings
from recontrast.preparation.context import context_channels
from recontrast.provenance import sha256_of
from recontrast.translation.conformal import Calibration
from recontrast.translation.description import TranslatorDescription, direction_name
from recontrast.translation.weights import fill_network, read_weights

FILE = "uncertainty.safetensors"
"""The predicted spread, in a translator's folder; of each direction, where there are several."""

ONLY = ""
"""Stands for the direction of a translator that has one."""

WIDTH_MM = 2.0
"""Images are blurred to this width to tell of a voxel's surroundings, and for their gradients."""

LEAST = 1e-3
"""Errors below this part of the range count as this: no interval has zero width."""

_UNITS, _HIDDEN = 24, 2
_VOXELS = 1 << 15
"""Voxels at a time: what is between the layers stays in the cache."""

Array = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class ErrorBars:
    """A predicted spread and its calibration.

    Attributes:
        spread: Gives the logarithm of the spread, up to a constant, from `channels_of`.
        calibration: What stretches it, and what that promises.
    """

    spread: Surroundings
    calibration: Calibration

    def half_widths(self, sources: Sequence[Array], estimate: Array, spacing: Sequence[float]) -> Array:
        """Half of each voxel's interval, in network range.

        Args:
            sources: Scaled volumes (I, J, K), axes along R, A, S, as the network saw them.
            estimate: What it made of them.
            spacing: mm.
        """
        return spread_of(self.spread, channels_of(sources, estimate, spacing)) * np.float32(self.calibration.factor)


def channels_of(sources: Sequence[Array], estimate: Array, spacing: Sequence[float]) -> list[Array]:
    """What the spread is predicted from: images, the same blurred, the steepness of those, and the place in the head.

    Args:
        sources: Scaled volumes (I, J, K), axes along R, A, S.
        estimate: The synthetic volume.
        spacing: mm.
    """
    images = [*sources, estimate]
    width = [WIDTH_MM / mm for mm in spacing]
    around = context_channels(images, [width], steep=1)
    of_images = 2 * len(images)
    return [*images, *around[:of_images:2], *around[of_images:], *around[1:of_images:2]]


def spread_of(spread: Surroundings, channels: Sequence[Array]) -> Array:
    """The predicted spread of every voxel, up to a constant factor.

    Args:
        spread: Fitted by `fit_spread`.
        channels: Of `channels_of`.
    """
    flat = [channel.reshape(-1) for channel in channels]
    result = np.empty(flat[0].shape, np.float32)
    with torch.inference_mode():
        for start in range(0, len(result), _VOXELS):
            columns = torch.from_numpy(np.stack([channel[start : start + _VOXELS] for channel in flat]))
            result[start : start + _VOXELS] = spread.of_columns(columns).exp_().numpy()
    return result.reshape(channels[0].shape)


def fit_spread(channels: Sequence[Array], errors: Array, level: float) -> Surroundings:
    """Learn the quantile of |error| at `level`, up to a constant factor, as a function of the channels.

    Args:
        channels: Values of `channels_of` at some voxels, one array each.
        errors: |reference - synthetic| at these voxels, in network range.
        level: Part of the voxels the intervals shall hold.
    """
    logarithm = np.log(np.maximum(errors, LEAST))
    logarithm -= np.float32(np.quantile(logarithm, level))
    with torch.random.fork_rng(devices=[]):  # the same errors give the same error bars, whatever was drawn before
        torch.manual_seed(0)
        spread = Surroundings(channels=len(channels), width=_UNITS, hidden=_HIDDEN)
    rows = torch.from_numpy(np.stack(channels))[None, :, :, None]
    wanted = torch.from_numpy(logarithm)[None, None, :, None]
    spread.fit(rows, wanted, torch.ones_like(wanted, dtype=torch.bool), quantile=level)
    return spread.eval()


def packed(bars: Mapping[str, ErrorBars], folder: Path) -> dict[str, Calibration]:
    """Write the predicted spreads into a translator's folder; the calibrations that name the file by its hash.

    Args:
        bars: Direction to its error bars; `ONLY` for a translator with one direction.
        folder: The translator's folder.

    Raises:
        OutputError: The folder cannot be written.
    """
    path = folder / FILE
    tensors = {
        _stored(direction, name): value.contiguous()
        for direction, one in bars.items()
        for name, value in one.spread.state_dict().items()
    }
    try:
        path.write_bytes(save(tensors))
    except OSError as error:
        raise output_error(path, error) from error
    digest = sha256_of(path)
    return {direction: replace(one.calibration, spread_sha256=digest) for direction, one in bars.items()}


def load_error_bars(folder: Path, description: TranslatorDescription) -> dict[str, ErrorBars]:
    """The error bars of a translator's folder: direction (`ONLY` where there is one) to error bars; may be empty.

    Args:
        folder: The translator's folder.
        description: As `translator.json` has it.

    Raises:
        CheckpointError: The file is absent, damaged, or not the one that was calibrated.
    """
    if description.bank is None:
        wanted = {} if description.calibration is None else {ONLY: (description.calibration, len(description.sources))}
    else:
        among = {direction_name(*direction): len(direction[0]) for direction in description.bank.directions()}
        unknown = sorted(set(description.calibrations) - set(among))
        if unknown:
            raise CheckpointError(f"{folder}: has error bars for {unknown[0]}, which it cannot make; train it again")
        wanted = {name: (calibration, among[name]) for name, calibration in description.calibrations.items()}
    path, found = folder / FILE, {}
    weights = {digest: read_weights(path, digest) for digest in {c.spread_sha256 for c, _ in wanted.values()}}
    for direction, (calibration, sources) in wanted.items():
        start = _stored(direction, "")
        own = {n.removeprefix(start): v for n, v in weights[calibration.spread_sha256].items() if n.startswith(start)}
        spread = Surroundings(channels=3 * (sources + 1) + 3, width=_UNITS, hidden=_HIDDEN)
        fill_network(spread, own, path)
        found[direction] = ErrorBars(spread.eval(), calibration)
    return found


def _stored(direction: str, name: str) -> str:
    """Name of a tensor in the file."""
    return f"{direction}/{name}" if direction else name
