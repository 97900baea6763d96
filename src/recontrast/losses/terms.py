"""Named terms that a recipe adds to its loss: registered losses, each with a weight."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from recontrast.errors import ConfigError
from recontrast.losses import LOSSES


@dataclass(frozen=True)
class Term:
    """A loss that is added to another.

    Attributes:
        name: Its name in the registry.
        weight: What it is multiplied by.
        loss: Called with target, synthetic image and mask, as `MeanAbsoluteError`. It is no part of what is trained or
            saved; what it holds (a fixed network) it brings to the device of the images itself.
    """

    name: str
    weight: float
    loss: Any

    @property
    def of_lesions(self) -> bool:
        """Whether it is also told where lesions are (`lesion`); such a loss says so with an attribute of this name."""
        return bool(getattr(self.loss, "of_lesions", False))

    def __call__(self, reference: Tensor, estimate: Tensor, mask: Tensor | None, lesion: Tensor | None) -> Tensor:
        """The loss without its weight; arguments as for `MeanAbsoluteError`, `lesion` like the mask."""
        value: Tensor = self.loss(reference, estimate, mask, **({"lesion": lesion} if self.of_lesions else {}))
        return value


def weigh_lesions(options: Mapping[str, Any]) -> bool:
    """Whether a recipe with these options has a term that asks where lesions are.

    Args:
        options: Options of a recipe; those without `terms` have none.

    Example:
        >>> weigh_lesions({"terms": {"lesions": 4}}), weigh_lesions({})
        (True, False)
    """
    terms = (options.get("terms") or {}).items()
    asked = [name for name, given in terms if _split(given)[0]]
    return any(getattr(LOSSES.get(name), "of_lesions", False) for name in asked)


def build_terms(given: Mapping[str, Any]) -> tuple[Term, ...]:
    """Terms from settings, in alphabetical order; those of weight 0 are left out.

    Args:
        given: Name of a loss to its weight, or to a table of `weight` and options of that loss.

    Raises:
        UnknownNameError: No such loss.
        ConfigError: A weight is missing, negative or no number; an option does not exist.

    Example:
        >>> [(term.name, term.weight) for term in build_terms({"mse": 0.5, "l1": {"weight": 2}})]
        [('l1', 2.0), ('mse', 0.5)]
    """
    terms = []
    for name in sorted(given):
        LOSSES.get(name)
        weight, options = _split(given[name])
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight < math.inf:
            raise ConfigError(
                f"the weight of the loss term '{name}' is {weight!r}: write recipe.options.terms.{name}=0.1, or "
                f"recipe.options.terms.{name}.weight=0.1 beside options of its own; a number, not negative"
            )
        if weight:
            terms.append(Term(name, float(weight), LOSSES.build(name, options)))
    return tuple(terms)


def _split(given: Any) -> tuple[Any, dict[str, Any]]:
    """Weight of a term, not yet checked, and options of its loss."""
    options = dict(given) if isinstance(given, Mapping) else {"weight": given}
    return options.pop("weight", None), options
