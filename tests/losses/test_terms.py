"""Terms of a loss: names, weights, options."""

from __future__ import annotations

import pytest
import torch

from recontrast.errors import ConfigError, UnknownNameError
from recontrast.losses.terms import build_terms, weigh_lesions
from recontrast.training.plan import read_plan


def test_terms_are_set_from_the_command_line_one_by_one() -> None:
    overrides = ["recipe.options.terms.mse=0.5", "recipe.options.terms.ssim.weight=2"]
    terms = read_plan("auto", "cpu", overrides).recipe.options["terms"]
    assert terms == {"mse": 0.5, "ssim": {"weight": 2}}


def test_a_term_gives_its_loss_without_its_weight() -> None:
    (term,) = build_terms({"mse": {"weight": 3}})
    assert term.weight == 3
    assert term(torch.zeros(1, 1, 2, 2), torch.full((1, 1, 2, 2), 2.0), None, None).item() == 4


def test_a_term_of_weight_zero_is_not_computed() -> None:
    assert build_terms({"mse": 0}) == ()


@pytest.mark.parametrize("given", [-1, float("nan"), float("inf"), True, "much", {}])
def test_weights_that_make_no_sense_are_refused(given: object) -> None:
    with pytest.raises(ConfigError, match="weight of the loss term 'mse'"):
        build_terms({"mse": given})


def test_unknown_names_and_options_are_named() -> None:
    with pytest.raises(UnknownNameError, match="unknown loss 'mes'"):
        build_terms({"mes": 1})
    with pytest.raises(ConfigError, match="loss 'mse' has no option 'sigma'"):
        build_terms({"mse": {"weight": 1, "sigma": 2}})


def test_lesions_are_asked_for_by_a_term_that_counts() -> None:
    assert weigh_lesions({"terms": {"l1": 1, "lesions": {"weight": 2}}})
    assert not weigh_lesions({"terms": {"mse": 1, "lesions": 0}})
    assert not weigh_lesions({"terms": {"lesions": {"weight": 0}}})
