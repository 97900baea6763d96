from __future__ import annotations

from collections.abc import Callable

from recontrast.preparation.bank import Bank
from recontrast.preparation.normalize import Scale
from recontrast.translation.card import model_card
from recontrast.translation.description import TranslatorDescription, subject_hash


def test_the_card_says_what_from_what_how_many_and_where_not(describe: Callable[..., TranslatorDescription]) -> None:
    about = describe(sources=("T1w", "PDw"), neighbours=1, training_subjects=tuple(map(subject_hash, "abc")))
    card = model_card(about)
    assert card.startswith("# Translator: T1w + PDw to T2w")
    for expected in ("not for diagnosis", "proton-density-weighted", "| subjects | 3 |", "must not be used", "few"):
        assert expected in card
    assert "1 on either side" in card


def test_the_card_names_no_subject(describe: Callable[..., TranslatorDescription]) -> None:
    card = model_card(describe(training_subjects=(subject_hash("sub-Miller"),)))
    assert "Miller" not in card
    assert subject_hash("Miller") not in card


def test_the_card_of_several_targets_names_each_and_its_unit(describe: Callable[..., TranslatorDescription]) -> None:
    bank = Bank(sources=("T1w", "PDw"), targets={"T1w": Scale("fixed", 0.0, 700.0), "T2w": Scale("fixed", 0.0, 900.0)})
    card = model_card(describe(sources=("T1w", "PDw"), target="", bank=bank))
    assert card.startswith("# Translator: any of T1w, PDw to T1w, T2w")
    assert "never from the target" in card
    assert "700 (T1w), 900 (T2w)" in card
