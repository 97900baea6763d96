"""The command line: help, exit statuses, settings files, one clear line for each mistake."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from recontrast import cli


def line_of(captured: pytest.CaptureFixture[str]) -> str:
    """The one line on the error stream."""
    lines = captured.readouterr().err.strip().splitlines()
    assert len(lines) == 1, lines
    return lines[0]


def test_overview_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["--help"]) == cli.DONE
    shown = capsys.readouterr().out
    for name, command in cli.COMMANDS.items():
        assert re.search(rf"^  {name} +{re.escape(command.summary)}$", shown, re.MULTILINE)


def test_no_command_shows_the_overview_and_fails(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run([]) == cli.MENDABLE
    assert "usage: recontrast" in capsys.readouterr().out


def test_version_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["--version"]) == cli.DONE
    assert re.fullmatch(r"recontrast \d+\.\d+\.\d+\S*\n", capsys.readouterr().out)


def test_unknown_command_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["simulat"]) == cli.MENDABLE
    assert "unknown command 'simulat': did you mean 'simulate'?" in line_of(capsys)


@pytest.mark.parametrize("name", sorted(cli.COMMANDS))
def test_help_shows_every_option_with_its_default(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        cli.run([name, "--help"])
    assert left.value.code == 0
    shown = capsys.readouterr().out
    assert "--config" in shown
    assert "--verbose" in shown


def test_only_the_program_imports_ahead_for_its_workers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[tuple[object, ...]] = []
    monkeypatch.setattr(
        "recontrast.execution.workers.preload_workers", lambda name, **k: asked.append((name, k["workers"]))
    )
    arguments = ["evaluate", str(tmp_path), str(tmp_path), str(tmp_path / "out"), "--workers", "3"]
    assert cli.run(arguments) == cli.MENDABLE
    assert not asked
    assert cli.run(arguments, alone=True) == cli.MENDABLE
    assert asked == [("recontrast.evaluation.ready", 3)]


def test_unknown_option_leaves_with_status_two(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        cli.run(["list", "metrics", "--colour"])
    assert left.value.code == cli.MENDABLE


def test_an_option_given_twice_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["--set", "loop.steps=3", "--set", "loop.seed=1"]
    assert cli.run(["train", str(tmp_path), str(tmp_path / "run"), "--source", "T1w", "--target", "T2w", *given]) == 2
    assert "--set is given twice" in capsys.readouterr().err


def test_list_shows_members_with_one_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["list", "metrics"]) == cli.DONE
    rows = capsys.readouterr().out.strip().splitlines()
    assert any(re.match(r"psnr +\S", row) for row in rows)


def test_every_protocol_says_what_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    """Protocols are data: the docstring of their class is the same for all."""
    assert cli.run(["list", "protocols"]) == cli.DONE
    rows = capsys.readouterr().out.strip().splitlines()
    assert len({row.split(maxsplit=1)[1] for row in rows}) == len(rows) >= 17
    assert any(re.match(r"brasyn +0\.5 to 99\.5 percentile", row) for row in rows)


def test_settings_file_gives_options_and_the_command_line_wins(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "list.toml").write_text('what = "models"\n')
    assert cli.run(["list", "--config", str(tmp_path / "list.toml")]) == cli.DONE
    from_file = capsys.readouterr().out
    assert cli.run(["list", "models"]) == cli.DONE
    assert capsys.readouterr().out == from_file


def test_unknown_key_in_a_settings_file_names_the_nearest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "simulate.toml").write_text("subjcts = 3\n")
    status = cli.run(["simulate", str(tmp_path / "out"), "--config", str(tmp_path / "simulate.toml")])
    assert status == cli.MENDABLE
    shown = line_of(capsys)
    assert "simulate.toml" in shown
    assert "did you mean 'subjects'?" in shown


def test_value_of_the_wrong_type_in_a_settings_file_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "simulate.toml").write_text('subjects = "many"\n')
    assert cli.run(["simulate", str(tmp_path / "out"), "--config", str(tmp_path / "simulate.toml")]) == cli.MENDABLE
    assert "'subjects'" in line_of(capsys)


def test_a_table_of_settings_in_a_settings_file_keeps_the_defaults_of_its_option(tmp_path: Path) -> None:
    from recontrast.preparation.pipeline import BY_RECIPE

    (tmp_path / "prepare.toml").write_text("[scale]\nhigh = 99.5\n")
    arguments = ["bids", "out", "--config", str(tmp_path / "prepare.toml")]
    settings, _ = cli._parse("prepare", cli.COMMANDS["prepare"], arguments)
    assert (settings.scale.name, settings.scale.high) == (BY_RECIPE, 99.5)
    settings, _ = cli._parse("prepare", cli.COMMANDS["prepare"], [*arguments, "--scale.high", "99"])
    assert (settings.scale.name, settings.scale.high) == (BY_RECIPE, 99.0)


@pytest.mark.parametrize("value", ['"zscore"', "3"])
def test_a_value_where_a_settings_file_needs_a_table_is_named(
    value: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "prepare.toml").write_text(f"scale = {value}\n")
    arguments = ["prepare", str(tmp_path), str(tmp_path / "out"), "--config", str(tmp_path / "prepare.toml")]
    assert cli.run(arguments) == cli.MENDABLE
    assert "'scale': must be a table" in line_of(capsys)


def test_absent_settings_file_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["simulate", str(tmp_path), "--config", str(tmp_path / "no.toml")]) == cli.MENDABLE
    assert "does not exist" in line_of(capsys)


def test_absent_input_is_one_line_with_status_two(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["prepare", str(tmp_path / "nowhere"), str(tmp_path / "out")]) == cli.MENDABLE
    assert "nowhere" in line_of(capsys)


def test_a_bug_gives_a_traceback_and_status_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object) -> int:
        raise ZeroDivisionError("planted")

    monkeypatch.setattr(cli, "_run_command", broken)
    assert cli.run(["list", "metrics"]) == cli.BUG
    shown = capsys.readouterr().err
    assert "Traceback" in shown
    assert "planted" in shown


def test_interruption_says_how_to_go_on(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def stopped(*_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "_run_command", stopped)
    assert cli.run(["list", "metrics"]) == cli.INTERRUPTED
    assert "goes on from there" in line_of(capsys)


def test_program_and_module_are_the_same() -> None:
    program = Path(sys.executable).with_name("recontrast")
    first = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    second = subprocess.run(
        [sys.executable, "-m", "recontrast", "--version"], capture_output=True, text=True, check=True
    ).stdout
    assert first == second


@pytest.mark.parametrize(
    ("program", "arguments", "restarts"),
    [
        ("recontrast", ["train", "prepared", "run"], ["-P", "-m"]),
        ("/src/recontrast/__main__.py", ["train", "prepared", "run"], ["-m"]),
        ("recontrast", ["train", "prepared", "run", "--no-tuned-allocator"], []),
        ("recontrast", ["train", "prepared", "run", "--no_tuned_allocator"], []),
        ("recontrast", ["train", "--help"], []),
        ("recontrast", ["evaluate", "synthetic", "prepared", "out"], []),
        ("recontrast", ["readers", "new"], []),
        ("recontrast", [], []),
    ],
)
def test_only_the_program_itself_is_started_again(
    program: str, arguments: list[str], restarts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from recontrast.execution import runtime

    started: list[list[str]] = []
    monkeypatch.setattr(os, "execve", lambda program, words, environment: started.append(words))
    alone: list[bool] = []
    monkeypatch.setattr(cli, "run", lambda words, **how: alone.append(how["alone"]) or cli.DONE)
    monkeypatch.setattr(runtime, "allocator_environment", lambda: {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"})
    monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
    monkeypatch.setattr(sys, "argv", [program, *arguments])
    with pytest.raises(SystemExit):
        cli.main()
    assert started == ([[sys.executable, *restarts, "recontrast", *arguments]] if restarts else [])
    with pytest.raises(SystemExit):
        cli.main(["train", "prepared", "run"])
    assert len(started) == bool(restarts)
    assert alone == [True, False]


def test_a_module_in_the_working_folder_is_not_run(tmp_path: Path) -> None:
    (tmp_path / "statistics.py").write_text("open('was-run', 'w')\nraise SystemExit('planted')\n")
    program = Path(sys.executable).with_name("recontrast")
    command = [program, "train", "nowhere", "run", "--source", "T1w", "--target", "T2w"]
    finished = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert finished.returncode == cli.MENDABLE, finished.stderr
    assert "nowhere" in finished.stderr
    assert not (tmp_path / "was-run").exists()
