"""Two discriminators: what they see, who learns, and that nothing else of the recipes is theirs."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from recontrast.losses.adversarial import AdversarialLoss
from recontrast.recipes import RECIPES
from recontrast.recipes.cycle import Cycle
from recontrast.recipes.unit import UnitRecipe
from recontrast.recipes.unpaired import Unpaired

ZEROS, ONES = torch.zeros(1, 1, 8, 8), torch.ones(1, 1, 8, 8)


class Seen(nn.Module):
    """A discriminator that says of an image what it sees, and has a weight."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.weight * image


@pytest.fixture
def recipe() -> Unpaired:
    made = Unpaired()
    made.network = nn.Conv2d(2, 1, 1)
    small = {"width": 2, "strided": 1}
    made._build_discriminators("patchgan", small, 2, AdversarialLoss("least_squares"))
    return made


def test_a_discriminator_for_each_contrast(recipe: Unpaired) -> None:
    assert recipe.of_target(ZEROS).shape == recipe.of_source(torch.cat([ZEROS, ZEROS], dim=1)).shape
    assert recipe.predict(torch.cat([ZEROS, ONES], dim=1)).shape == ZEROS.shape


def test_images_are_seen_between_minus_one_and_one(recipe: Unpaired) -> None:
    recipe.of_target, recipe.of_source = Seen(), Seen()
    # Least squares towards 1: of an image of ones nothing is left, of zeros, seen as -1, (-1 - 1)^2.
    on_target, on_source = recipe._fooling(ONES, ZEROS)
    assert [on_target.item(), on_source.item()] == [0.0, 4.0]
    # True ones are right; made ones, seen as 1, should be 0; true zeros are off by 2, made zeros by 1.
    turn = recipe._turn_of_discriminators((ONES, ONES), (ZEROS, ZEROS))
    assert {name: part.item() for name, part in turn.parts.items()} == {
        "discriminator_target": 0.5, "discriminator_source": 2.5,
    }  # fmt: skip
    assert (turn.optimizer, turn.loss.item()) == ("discriminators", 3.0)
    assert recipe._distance(ONES, ZEROS).item() == 2.0


def test_each_side_learns_in_its_own_turn(recipe: Unpaired) -> None:
    made = torch.full((1, 2, 8, 8), 0.5, requires_grad=True)
    sum(recipe._fooling(made[:, :1], made)).backward()  # type: ignore[union-attr]
    assert made.grad is not None
    judges = [*recipe.of_target.parameters(), *recipe.of_source.parameters()]
    assert all(p.grad is None and p.requires_grad for p in judges)
    made.grad = None
    recipe._turn_of_discriminators((ONES, made[:, :1]), (torch.cat([ONES, ZEROS], dim=1), made)).loss.backward()
    assert made.grad is None
    assert all(p.grad is not None for p in judges)


def test_it_is_no_recipe_but_what_two_are_built_on() -> None:
    built_on_it = [name for name, member in RECIPES.items() if issubclass(member, Unpaired)]
    assert [RECIPES.get(name) for name in built_on_it] == [Cycle, UnitRecipe]
    assert not any(RECIPES.get(name).paired for name in built_on_it)
