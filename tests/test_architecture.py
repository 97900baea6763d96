"""The house keeps its shape: mirrored tests, readable sizes, documented settings, public names, no prints."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import subprocess
import sys
import typing
from pathlib import Path

import pytest

import recontrast
from recontrast import cli

REPOSITORY = Path(__file__).parents[1]
SOURCE = REPOSITORY / "src" / "recontrast"
MODULES = sorted(path for path in SOURCE.rglob("*.py") if path.name not in ("__init__.py", "__main__.py"))
LONGEST_MODULE = 450
LONGEST_FUNCTION = 75
NAMES_THAT_SAY_NOTHING = {"utils", "common", "helpers", "core", "misc"}


def dotted(path: Path) -> str:
    return ".".join(("recontrast", *path.relative_to(SOURCE).with_suffix("").parts))


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_every_module_has_a_test_at_the_mirrored_place(path: Path) -> None:
    relative = path.relative_to(SOURCE)
    assert (REPOSITORY / "tests" / relative.with_name(f"test_{relative.name}")).is_file()


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_modules_and_functions_are_short_enough_to_read(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= LONGEST_MODULE
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            docstring = ast.get_docstring(node, clean=False) or ""
            length = (node.end_lineno or 0) - node.lineno + 1 - len(docstring.splitlines())
            assert length <= LONGEST_FUNCTION, f"{node.name} has {length} lines"


def test_no_file_or_folder_has_a_name_that_says_nothing() -> None:
    names = {path.stem for path in SOURCE.rglob("*") if path.is_dir() or path.suffix == ".py"}
    assert not names & NAMES_THAT_SAY_NOTHING


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_library_code_neither_asserts_nor_swallows_nor_unpickles(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        assert not isinstance(node, ast.Assert), f"line {node.lineno}: assert checks nothing under python -O"
        if isinstance(node, ast.ExceptHandler):
            assert node.type is not None, f"line {node.lineno}: bare except"
        if isinstance(node, ast.Import | ast.ImportFrom):
            imported = [alias.name for alias in node.names] + [getattr(node, "module", "") or ""]
            assert not {"pickle", "dill", "cloudpickle"} & set(imported), f"line {node.lineno}: pickle"
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("torch.load", "np.load", "numpy.load"):
            keywords = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
            assert keywords.get("weights_only") == "True" or keywords.get("allow_pickle") == "False", (
                f"line {node.lineno}: {ast.unparse(node.func)} may unpickle"
            )


@pytest.mark.parametrize("name", recontrast.__all__)
def test_public_names_exist_and_are_documented(name: str) -> None:
    member = getattr(recontrast, name)
    assert (member.__doc__ or "").strip()


def test_every_public_name_has_a_home() -> None:
    assert set(recontrast.__all__) == {*recontrast._HOME, "RecontrastError"}


def test_importing_the_package_does_not_import_torch() -> None:
    code = "import recontrast, sys; print('torch' in sys.modules, 'numpy' in sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.split() == ["False", "False"]


@pytest.mark.parametrize("name", sorted(cli.COMMANDS))
def test_commands_have_documented_settings(name: str) -> None:
    command = cli.COMMANDS[name]
    module = importlib.import_module(f"recontrast.{command.module}")
    settings = getattr(module, command.settings_name)
    assert dataclasses.is_dataclass(settings)
    assert settings.__dataclass_params__.frozen  # type: ignore[attr-defined]
    parameters = inspect.signature(getattr(module, command.function)).parameters
    assert [parameter.annotation for parameter in parameters.values()] == [command.settings_name]
    documented = documented_fields(settings)
    assert [field.name for field in dataclasses.fields(settings) if field.name not in documented] == []


def documented_fields(cls: type[typing.Any]) -> set[str]:
    body = ast.parse(inspect.cleandoc(inspect.getsource(cls))).body[0]
    assert isinstance(body, ast.ClassDef)
    found = set()
    for statement, following in zip(body.body, body.body[1:], strict=False):
        if (
            isinstance(statement, ast.AnnAssign)
            and isinstance(following, ast.Expr)
            and isinstance(following.value, ast.Constant)
        ):
            found.add(ast.unparse(statement.target))
    return found


def test_layers_hold() -> None:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    checked = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout


def test_no_path_of_a_developers_machine_is_tracked() -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    if tracked.returncode != 0:
        pytest.skip("not a git checkout: which files are tracked cannot be asked")
    for name in tracked.stdout.split():
        path = REPOSITORY / name
        if path.suffix in (".py", ".toml", ".md", ".tsv") and path.is_file():
            assert "/wo" + "rk/" not in path.read_text(encoding="utf-8"), name
