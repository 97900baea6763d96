"""Settings: defaults, then TOML, with unknown keys and wrong types refused by name."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from recontrast.config import build_settings, check_keys, merge, read_toml, to_plain, write_settings
from recontrast.errors import ConfigError, UnknownNameError


@dataclass(frozen=True, kw_only=True)
class Inner:
    steps: int = 10
    rate: float = 0.1


@dataclass(frozen=True, kw_only=True)
class Outer:
    out: Path
    names: tuple[str, ...] = ()
    inner: Inner = field(default_factory=Inner)
    limit: float | None = None


@dataclass(frozen=True, kw_only=True)
class Tables:
    several: tuple[Inner, ...] = ()
    listed: list[Inner] = field(default_factory=list)
    named: dict[str, Inner] = field(default_factory=dict)
    slow: Inner = field(default_factory=lambda: Inner(rate=0.001))
    perhaps: Inner | None = None


def test_values_fill_nested_fields_and_keep_other_defaults() -> None:
    settings = build_settings(Outer, {"out": "x", "inner": {"steps": 3}, "names": ["a", "b"]}, "here.toml")
    assert settings == Outer(out=Path("x"), names=("a", "b"), inner=Inner(steps=3))


def test_unknown_key_at_depth_names_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match=r"here\.toml.*'inner\.stesp'.*did you mean 'inner\.steps'"):
        build_settings(Outer, {"out": "x", "inner": {"stesp": 3}}, "here.toml")


@pytest.mark.parametrize(
    ("values", "place"),
    [
        ({"several": [{"steps": 1}, {"stesp": 3}]}, r"several\[1\]\.stesp"),
        ({"listed": [{"stesp": 3}]}, r"listed\[0\]\.stesp"),
        ({"named": {"first": {"stesp": 3}}}, r"named\.first\.stesp"),
        ({"perhaps": {"stesp": 3}}, r"perhaps\.stesp"),
    ],
)
def test_unknown_keys_in_lists_of_tables_and_in_named_tables_are_refused(values: dict[str, Any], place: str) -> None:
    near = place.replace("stesp", "steps")
    with pytest.raises(UnknownNameError, match=f"'{place}'.*did you mean '{near}'"):
        build_settings(Tables, values, "here.toml")
    assert build_settings(Tables, {"several": [{"steps": 1}]}, "here.toml").several == (Inner(steps=1),)


def test_a_table_given_in_part_keeps_the_defaults_of_its_own_field() -> None:
    settings = build_settings(Tables, {"slow": {"steps": 3}, "perhaps": {"steps": 3}}, "here.toml")
    assert settings.slow == Inner(steps=3, rate=0.001)
    assert settings.perhaps == Inner(steps=3)


@pytest.mark.parametrize("value", ["zscore", 3, [1]])
def test_a_value_where_a_table_is_needed_is_named(value: Any) -> None:
    with pytest.raises(ConfigError, match=r"here\.toml: setting 'slow': must be a table of settings"):
        build_settings(Tables, {"slow": value}, "here.toml")
    with pytest.raises(ConfigError, match=r"here\.toml: must be a table"):
        check_keys(Tables, value, "here.toml")


def test_wrong_type_is_named_with_its_place() -> None:
    with pytest.raises(ConfigError, match=r"here\.toml: setting 'inner\.steps'.*got 'many'"):
        build_settings(Outer, {"out": "x", "inner": {"steps": "many"}}, "here.toml")


def test_missing_file_and_broken_toml_are_clear(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not exist"):
        read_toml(tmp_path / "absent.toml")
    (tmp_path / "broken.toml").write_text("a = [1,\n")
    with pytest.raises(ConfigError, match="cannot be read as TOML"):
        read_toml(tmp_path / "broken.toml")


def test_written_settings_read_back_equal(tmp_path: Path) -> None:
    settings = Outer(out=Path("somewhere"), names=("T1w", "T2w"), inner=Inner(rate=0.5))
    write_settings(tmp_path / "config.toml", settings)
    assert build_settings(Outer, read_toml(tmp_path / "config.toml"), "config.toml") == settings


def test_a_name_that_toml_cannot_hold_is_refused_and_not_written(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"a\.toml: cannot hold the name 'scan\\udce9'.*rename it"):
        write_settings(tmp_path / "a.toml", {"data": {"folder": Path(os.fsdecode(b"scan\xe9"))}})
    assert not (tmp_path / "a.toml").exists()


def test_merge_lets_the_second_win_at_depth() -> None:
    assert merge({"a": {"b": 1, "c": 2}, "d": 3}, {"a": {"b": 9}}) == {"a": {"b": 9, "c": 2}, "d": 3}


def test_to_plain_leaves_out_none_and_writes_paths_as_text() -> None:
    assert to_plain(Outer(out=Path("x"))) == {"out": "x", "names": [], "inner": {"steps": 10, "rate": 0.1}}


@pytest.mark.parametrize("bad", ["a = " + "[" * 100_000, "a = " + "9" * 5000, "a = \0"])
def test_files_that_would_break_a_parser(tmp_path, bad):
    (tmp_path / "a.toml").write_text(bad)
    with pytest.raises(ConfigError, match=r"a\.toml cannot be read as TOML"):
        read_toml(tmp_path / "a.toml")
