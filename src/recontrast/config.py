"""Settings: frozen dataclasses, filled from defaults, then a TOML file, then the command line.

Each field is followed by a one-line docstring; command-line help and documentation come from it.
"""

from __future__ import annotations

import dataclasses
import functools
import re
import tomllib
import types
import typing
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar

import tomli_w
from pydantic import TypeAdapter, ValidationError

from recontrast.atomic import write_text
from recontrast.errors import ConfigError, UnknownNameError

S = TypeVar("S")


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file.

    Raises:
        ConfigError: The file is absent or is not TOML; the line is named.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"settings file {path} does not exist") from None
    except (ValueError, RecursionError, OSError) as error:
        raise ConfigError(f"settings file {path} cannot be read as TOML: {error}") from error


def build_settings(cls: type[S], values: Mapping[str, Any], where: str) -> S:
    """Make settings of class `cls` from nested `values`, the rest from defaults.

    Args:
        cls: A dataclass.
        values: Field names to values; nested dataclasses as nested mappings.
        where: Where the values come from; stands in messages.

    Raises:
        UnknownNameError: A key is not a field; the nearest field is named.
        ConfigError: A value has the wrong type, or a needed one is missing.

    Example:
        >>> build_settings(cls, {"steps": 100}, "train.toml")  # doctest: +SKIP
    """
    settings: S = read_value(cls, complete(cls, values, where), where)
    return settings


def read_value(hint: Any, value: Any, where: str, name: str = "") -> Any:
    """A value as its type hint wants it.

    Args:
        hint: A type hint, or a class of settings.
        value: What stands in the file; tables of settings as `complete` gives them.
        where: Where it comes from; stands in messages.
        name: Setting it is of; stands in messages.

    Raises:
        ConfigError: It has the wrong type, or a needed one in it is missing.
    """
    try:
        return _adapter(hint).validate_python(value)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in (name, *first["loc"]) if part != "")
        reason = "must be a table of settings" if first["type"] == "dataclass_type" else first["msg"].lower()
        raise ConfigError(f"{where}: setting '{key}': {reason} (got {first['input']!r})") from None


@functools.cache
def _adapter(hint: Any) -> TypeAdapter[Any]:
    """Pydantic's view of a type; making it takes longer than using it."""
    return TypeAdapter(hint)


def check_keys(cls: type[Any], values: Mapping[str, Any], where: str) -> None:
    """Raise `UnknownNameError` for the first key of `values`, at any depth, that is not a field of `cls`."""
    complete(cls, values, where)


def complete(cls: type[Any], values: Mapping[str, Any], where: str) -> dict[str, Any]:
    """`values`, in which tables of settings that are given in part have the rest from the default of their own field.

    A field may have another default than its class has: what a table leaves out is as when there were no table.

    Args:
        cls: A dataclass.
        values: Field names to values; fields that are not there stay away.
        where: Where the values come from; stands in messages.

    Raises:
        UnknownNameError: A key is not a field of its class, at any depth, also in lists of tables and in named tables.
        ConfigError: `values` are not a table.
    """
    if not isinstance(values, Mapping):
        raise ConfigError(f"{where}: must be a table of settings (got {values!r})")
    return _complete_table(cls, values, None, where, "")


def _complete_table(cls: type[Any], values: Mapping[str, Any], default: Any, where: str, prefix: str) -> dict[str, Any]:
    hints = typing.get_type_hints(cls)
    fields = {field.name: field for field in dataclasses.fields(cls)}
    filled = {name: getattr(default, name) for name in fields} if isinstance(default, cls) else {}
    for key, value in values.items():
        if key not in fields:
            raise UnknownNameError.among(f"setting in {where}:", prefix + key, [prefix + name for name in fields])
        own = filled[key] if key in filled else _default_of(fields[key])
        filled[key] = _complete_value(hints[key], value, own, where, prefix + key)
    return filled


def _complete_value(hint: Any, value: Any, default: Any, where: str, place: str) -> Any:
    """A value in which every table that stands for a dataclass is complete: one, a list of them, or named ones."""
    union = typing.get_origin(hint) in (typing.Union, types.UnionType)
    for option in typing.get_args(hint) if union else (hint,):
        origin, inner = typing.get_origin(option), typing.get_args(option)
        if isinstance(value, Mapping) and isinstance(option, type) and dataclasses.is_dataclass(option):
            return _complete_table(option, value, default, where, f"{place}.")
        if isinstance(value, Mapping) and origin in (dict, Mapping):
            return {key: _complete_value(inner[1], part, None, where, f"{place}.{key}") for key, part in value.items()}
        if isinstance(value, list | tuple) and (origin is list or (origin is tuple and inner[-1:] == (Ellipsis,))):
            return [_complete_value(inner[0], part, None, where, f"{place}[{n}]") for n, part in enumerate(value)]
    return value


def _default_of(field: dataclasses.Field[Any]) -> Any:
    """The default of a field, None where it has none."""
    if field.default is not dataclasses.MISSING:
        return field.default
    return field.default_factory() if field.default_factory is not dataclasses.MISSING else None


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Nested mappings combined; `over` wins.

    >>> merge({"loop": {"steps": 1, "seed": 0}}, {"loop": {"steps": 2}})
    {'loop': {'steps': 2, 'seed': 0}}
    """
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        merged[key] = merge(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return merged


def to_plain(value: Any) -> Any:
    """Settings as plain dicts, lists, strings and numbers (for TOML and JSON); None entries are left out."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_plain(v) for f in dataclasses.fields(value) if (v := getattr(value, f.name)) is not None}
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items() if item is not None}
    if isinstance(value, list | tuple | set | frozenset):
        return [to_plain(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Enum):
        return to_plain(value.value)
    return value


def write_settings(path: Path, settings: Any) -> None:
    """Write resolved settings as TOML, atomically.

    Raises:
        ConfigError: A setting holds a file name that is not UTF-8; TOML has no way to write it.
    """
    text = tomli_w.dumps(to_plain(settings))
    if strange := re.search(r'[^"\n]*[\ud800-\udfff][^"\n]*', text):
        raise ConfigError(f"{path}: cannot hold the name {strange[0]!r}, which is not UTF-8; rename it")
    write_text(path, text)
