"""`readers new` from the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from recontrast import cli
from recontrast.readers.folder import read_plan
from recontrast.readers.new import size_help
from recontrast.readers.study import designs, study_from


def test_one_command_makes_a_study_and_never_changes_it(
    tmp_path: Path, write_images: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    write_images(tmp_path, 3)
    arms = "".join(f'[[arms]]\nname = "{n}"\nfiles = "{{case}}_{n}.nii.gz"\n' for n in ("acquired", "computed"))
    (tmp_path / "d.toml").write_text(f'design = "visual-turing"\nreaders = ["A", "B"]\ngap = 1\n{arms}')
    command = ["readers", "new", str(tmp_path / "d.toml"), str(tmp_path / "s")]
    assert cli.run(command) == cli.DONE
    said = capsys.readouterr().out
    assert "3 cases, 2 arms, 2 readers, 6 items each" in said
    assert "6 of 6 right" in said  # binomial: 6 of 6 has p 0.031, 5 of 6 has 0.22
    plan = read_plan(tmp_path / "s")
    assert plan.study.seed != 0  # drawn by chance: nobody can work out the order
    assert cli.run(command) == cli.MENDABLE
    assert "never changed" in capsys.readouterr().err


def test_group_without_a_command_lists_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["readers", "serv"]) == cli.MENDABLE
    assert "did you mean 'readers serve'" in capsys.readouterr().err


def test_help_on_size_follows_the_tests(make_study: Any) -> None:
    study = read_plan(make_study().folder).study
    (line, *_) = size_help(study, 34)
    assert "0.49 SD" in line or "0.50 SD" in line  # 34 pairs find 0.5 SD with 80 %
    assert "0.8 SD needs 15 cases, 0.5 SD needs 34 cases, 0.3 SD needs 90 cases" in line  # G*Power's numbers


def test_help_on_guessing_with_several_computed_arms_is_by_arm() -> None:
    """Two of three readings are right when one always says "computed"."""

    def told(arms: int, cases: int) -> str:
        design = {**designs()["visual-turing"], "readers": ["A"], "arms": [{"name": f"a{n}"} for n in range(arms)]}
        return next(
            line for line in size_help(study_from(design, "test"), cases) if "guessing" in line or "tells" in line
        )

    assert "from 6 of 8 right in each" not in told(3, 8)  # 6 of 8 against 2 of 8: p 0.13
    assert told(3, 8).endswith("from 7 of 8 right in each")  # p 0.01
    assert told(3, 3).endswith("from nothing: 3 cases are too few")
    assert told(2, 3).endswith("from 6 of 6 right")
    assert "always right or never" in told(1, 8)
