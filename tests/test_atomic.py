"""A killed or failed write leaves the old file or the new one."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest

from recontrast.atomic import (
    PARTIAL,
    atomic_file,
    leftovers_of,
    make_folder,
    remove_partial_files,
    write_json,
    write_text,
)
from recontrast.errors import OutputError

as_root = pytest.mark.skipif(os.geteuid() == 0, reason="permissions do not bind the superuser")


def test_new_content_replaces_old(tmp_path):
    write_text(tmp_path / "a.txt", "old")
    write_text(tmp_path / "a.txt", "new")
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "new"


def test_names_that_are_not_utf8_are_written_and_json_reads_back_the_same(tmp_path):
    name = os.fsdecode(b"scan\xe9.dcm")  # a name of Latin-1, as file systems keep it
    write_text(tmp_path / "a.txt", f"{name} é\n")
    assert (tmp_path / "a.txt").read_text(encoding="utf-8") == "scan\\udce9.dcm é\n"
    content = {name: [f"\\{name}", "é"]}
    write_json(tmp_path / "a.json", content)
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == content


def test_a_failure_in_the_middle_keeps_the_old_file(tmp_path):
    write_text(tmp_path / "a.txt", "old")
    with pytest.raises(TypeError), atomic_file(tmp_path / "a.txt") as partial:
        partial.write_text("half") + "not a number"
    assert (tmp_path / "a.txt").read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    ("code", "words"),
    [(errno.ENOSPC, "disk is full"), (errno.EROFS, "read-only"), (errno.EDQUOT, "quota"), (errno.EFBIG, "too large")],
)
def test_errors_of_the_disk_become_one_line(tmp_path, code, words):
    with pytest.raises(OutputError, match=words) as caught, atomic_file(tmp_path / "a.nii.gz"):
        raise OSError(code, os.strerror(code))
    assert str(tmp_path / "a.nii.gz") in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_temporary_name_keeps_the_suffixes(tmp_path):
    with atomic_file(tmp_path / "a.nii.gz") as partial:
        assert partial.name.startswith(PARTIAL)
        assert partial.name.endswith(".nii.gz")
        partial.write_bytes(b"x")


def test_leftovers_of_killed_runs_are_removed(tmp_path):
    (tmp_path / "sub-01").mkdir()
    (tmp_path / "sub-01" / f"{PARTIAL}1-a.nii").write_bytes(b"half")
    (tmp_path / "sub-01" / "a.nii").write_bytes(b"whole")
    assert remove_partial_files(tmp_path) == 1
    assert [p.name for p in (tmp_path / "sub-01").iterdir()] == ["a.nii"]


def test_leftovers_of_one_file_are_told_from_those_of_names_that_end_alike(tmp_path):
    with atomic_file(tmp_path / "a.nii") as own, atomic_file(tmp_path / "17.0a-a.nii") as other:
        for partial in (own, other):
            partial.write_bytes(b"half")
        assert leftovers_of(tmp_path / "a.nii") == [own]


def test_a_file_in_the_way_of_a_folder(tmp_path):
    (tmp_path / "out").write_text("")
    with pytest.raises(OutputError, match="a file"):
        make_folder(tmp_path / "out")
    with pytest.raises(OutputError, match="out"):
        make_folder(tmp_path / "out" / "below")


@as_root
def test_a_read_only_folder(tmp_path):
    (tmp_path / "out").mkdir(mode=0o500)
    with pytest.raises(OutputError, match="no permission"):
        make_folder(tmp_path / "out")


def test_json_refuses_what_is_not_finite(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a.json", {"x": float("nan")})
    assert not (tmp_path / "a.json").exists()


def test_folder_is_made_with_its_parents(tmp_path):
    assert make_folder(tmp_path / "a" / "b") == Path(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()
