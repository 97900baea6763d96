"""Members are found by looking into the folder; options are checked against signatures."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from recontrast.errors import ConfigError, UnknownNameError
from recontrast.registry import Registry


@pytest.fixture
def family(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry[object]:
    """A package with one member in a file of its own, found without any list."""
    package = tmp_path / "family_for_test"
    package.mkdir()
    (package / "__init__.py").write_text(
        "from recontrast.registry import Registry\nMEMBERS = Registry('member', 'family_for_test')\n"
    )
    (package / "one.py").write_text(
        "from family_for_test import MEMBERS\n\n\n@MEMBERS.register('one')\ndef one(*, width, depth=2):\n"
        "    return width, depth\n"
    )
    (package / "apart").mkdir()
    (package / "apart" / "__init__.py").write_text("raise RuntimeError('a folder is no member')\n")
    monkeypatch.syspath_prepend(tmp_path)
    import family_for_test  # type: ignore[import-not-found]

    yield family_for_test.MEMBERS
    for name in [name for name in sys.modules if name.startswith("family_for_test")]:
        del sys.modules[name]


def test_members_are_found_in_their_files(family: Registry[object]) -> None:
    assert family.names() == ["one"]
    assert family.build("one", {"width": 3}) == (3, 2)


def test_unknown_member_names_the_nearest(family: Registry[object]) -> None:
    with pytest.raises(UnknownNameError, match=r"unknown member 'onne': did you mean 'one'\?"):
        family.get("onne")


def test_unknown_option_names_the_nearest(family: Registry[object]) -> None:
    with pytest.raises(ConfigError, match=r"member 'one' has no option 'widht': did you mean 'width'\?"):
        family.build("one", {"widht": 3})


def test_missing_option_is_named(family: Registry[object]) -> None:
    with pytest.raises(ConfigError, match="member 'one' needs the option width"):
        family.build("one", {})


def test_two_members_of_one_name_are_refused(family: Registry[object]) -> None:
    family.names()
    with pytest.raises(ValueError, match="two members are called 'one'"):
        family.register("one")(lambda: None)
