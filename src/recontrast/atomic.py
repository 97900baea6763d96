"""Write files so that a killed program leaves either the old file or the new one, never half of one."""

from __future__ import annotations

import ctypes
import errno
import json
import os
import re
import secrets
import shutil
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
    r"""Give a temporary path beside `path`; on success rename it to `path`, on failure remove it.

    The temporary name keeps the suffixes of `path`, so that writers that look at them do the same as for `path`.

    Raises:
        OutputError: The disk is full, the folder is not writable, and the like.

    Example:
        >>> with atomic_file(Path("scores.tsv")) as partial:  # doctest: +SKIP
        ...     partial.write_text("case\tvalue\n")
    """
    make_folder(path.parent)
    partial = _partial(path)
    try:
        yield partial
        with partial.open("rb") as written:
            os.fsync(written.fileno())
        partial.replace(path)
    except OSError as error:
        raise output_error(path, error) from error
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Give an empty temporary folder beside `path`; on success it takes the place of `path`, on failure it is removed.

    An older folder `path` is removed with all it holds. Where the system can exchange two names in one act (Linux), a
    killed program leaves the whole old folder or the whole new one; elsewhere there is a short moment with neither.

    Raises:
        OutputError: The disk is full, the parent is not writable, and the like.

    Example:
        >>> with atomic_folder(Path("translator")) as partial:  # doctest: +SKIP
        ...     (partial / "weights.safetensors").write_bytes(weights)
    """
    make_folder(path.parent)
    partial = _partial(path)
    try:
        partial.mkdir()
        yield partial
        for file in sorted(p for p in partial.rglob("*") if p.is_file()):
            with file.open("rb") as written:
                os.fsync(written.fileno())
        if not path.exists():
            partial.rename(path)
        elif not path.is_dir():
            raise OutputError(f"cannot write {path}: a file of that name exists; choose another folder")
        elif not _exchange(partial, path):
            aside = _partial(path)
            path.rename(aside)
            partial.rename(path)
            partial = aside
    except OSError as error:
        raise output_error(path, error) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _partial(path: Path) -> Path:
    """A name beside `path` that no other writer has, also none on another machine of a cluster."""
    return path.with_name(f"{PARTIAL}{os.getpid()}.{secrets.token_hex(4)}-{path.name}")


def _exchange(first: Path, second: Path) -> bool:
    """Exchange the names of two folders in one act; False where the system or the file system cannot."""
    renameat2 = getattr(ctypes.CDLL(None), "renameat2", None) if os.name == "posix" else None
    if renameat2 is None:
        return False
    here, exchange = -100, 2  # AT_FDCWD and RENAME_EXCHANGE of linux/fcntl.h, linux/fs.h
    return bool(renameat2(here, os.fsencode(first), here, os.fsencode(second), ctypes.c_uint(exchange)) == 0)


def write_text(path: Path, text: str) -> None:
    r"""Write a text file in UTF-8, atomically; what UTF-8 cannot hold (bytes of file names) is written as `\udce9`."""
    with atomic_file(path) as partial:
        partial.write_text(text, encoding="utf-8", errors="backslashreplace")


def write_json(path: Path, content: Any) -> None:
    """Write JSON with two spaces of indentation, atomically; values that are not finite are refused.

    File names that are not UTF-8 read back as they were: what `write_text` writes for them is how JSON writes it.
    """
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def leftovers_of(path: Path) -> list[Path]:
    """What killed writers of `path` left beside it; nothing that is written for a name that merely ends alike.

    Call it only when no other process writes `path`.

    Example:
        >>> leftovers_of(Path("no-such-folder/scores.tsv"))
        []
    """
    left_by_us = re.compile(rf"{re.escape(PARTIAL)}\d+\.[0-9a-f]+-{re.escape(path.name)}")
    return sorted(other for other in path.parent.glob(f"{PARTIAL}*") if left_by_us.fullmatch(other.name))


def remove_partial_files(folder: Path) -> int:
    """Remove what killed runs left in `folder` and below; return how many files and folders that were.

    Call it only when no other process writes there.
    """
    leftovers = sorted(folder.rglob(f"{PARTIAL}*"))
    for path in leftovers:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    return len(leftovers)
