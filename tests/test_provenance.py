"""Provenance names settings, versions, hashes and the command."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from recontrast.errors import ConfigError, FormatError
from recontrast.provenance import earlier_result, refuse_other_settings, sha256_of, version, write_provenance


@dataclass(frozen=True)
class Settings:
    out: Path
    seed: int = 3
    scans: Path | None = None
    masks: tuple[Path, ...] = ()


def test_provenance_holds_what_is_needed_to_make_it_again(tmp_path: Path) -> None:
    scan = tmp_path / "scan.nii"
    scan.write_bytes(b"voxels")
    write_provenance(tmp_path, "prepare", Settings(out=tmp_path), inputs=[scan], extra={"translator": "abc"})
    content = json.loads((tmp_path / "provenance.json").read_text())
    assert content["stage"] == "prepare"
    assert content["settings"] == {"out": str(tmp_path), "seed": 3, "masks": []}
    assert content["inputs"] == {str(scan): hashlib.sha256(b"voxels").hexdigest()}
    assert content["translator"] == "abc"
    assert content["versions"]["recontrast"]
    assert content["command"]


def test_source_that_is_not_installed_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    assert version() == importlib.metadata.version("recontrast")

    def absent(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr("importlib.metadata.version", absent)
    assert version() == "unknown (not installed)"


def test_hash_is_of_the_bytes(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"")
    assert sha256_of(tmp_path / "a") == hashlib.sha256(b"").hexdigest()


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(FormatError, match=r"a\.nii: no such file"):
        sha256_of(tmp_path / "a.nii")
    (tmp_path / "b.nii").symlink_to(tmp_path / "absent")
    with pytest.raises(FormatError, match="datalad get"):
        sha256_of(tmp_path / "b.nii")
    with pytest.raises(FormatError, match="cannot be read"):
        sha256_of(tmp_path)


def test_an_output_folder_belongs_to_one_command(tmp_path: Path) -> None:
    assert earlier_result(tmp_path / "absent", "compare", alone=True) is None
    (tmp_path / ".hidden").write_text("")
    assert earlier_result(tmp_path, "compare", alone=True) is None
    (tmp_path / "notes.txt").write_text("mine")
    assert earlier_result(tmp_path, "compare") is None
    with pytest.raises(ConfigError, match="holds files that `recontrast compare` did not make"):
        earlier_result(tmp_path, "compare", alone=True)
    write_provenance(tmp_path, "evaluate", Settings(out=tmp_path))
    assert earlier_result(tmp_path, "evaluate", alone=True)["settings"]["seed"] == 3
    with pytest.raises(ConfigError, match="made by `recontrast evaluate`"):
        earlier_result(tmp_path, "compare")
    for content in ("{", "[]", "{}"):
        (tmp_path / "provenance.json").write_text(content)
        with pytest.raises(ConfigError, match="cannot be read"):
            earlier_result(tmp_path, "evaluate")


def test_an_output_folder_holds_the_result_of_one_set_of_settings(tmp_path: Path) -> None:
    refuse_other_settings(tmp_path, earlier_result(tmp_path, "evaluate"), Settings(out=tmp_path))
    write_provenance(tmp_path, "evaluate", Settings(out=tmp_path))
    before = earlier_result(tmp_path, "evaluate")
    refuse_other_settings(tmp_path, before, Settings(out=tmp_path / "moved"))
    with pytest.raises(ConfigError, match=r"holds other results \(settings differ: seed\); choose another folder"):
        refuse_other_settings(tmp_path, before, Settings(out=tmp_path, seed=4))
    refuse_other_settings(tmp_path, before, Settings(out=tmp_path, seed=4), ("out", "seed"))
    older = {"settings": {"out": str(tmp_path)}}  # of a version that did not know the seed: it was at its default
    refuse_other_settings(tmp_path, older, Settings(out=tmp_path))
    with pytest.raises(ConfigError, match="settings differ: seed"):
        refuse_other_settings(tmp_path, older, Settings(out=tmp_path, seed=4))
    with pytest.raises(ConfigError, match="settings differ: masks, seed"):
        refuse_other_settings(tmp_path, {"settings": None}, Settings(out=tmp_path))


def test_a_place_may_be_named_in_two_ways(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_provenance(
        tmp_path, "evaluate", Settings(out=tmp_path, scans=tmp_path / "scans", masks=(tmp_path / "a", tmp_path / "b"))
    )
    before = earlier_result(tmp_path, "evaluate")
    monkeypatch.chdir(tmp_path)
    same = (Path("scans"), (tmp_path / "x" / ".." / "a", Path("b")))
    refuse_other_settings(tmp_path, before, Settings(out=tmp_path, scans=same[0], masks=same[1]))
    for scans, masks in ((Path("other"), same[1]), (None, same[1]), (same[0], same[1][:1]), (same[0], same[1][::-1])):
        with pytest.raises(ConfigError, match=r"settings differ: (scans|masks)\)"):
            refuse_other_settings(tmp_path, before, Settings(out=tmp_path, scans=scans, masks=masks))
