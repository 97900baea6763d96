"""Write files so that a killed program leaves either the old file or the new one, never half of one."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from recontrast.errors import OutputError

PARTIAL = ".partial-"
"""Prefix of files that are being written; no reader of ours looks at them."""

_MENDABLE = {
    errno.ENOSPC: "the disk is full: free some space and run the same command again; finished cases are kept",
    errno.EDQUOT: "the disk quota is used up: free some space and run the same command again",
    errno.EACCES: "no permission to write there: choose another output folder or change its permissions",
    errno.EPERM: "no permission to write there: choose another output folder or change its permissions",
    errno.EROFS: "the file system is read-only: choose another output folder",
    errno.ENOTDIR: "a file stands where a folder is needed: choose another output folder",
    errno.EISDIR: "a folder stands where a file is to be written: choose another name",
    errno.EFBIG: "the file is too large for this file system or limit: choose another output folder",
}


def output_error(path: Path, error: OSError) -> OutputError:
    """Turn an operating-system error met while writing `path` into one line a user can act on."""
    advice = _MENDABLE.get(error.errno or 0, error.strerror or str(error))
    return OutputError(f"cannot write {path}: {advice}")


def make_folder(path: Path) -> Path:
    """Make a folder and its parents; return it.

    Raises:
        OutputError: The folder cannot be made, or is not writable.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise OutputError(f"cannot write {path}: a file of that name exists; choose another folder") from None
    except OSError as error:
        raise output_error(path, error) from error
    if not os.access(path, os.W_OK):
        raise OutputError(f"cannot write {path}: no permission to write there; choose another output folder")
    return path


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; on success rename it to `path`, on failure remove it.

    The temporary name keeps the suffixes of `path`, so that writers that look at them do the same as for `path`.

    Raises:
        OutputError: The disk is full, the folder is not writable, and the like.

    Example:
        >>> with atomic_file(Path("scores.tsv")) as partial:  # doctest: +SKIP
        ...     partial.write_text("case\\tvalue\\n")
    """
    make_folder(path.parent)
    partial = path.with_name(f"{PARTIAL}{os.getpid()}-{path.name}")
    try:
        yield partial
        with partial.open("rb") as written:
            os.fsync(written.fileno())
        partial.replace(path)
    except OSError as error:
        raise output_error(path, error) from error
    finally:
        partial.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file in UTF-8, atomically."""
    with atomic_file(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_json(path: Path, content: Any) -> None:
    """Write JSON with two spaces of indentation, atomically; values that are not finite are refused."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def remove_partial_files(folder: Path) -> int:
    """Remove what killed runs left in `folder` and below; return how many files that were.

    Call it only when no other process writes there.
    """
    leftovers = [path for path in folder.rglob(f"{PARTIAL}*") if path.is_file()]
    for path in leftovers:
        path.unlink(missing_ok=True)
    return len(leftovers)
