"""Ways of learning; one file each. `unpaired` is none: it holds what those share that learn from unpaired images.

A recipe is an nn.Module that owns all networks of a way of learning, and their losses:

- `network`: the one that is validated and saved; it maps sources to the target's grid, on the scale [0, 1].
- `paired`: whether a batch holds source and target of the same slices, or two independent draws.
- `optimized()`: for every optimiser, by name, the modules it trains.
- `training_step(batch)`: yields turns, in order. After each the named optimiser takes a step with the turn's loss; what
  comes later in the recipe sees the new weights. The last turn is the one that trains `network`, or follows it.
- `predict(source)`: the synthetic image.

One that learns in stages also has `steps_taken`, a buffer into which the learner writes the number of steps before this
one, and `last_stage`, the number of steps before its last stage. One that cannot go on for ever has `most_steps`. One
that sends its batch through `network` once in a step may have `replayed`, None at first: the learner puts a faster way
through the network there, which the recipe then takes.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from recontrast.registry import Registry

if TYPE_CHECKING:
    from torch import Tensor, nn

RECIPES: Registry[Any] = Registry("recipe", "recontrast.recipes")


@dataclass(frozen=True)
class Turn:
    """One optimiser's share of a training step.

    Attributes:
        optimizer: Name of the optimiser, as in `optimized()`.
        loss: What it minimises, a float32 number with its graph.
        parts: Named parts of the loss for the log, detached.
        rate: Learning rate of this turn, relative to that of the loop.
        betas: Adam's betas from this turn on; None: those of the loop.
    """

    optimizer: str
    loss: Tensor
    parts: Mapping[str, Tensor] = field(default_factory=dict)
    rate: float = 1.0
    betas: tuple[float, float] | None = None


def build_recipe(
    name: str, options: Mapping[str, Any], network: nn.Module, build_network: Callable[[int, int], nn.Module],
    in_channels: int, spatial_dims: int = 2,
) -> Any:  # fmt: skip
    """Build a recipe around a network.

    Recipes with further networks are also told how many channels a source has and how to make another network.

    Args:
        name: Name of the recipe.
        options: Its options.
        network: The network that is saved.
        build_network: Makes another one of the same kind from its numbers of channels in and out.
        in_channels: Channels of the source, neighbouring slices included.
        spatial_dims: 2 (slices) or 3 (volumes).

    Raises:
        UnknownNameError: No such recipe.
        ConfigError: An option does not exist or is out of range.
    """
    taken = inspect.signature(RECIPES.get(name)).parameters
    further = {"source_channels": in_channels, "build_network": build_network, "spatial_dims": spatial_dims}
    given = {key: value for key, value in further.items() if key in taken}
    return RECIPES.build(name, {"network": network, **given, **options})
