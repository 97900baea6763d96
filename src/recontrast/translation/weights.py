"""The network that a description names, and weights put into it; every way in which they do not fit is one line."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import nn

from recontrast.errors import CheckpointError, ConfigError
from recontrast.models import MODELS
from recontrast.translation.description import DESCRIPTION, TranslatorDescription


def read_weights(path: Path, sha256: str) -> dict[str, torch.Tensor]:
    """Weights of a file in a translator's folder, if it is the file that belongs there.

    Args:
        path: The file.
        sha256: Hash of its bytes that the description names.

    Raises:
        CheckpointError: It is absent, another one, or damaged.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror}); copy the translator again") from error
    if hashlib.sha256(content).hexdigest() != sha256:
        raise CheckpointError(
            f"{path}: is not the file {DESCRIPTION} was written for (its hash differs): truncated, damaged or "
            "exchanged; copy the translator folder again as a whole"
        )
    try:
        return load(content)
    except SafetensorError as error:
        raise CheckpointError(f"{path}: not a safetensors file ({error})") from error


def build_network(description: TranslatorDescription, folder: Path) -> nn.Module:
    """The network a description names, in evaluation, with random weights.

    Args:
        description: Of the translator.
        folder: Its folder, for messages.

    Raises:
        CheckpointError: There is no such network, or it does not fit the sources.
    """
    where = folder / DESCRIPTION
    options = dict(description.model.options)
    expected = {"in_channels": description.channels, "out_channels": 1, "spatial_dims": description.spatial_dims}
    for option, value in expected.items():
        if options.setdefault(option, value) != value:
            raise CheckpointError(
                f"{where}: the model has {option} {options[option]}, the sources and slices need {value}"
            )
    try:
        network = MODELS.build(description.model.name, options)
    except ConfigError as error:
        raise CheckpointError(f"{where}: {error}") from error
    except (TypeError, ValueError, RuntimeError) as error:
        raise CheckpointError(f"{where}: model '{description.model.name}' cannot be built ({error})") from error
    if not isinstance(network, nn.Module):
        raise CheckpointError(f"{where}: model '{description.model.name}' is not a network")
    return network.eval()


def fill_network(network: nn.Module, weights: Mapping[str, torch.Tensor], path: Path) -> None:
    """Put weights into a network.

    Args:
        network: The network.
        weights: Name to value.
        path: Their file, for messages.

    Raises:
        CheckpointError: They are of another network, or not finite.
    """
    own = network.state_dict()
    absent, foreign = sorted(own.keys() - weights.keys()), sorted(weights.keys() - own.keys())
    other = [name for name in own if name in weights and own[name].shape != weights[name].shape]
    for names, problem in ((absent, "lacks"), (foreign, "has, unlike the network,")):
        if names:
            raise CheckpointError(f"{path}: {problem} {names[0]}{_more(names)}; the description is of another network")
    if other:
        name = other[0]
        raise CheckpointError(
            f"{path}: {name} has shape {tuple(weights[name].shape)}, the network needs {tuple(own[name].shape)}"
            f"{_more(other)}; the description is of another network"
        )
    require_finite(weights, str(path))
    network.load_state_dict(dict(weights))


def require_finite(weights: Mapping[str, torch.Tensor], where: str) -> None:
    """Refuse weights that are not finite.

    Raises:
        CheckpointError: One is not.
    """
    for name, value in weights.items():
        if not bool(torch.isfinite(value).all()):
            raise CheckpointError(f"{where}: the weights {name} are not finite; training went wrong, train again")


def _more(names: list[str]) -> str:
    return f" and {len(names) - 1} more" if len(names) > 1 else ""
