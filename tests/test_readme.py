"""Every command that the README and the tutorial print is run, as printed, in an empty folder."""

from __future__ import annotations

import itertools
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
PAGES = ("README.md", "docs/tutorials/first-translation.md")


def blocks(page: str, language: str) -> list[str]:
    """Code blocks of a page that are marked with a language."""
    text = (REPOSITORY / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def commands_of(page: str) -> list[str]:
    """Lines of the shell blocks of a page."""
    return "".join(blocks(page, "sh")).splitlines()


def run(commands: list[str], folder: Path) -> None:
    """Run lines of a shell as a reader who types them one after the other."""
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    finished = subprocess.run(
        ["bash", "-euc", "\n".join(commands)], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stderr[-3000:]


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], Path]:
    """The commands that all pages begin with, and a folder in which they were run, once."""
    pairs = zip(*map(commands_of, PAGES), strict=False)
    common = [lines[0] for lines in itertools.takewhile(lambda lines: len(set(lines)) == 1, pairs)]
    assert [line.split()[1] for line in common[:3]] == ["simulate", "prepare", "train"]
    folder = tmp_path_factory.mktemp("begun")
    run(common, folder)
    return common, folder


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_shell_commands_run_as_printed(page: str, begun: tuple[list[str], Path], tmp_path: Path) -> None:
    common, folder = begun
    commands = commands_of(page)
    assert commands[: len(common)] == common
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    run(commands[len(common) :], tmp_path)
    assert (tmp_path / "report.html").is_file()


@pytest.mark.slow
def test_python_example_runs_as_printed(tmp_path: Path) -> None:
    (example,) = blocks("README.md", "python")
    subprocess.run([sys.executable, "-c", example], cwd=tmp_path, check=True, capture_output=True)
    assert (tmp_path / "heads" / "dataset_description.json").is_file()


@pytest.mark.parametrize("page", sorted(str(p.relative_to(REPOSITORY)) for p in REPOSITORY.glob("docs/**/*.md")))
def test_links_between_pages_lead_somewhere(page: str) -> None:
    text = (REPOSITORY / page).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text):
        if "://" not in target:
            assert ((REPOSITORY / page).parent / target.strip()).exists(), f"{page} -> {target}"


def test_links_of_the_readme_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", (REPOSITORY / "README.md").read_text(encoding="utf-8")):
        if "://" not in target:
            assert (REPOSITORY / target).exists(), target
