"""Settings: frozen dataclasses, filled from defaults, then a TOML file, then the command line.

Each field is followed by a one-line docstring; command-line help and documentation come from it.
"""

from __future__ import annotations

import dataclasses
import functools
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
    check_keys(cls, values, where)
    try:
        kind: Any = cls
        settings: S = _adapter(kind).validate_python(dict(values))
        return settings
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"{where}: setting '{key}': {first['msg'].lower()} (got {first['input']!r})") from None


@functools.cache
def _adapter(cls: type[Any]) -> TypeAdapter[Any]:
    """Pydantic's view of a class; making it takes longer than using it."""
    return TypeAdapter(cls)


def check_keys(cls: type[Any], values: Mapping[str, Any], where: str, prefix: str = "") -> None:
    """Raise `UnknownNameError` for the first key of `values`, at any depth, that is not a field of `cls`."""
    hints = typing.get_type_hints(cls)
    names = [field.name for field in dataclasses.fields(cls)]
    for key, value in values.items():
        if key not in names:
            raise UnknownNameError.among(f"setting in {where}:", prefix + key, [prefix + name for name in names])
        inner = nested_dataclass(hints[key])
        if inner is not None and isinstance(value, Mapping):
            check_keys(inner, value, where, f"{prefix}{key}.")


def nested_dataclass(hint: Any) -> type[Any] | None:
    """The dataclass inside a type hint (`X` or `X | None`), or None; `dict[str, X]` is a mapping."""
    union = typing.get_origin(hint) in (typing.Union, types.UnionType)
    candidates = typing.get_args(hint) if union else (hint,)
    for candidate in candidates:
        if isinstance(candidate, type) and dataclasses.is_dataclass(candidate):
            return candidate
    return None


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
    """Write resolved settings as TOML, atomically."""
    write_text(path, tomli_w.dumps(to_plain(settings)))
