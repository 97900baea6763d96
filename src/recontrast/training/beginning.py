"""Begin where another training ended: the weights of its network, and what goes with them."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recontrast.datasets.settings import DataSettings
from recontrast.errors import CheckpointError, ConfigError, RecontrastWarning
from recontrast.preparation.cohort import Preparation
from recontrast.preparation.normalize import ScaleSettings
from recontrast.training.plan import Plan
from recontrast.translation.description import (
    WEIGHTS,
    TranslatorDescription,
    read_description,
    subject_hash,
    translator_folder,
)

if TYPE_CHECKING:
    from torch import Tensor, nn

_OF_THE_DATA = (
    "in_channels", "out_channels", "spatial_dims", "contrasts", "slices", "context", "targets", "acquisition", "share",
)  # fmt: skip
"""Options of a network that follow from sources and slices, or from what was learned."""


def former_of_recipe(recipe: nn.Module, *, begun: bool = False) -> TranslatorDescription | None:
    """The translator of the run that a recipe starts from (`recipe.options.start`): who it learned from, this one did.

    Args:
        recipe: The recipe, built.
        begun: The training that starts from it has begun already (an older version did not ask): it may go on, with a
            warning.

    Returns:
        None where it starts from no run, or nothing is known of it.

    Raises:
        ConfigError: The run has no translator, which alone says who it learned from.
    """
    run = getattr(recipe, "started_from", None)
    if run is None:
        return None
    try:
        return read_description(run)
    except CheckpointError as error:
        if begun:
            warnings.warn(
                f"{run}: recipe.options.start names a run without a translator, so that nobody knows which subjects it "
                "learned from: the leak check of `evaluate` will not name them",
                RecontrastWarning,
                stacklevel=4,
            )
            return None
        raise ConfigError(
            f"{run}: recipe.options.start must name a run that has ended, whose translator says which subjects it "
            f"learned from ({error}); let it end with `recontrast train … --resume`"
        ) from error


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
                "a run of the same network"
            )
        options = {name: value for name, value in model.options.items() if name not in _OF_THE_DATA}
        return {"model": {"options": options}}

    def check(self, sources: Sequence[str], targets: Sequence[str], data: DataSettings) -> None:
        """Refuse a translator that sees or makes something else than what is to be trained.

        Args:
            sources: Source contrasts of the training.
            targets: Its target contrasts.
            data: What its slices hold.

        Raises:
            ConfigError: It does not fit; the message says in what.
        """
        about = self.description
        read = about.bank.sources if about.bank else about.sources
        made = tuple(about.bank.targets) if about.bank else (about.target,)
        for what, there, here in (("reads", read, tuple(sources)), ("makes", made, tuple(targets))):
            if len(there) != len(here) or (there != here and set(there) == set(here)):
                wanted = "as many contrasts" if len(there) != len(here) else "the same contrasts in the same order"
                raise ConfigError(
                    f"--start-from {self.folder} {what} {' '.join(there)}, this training {' '.join(here)}: start from "
                    f"a run that {what} {wanted}"
                )
        seen = {
            "data.neighbours": (about.neighbours, data.neighbours),
            "number of widths in data.context_voxels": (len(about.context_voxels), len(data.context_voxels)),
            "data.context_steep": (about.context_steep, data.context_steep),
            "data.acquisition": (about.acquisition is not None, data.acquisition),
            "data.level_sources": (bool(about.source_levels) or data.level_sources, data.level_sources),
        }
        for name, (before, now) in seen.items():
            if before != now:
                raise ConfigError(f"--start-from {self.folder} does not fit: {name} was {before}, is {now} here")

    def as_learned(
        self, sources: Sequence[str], levels: Mapping[str, float], usual: Mapping[str, Any] | None
    ) -> tuple[dict[str, float], dict[str, Any] | None]:
        """Levels and usual acquisitions of sources as its network knows them, in place of those of this training.

        Args:
            sources: Source contrasts of the training, each in the place of one of its own.
            levels: Those that would be brought to a level.
            usual: See `TranslatorDescription.acquisition`.
        """
        about = self.description
        own = dict(zip(sources, about.sources, strict=True))
        kept = {label: about.source_levels[own[label]] for label in levels if own[label] in about.source_levels}
        learned = about.acquisition or {}
        return kept, None if usual is None else {label: learned.get(own[label], {}) for label in sources}

    def check_network(self, network: nn.Module) -> None:
        """Refuse weights of other names or shapes than those of a network; it may be built without memory.

        Raises:
            ConfigError: They do not fit.
            CheckpointError: The weights are absent or damaged.
        """
        own, weights = network.state_dict(), self.weights()
        for name in sorted({*own, *weights}):
            there = tuple(weights[name].shape) if name in weights else "absent"
            here = tuple(own[name].shape) if name in own else "absent"
            if there != here:
                raise ConfigError(
                    f"--start-from {self.folder} does not fit the network of this training: {name} is {there} there, "
                    f"{here} here; leave out what --set or the plan says of the network's size"
                )

    def warn_of_differences(self, scale: ScaleSettings, preparation: Preparation | None, plane: str) -> None:
        """Warn where the images are of another kind than those that the weights were learned from."""
        about = self.description
        kinds = {
            "scale": (about.scale_settings, scale),
            "preparation": (about.preparation, preparation),
            "plane": (about.plane, plane),
        }
        different = [name for name, (there, here) in kinds.items() if there != here]
        if different:
            warnings.warn(
                f"--start-from {self.folder} learned from images of another {' and '.join(different)} than these; what "
                "it knows may not hold here",
                RecontrastWarning,
                stacklevel=3,
            )

    def warn_of_namesakes(self, held_out: Collection[str]) -> None:
        """Warn of held-out subjects that bear the name of one that these weights were learned from.

        Args:
            held_out: Labels of subjects of which all, or a slab, is not learned from.
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

    def weights(self) -> dict[str, Tensor]:
        """Its weights, by name.

        Raises:
            CheckpointError: They are absent or damaged.
        """
        from recontrast.translation.weights import read_weights

        return read_weights(self.folder / WEIGHTS, self.description.weights_sha256)

    def taken_over(self) -> dict[str, Tensor]:
        """Weights that a training begins with: all, but for a network that gave its source back not its last layers.

        These (`last`) say how the source is put together again; the new training begins at what stands before them.

        Raises:
            CheckpointError: They are absent or damaged.
        """
        from recontrast.models import MODELS

        about = self.description
        anew = getattr(MODELS.get(about.model.name), "last", ()) if about.reconstructs else ()
        return {name: value for name, value in self.weights().items() if name.split(".")[0] not in anew}


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
