"""Study files are checked before anything is made."""

from __future__ import annotations

import pytest

from recontrast.errors import ConfigError, UnknownNameError
from recontrast.study.settings import Budget, read_study, study_paths


@pytest.mark.parametrize("scale", ["paper", "cpu"])
@pytest.mark.parametrize("name", sorted(study_paths()))
def test_studies_that_come_with_recontrast_can_be_read(name: str, scale: str) -> None:
    study = read_study(name, scale)
    assert study.summary
    assert study.published
    assert study.orderings


def test_the_part_of_the_scale_wins(make_study) -> None:  # type: ignore[no-untyped-def]
    path = make_study()
    assert read_study(path, "cpu").budget.steps == 8
    assert read_study(path, "paper").budget.steps == 100
    assert read_study(path, "paper").budget.validations == 4


def test_the_budget_is_stated() -> None:
    assert Budget(steps=5, minutes=2).in_words == "5 steps or 2 minutes for every run"
    assert Budget().in_words == "each preset's own budget"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('citation = "Nobody 2026"', 'citaton = "x"', "citation"),
        ('protocol = "recontrast"', 'protocol = "reconstrast"', "protocol"),
        ('also = ["mae"]', 'also = ["maee"]', "mae"),
        ('controls = ["identity", "affine"]', 'control = ["identity"]', "controls"),
        ('grid = { "recipe', 'start = "second"\ngrid = { "recipe', "must stand before it"),
        ('metrics = ["psnr", "ssim"]', 'metrics = ["psnr"]\nprotocol = "osman2022"', "among the study's evaluations"),
        ('metrics = ["psnr", "ssim"]', 'metrics = ["volumes.dise"]', "dice"),
        ('claim = "better than the source"', 'claim = "x"\nmetric = "volumes.advd"', "avd"),
        ('worse = { estimator = "identity" }', 'worse = { tier = "medium" }', "tier of test subjects"),
        ('target = "T2w" }', 'target = "T2w", name = "a/b" }', "name of a folder"),
    ],
)
def test_what_is_wrong_is_named(make_study, old: str, new: str, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ConfigError, match=message):
        read_study(make_study((old, new)), "cpu")


def test_no_method_may_be_called_untranslated(make_study) -> None:  # type: ignore[no-untyped-def]
    path = make_study(
        ('citation = "Nobody 2026"', "untranslated = true"),
        ('preset = "osman2022"', 'preset = "osman2022"\nname = "untranslated"'),
    )
    with pytest.raises(ConfigError, match="is the source itself"):
        read_study(path, "cpu")


@pytest.mark.parametrize(
    ("name", "label", "message"),
    [
        ("osman2022", "T1w", "osman2022"),
        ("as-is", "T1w", "letters and digits"),
        ("scanner", "T1x w", "T1x"),
    ],
)
def test_images_as_they_are_have_names_of_their_own(make_study, name: str, label: str, message: str) -> None:  # type: ignore[no-untyped-def]
    path = make_study(('citation = "Nobody 2026"', f'as_is = {{ "{name}" = "{label}" }}'))
    with pytest.raises(ConfigError, match=message):
        read_study(path, "cpu")


def test_images_as_they_are_of_a_direction(make_study) -> None:  # type: ignore[no-untyped-def]
    study = read_study(
        make_study(('citation = "Nobody 2026"', 'untranslated = true\nas_is = { scanner = "PDw" }')), "cpu"
    )
    assert study.images_as_they_are(study.directions[0]) == {"untranslated": "T1w", "scanner": "PDw"}


def test_unknown_studies_and_data_are_named(make_study) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(UnknownNameError, match="osman2022"):
        read_study("osman2021", "cpu")
    with pytest.raises(UnknownNameError, match="simulated"):
        read_study("osman2022", "cpu").source("simulatd")
