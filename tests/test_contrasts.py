"""Names of contrasts."""

from __future__ import annotations

import pytest

from recontrast.contrasts import Contrast
from recontrast.errors import ConfigError


@pytest.mark.parametrize("label", ["T1w", "FLAIR", "ce-gadolinium_T1w", "acq-localizer_T1w", "acq-a_ce-b_T2w", "T1map"])
def test_label_there_and_back(label):
    assert Contrast.parse(label).label == label
    assert str(Contrast.parse(label)) == label


def test_entities_get_their_order():
    assert Contrast.parse("ce-b_acq-a_T2w").label == "acq-a_ce-b_T2w"


@pytest.mark.parametrize("label", ["", "ce-_T1w", "run-1_T1w", "T1w_", "../T1w", "ce-a/b_T1w"])
def test_what_is_not_a_contrast(label):
    with pytest.raises(ConfigError):
        Contrast.parse(label)


def test_words_for_reports():
    assert Contrast.parse("ce-gadolinium_T1w").description == "T1-weighted (ce gadolinium)"
    assert Contrast.parse("angio").description == "angio"
