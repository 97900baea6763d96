"""Begin where another training ended: the weights of its network, and what goes with them."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recontrast.errors import ConfigError, RecontrastWarning
from recontrast.training.plan import Plan
from recontrast.translation.description import (
    WEIGHTS,
    TranslatorDescription,
    read_description,
    subject_hash,
    translator_folder,
)

if TYPE_CHECKING:
    from torch import nn

_OF_THE_DATA = ("in_channels", "out_channels", "spatial_dims", "contrasts", "slices", "context", "targets", "share")
"""Options of a network that follow from sources and slices, or from what was learned."""


@dataclass(frozen=True)
class Beginning:
    """A translator whose weights a training begins with.

    Attributes:
        folder: Its folder.
        description: What it is.
    """

    folder: Path
    description: TranslatorDescription

    def settings(self, plan: Plan) -> dict[str, Any]:
        """Settings that make a plan fit the weights: the size of the network.

        Args:
            plan: The plan as the preset says.

        Raises:
            ConfigError: It trains another network.
        """
        model = self.description.model
        if plan.model.name != model.name:
            raise ConfigError(
                f"--start-from {self.folder} holds a {model.name}, this preset trains a {plan.model.name}: start from "
                f"a run of the same network, or train with --preset {self.description.preset}"
            )
        options = {name: value for name, value in model.options.items() if name not in _OF_THE_DATA}
        return {"model": {"options": options}}

    def check(self, sources: tuple[str, ...], options: Mapping[str, Any]) -> None:
        """Refuse weights that do not fit what is to be trained.

        Args:
            sources: Source contrasts of the training.
            options: All options of its network.

        Raises:
            ConfigError: They do not fit; the message says what differs.
        """
        about, model = self.description, self.description.model
        read = about.bank.sources if about.bank else about.sources
        if len(sources) != len(read):
            raise ConfigError(
                f"--start-from {self.folder} reads {' '.join(read)}, this training {' '.join(sources)}: start from a "
                "run that reads as many contrasts"
            )
        different = [
            f"model.options.{name} is {model.options.get(name)} there and {options.get(name)} here"
            for name in sorted({*model.options, *options} - {"share"})
            if model.options.get(name) != options.get(name)
        ]
        if different:
            raise ConfigError(f"--start-from {self.folder} does not fit: {'; '.join(different)}")

    def warn_of_namesakes(self, held_out: Collection[str]) -> None:
        """Warn of held-out subjects that bear the name of one that these weights were learned from.

        Args:
            held_out: Labels of the subjects of the validation and test splits.
        """
        same = sorted({label for label in held_out if subject_hash(label) in self.description.training_subjects})
        if same:
            names = ", ".join(f"sub-{label.removeprefix('sub-')}" for label in same)
            warnings.warn(
                f"{names} are held out, and --start-from {self.folder} learned from subjects of these names: if they "
                "are the same, nothing is held out; if not, rename one, or `evaluate` will take them for the same",
                RecontrastWarning,
                stacklevel=3,
            )

    def fill(self, network: nn.Module) -> None:
        """Give a network of the same kind these weights; its controls, which are fitted to the data, stay as they are.

        Raises:
            CheckpointError: The weights are absent, damaged, or of another network.
        """
        from recontrast.translation.weights import fill_network, read_weights

        path = self.folder / WEIGHTS
        weights = read_weights(path, self.description.weights_sha256)
        controls = getattr(network, "controls", ())
        kept = {name: value for name, value in network.state_dict().items() if name.split(".")[0] in controls}
        fill_network(network, {**weights, **kept}, path)


def read_beginning(folder_or_run: Path) -> Beginning:
    """Read what a training begins with.

    Args:
        folder_or_run: RUN or RUN/translator.

    Raises:
        CheckpointError: There is no translator, or it is damaged.

    Example:
        >>> read_beginning(Path("run")).description.model.name  # doctest: +SKIP
        'residual_encoder'
    """
    folder = translator_folder(folder_or_run)
    return Beginning(folder, read_description(folder))
