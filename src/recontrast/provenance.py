"""Where a result comes from: settings, versions, seeds, input hashes and the command line, beside every output."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
import json
import platform
import shlex
import sys
from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from recontrast.atomic import write_json
from recontrast.config import to_plain
from recontrast.errors import ConfigError, FormatError

FILE_NAME = "provenance.json"

_PACKAGES = ("recontrast", "numpy", "scipy", "nibabel", "SimpleITK", "scikit-learn", "torch", "nilearn")


def version() -> str:
    """Version of Recontrast; `unknown` where its source runs without being installed."""
    try:
        return importlib.metadata.version("recontrast")
    except importlib.metadata.PackageNotFoundError:
        return "unknown (not installed)"


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal.

    Raises:
        FormatError: The file is not there or cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        link = path.is_symlink()
        missing = "is a link to a file that is not there (DataLad: `datalad get`)" if link else "no such file"
        raise FormatError(f"{path}: {missing}") from None
    except OSError as error:
        raise FormatError(f"{path}: cannot be read ({error.strerror or error})") from error


def describe(
    stage: str,
    settings: Any,
    inputs: Iterable[Path] = (),
    extra: Mapping[str, Any] | None = None,
    hashes: Mapping[Path, str] | None = None,
) -> dict[str, Any]:
    """What `write_provenance` writes, as a dictionary.

    Args:
        stage: The command that made the output ("prepare").
        settings: Its resolved settings (a dataclass).
        inputs: Files it read; each is hashed.
        extra: More facts worth keeping (seeds, translator hash, …).
        hashes: SHA-256 of files that were hashed when they were read; the others are hashed now.
    """
    versions = {}
    for package in _PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "stage": stage,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": shlex.join(sys.argv),
        "settings": to_plain(settings),
        "inputs": {str(path): (hashes or {}).get(path) or sha256_of(path) for path in inputs},
        "versions": {"python": platform.python_version(), **versions},
        "machine": {"system": platform.platform(), "processor": platform.machine()},
        **(dict(extra) if extra else {}),
    }


def write_provenance(
    folder: Path,
    stage: str,
    settings: Any,
    inputs: Iterable[Path] = (),
    extra: Mapping[str, Any] | None = None,
    hashes: Mapping[Path, str] | None = None,
) -> None:
    """Write `provenance.json` into `folder`; arguments as for `describe`."""
    write_json(folder / FILE_NAME, describe(stage, settings, inputs, extra, hashes))


def earlier_result(folder: Path, stage: str, *, alone: bool = False) -> dict[str, Any] | None:
    """The provenance of an earlier result of the same command in an output folder; None where there is none.

    Ask before any work, so that no command writes over what another one, or the user, left in that folder.

    Args:
        folder: Output folder; it need not exist.
        stage: The command that will write there ("evaluate").
        alone: Whether a folder is refused, too, that holds files and no provenance.

    Raises:
        ConfigError: The folder holds the result of another command, or its provenance cannot be read.

    Example:
        >>> earlier_result(Path("a folder that is not there"), "inspect") is None
        True
    """
    path = folder / FILE_NAME
    if not path.is_file():
        if alone and folder.is_dir() and any(not entry.name.startswith(".") for entry in folder.iterdir()):
            raise ConfigError(f"{folder}: holds files that `recontrast {stage}` did not make; choose another folder")
        return None
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
        made_by = before["stage"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{path}: cannot be read ({error}); choose another output folder") from error
    if made_by != stage:
        raise ConfigError(
            f"{folder}: holds other results (made by `recontrast {made_by}`); choose another folder, or remove this one"
        )
    return dict(before)


def refuse_other_settings(
    folder: Path, before: Mapping[str, Any] | None, settings: Any, free: Collection[str] = ("out",)
) -> None:
    """Refuse to write over an earlier result of the same command that was made with other settings.

    A file or folder that is named in another way is the same one.

    Args:
        folder: Output folder.
        before: Provenance of what it holds, as `earlier_result` gives it; None: nothing.
        settings: Resolved settings of the command.
        free: Settings that may differ: they do not change the result.

    Raises:
        ConfigError: A setting differs; the message names all that do.

    Example:
        >>> refuse_other_settings(Path("out"), None, EvaluateSettings(...))  # doctest: +SKIP
    """
    if before is None:
        return
    old, now = before.get("settings"), to_plain(settings)
    if not isinstance(old, dict):
        old = {}
    elif old:  # of an older version, which knows fewer settings: these had their defaults
        fields = dataclasses.fields(settings)
        old = to_plain({f.name: f.default for f in fields if f.default is not dataclasses.MISSING}) | old
    different = [
        key
        for key in sorted(set(old) | set(now))
        if key not in free
        and old.get(key) != now.get(key)
        and not _one_place(old.get(key), getattr(settings, key, None))
    ]
    if different:
        what = f"settings differ: {', '.join(different)}"
        raise ConfigError(f"{folder}: holds other results ({what}); choose another folder, or remove this one")


def _one_place(old: Any, now: Any) -> bool:
    """Whether two settings name one file or folder, or one list of them, in two ways."""
    if isinstance(now, tuple) and isinstance(old, list) and len(now) == len(old):
        return all(_one_place(before, after) for before, after in zip(old, now, strict=True))
    return isinstance(now, Path) and isinstance(old, str) and Path(old).resolve() == now.resolve()
