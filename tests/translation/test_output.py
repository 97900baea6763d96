from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from recontrast.atomic import atomic_file
from recontrast.errors import ConfigError, FormatError, OutputError
from recontrast.io.bids import Case, write_description, write_sidecar
from recontrast.io.tables import read_table, write_table
from recontrast.translation.cases import TranslationCase
from recontrast.translation.output import (
    COLUMNS,
    CaseReport,
    check_leftovers,
    check_place,
    finished,
    forget,
    open_folder,
    read_cases,
    relative,
    set_aside,
    stored_type,
    take_back,
    write_cases,
    write_record,
)
from recontrast.translation.settings import TranslateSettings


def test_synthetic_images_do_not_go_among_acquired_ones(data_set: Path, tmp_path: Path) -> None:
    check_place(data_set, tmp_path / "out", "T2w")
    check_place(data_set, data_set / "derivatives" / "recontrast", "T2w")
    source = data_set / "sub-01" / "anat" / "sub-01_T1w.nii.gz"
    check_place(source, tmp_path / "x_synthetic.nii.gz", "T2w")
    for place in (data_set, data_set / "sub-01", data_set / "synthetic", data_set / "sourcedata" / "x"):
        with pytest.raises(ConfigError, match=r"must not be mixed.*derivatives.recontrast"):
            check_place(data_set, place, "T2w")
    beside = source.with_name("sub-01_desc-synthetic_T2w.nii.gz")
    for place in (source.parent, beside):
        with pytest.raises(ConfigError, match="must not be mixed"):
            check_place(source, place, "T2w")


def test_the_input_folder_is_not_the_output_folder_even_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "scans").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "scans")
    for place in (
        tmp_path / "scans",
        tmp_path / "link",
        tmp_path / "link" / "below",
        tmp_path / "scans" / ".." / "scans",
    ):
        with pytest.raises(ConfigError, match="must not be mixed"):
            check_place(tmp_path / "scans", place, "T2w")


def test_a_file_name_must_say_synthetic_and_a_folder_needs_a_folder(tmp_path: Path) -> None:
    source = tmp_path / "sub-01_T1w.nii.gz"
    source.write_bytes(b"")
    with pytest.raises(ConfigError, match=r"for example .*sub-01_desc-synthetic_T2w.nii.gz"):
        check_place(source, tmp_path / "T2w.nii.gz", "T2w")
    with pytest.raises(ConfigError, match="name a folder"):
        check_place(tmp_path, tmp_path.parent / "synthetic.nii.gz", "T2w")
    acquired = tmp_path / "my_synthetic_scan.nii.gz"
    acquired.write_bytes(b"")
    with pytest.raises(ConfigError, match="was not made by `recontrast translate`"):
        check_place(source, acquired, "T2w")
    write_sidecar(acquired, {"Synthetic": True})
    check_place(source, acquired, "T2w")


def test_a_folder_is_taken_over_only_with_the_same_settings(tmp_path: Path) -> None:
    out = tmp_path / "out"
    open_folder(out, {"dtype": "float32"})
    content = {"stage": "translate", "deciding": {"dtype": "float32"}, "inputs": {"a": "1"}}
    (out / "provenance.json").write_text(json.dumps(content))
    open_folder(out, {"dtype": "float32"})
    with pytest.raises(ConfigError, match="dtype was 'float32', is now 'source'"):
        open_folder(out, {"dtype": "source"})
    with pytest.raises(ConfigError, match="window was left out, is now 64"):
        open_folder(out, {"dtype": "float32", "window": 64})
    (out / "provenance.json").write_text(json.dumps({**content, "deciding": {"dtype": "float32", "window": 64}}))
    with pytest.raises(ConfigError, match="window was 64, is now left out"):
        open_folder(out, {"dtype": "float32"})
    (out / "provenance.json").write_text('{"stage": "prepare"}')
    with pytest.raises(ConfigError, match="was not made by"):
        open_folder(out, {"dtype": "float32"})


def test_hashes_of_other_runs_are_kept(tmp_path: Path) -> None:
    settings = TranslateSettings(run=tmp_path, input=tmp_path, out=tmp_path)
    for hashes in ([], [{"a": "1", "b": "1"}], [{"b": "2"}, {"c": "3"}]):
        write_record(tmp_path, settings, {"deciding": {}}, hashes)
    assert json.loads((tmp_path / "provenance.json").read_text())["inputs"] == {"a": "1", "b": "2", "c": "3"}


def test_foreign_folders_and_files_are_left_alone(tmp_path: Path) -> None:
    write_description(tmp_path / "raw", "scans", version="0")
    with pytest.raises(ConfigError, match="holds other files"):
        open_folder(tmp_path / "raw", {})
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        open_folder(tmp_path / "file", {})
    with pytest.raises(OutputError):
        open_folder(tmp_path / "file" / "below", {})


def test_finished_means_same_facts_and_both_files(tmp_path: Path) -> None:
    image = tmp_path / "a_desc-synthetic_T2w.nii.gz"
    facts = {"Sources": ["a"], "SourcesSHA256": ["1"]}
    assert finished(image, facts) is None
    image.write_bytes(b"")
    assert finished(image, facts) is None
    write_sidecar(image, {**facts, "Engine": "torch"})
    assert finished(image, facts) == {**facts, "Engine": "torch"}
    assert finished(image, {**facts, "SourcesSHA256": ["2"]}) is None
    (tmp_path / "a_desc-synthetic_T2w.json").write_text("{")
    assert finished(image, facts) is None


def test_forget_removes_image_sidecar_and_what_a_kill_left(tmp_path: Path) -> None:
    image = tmp_path / "a_T2w.nii.gz"
    half = ".partial-17.0123abcd"
    for name in ("a_T2w.nii.gz", "a_T2w.json", f"{half}-a_T2w.nii.gz", "b_T2w.nii.gz", f"{half}-b_T2w.nii.gz"):
        (tmp_path / name).write_text("")
    forget(image)
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{half}-b_T2w.nii.gz", "b_T2w.nii.gz"]


def test_forget_leaves_what_another_worker_writes_for_a_name_that_ends_alike(tmp_path: Path) -> None:
    with atomic_file(tmp_path / "anna-t1_desc-synthetic_T2w.nii.gz") as partial:
        partial.write_text("being written")
        forget(tmp_path / "t1_desc-synthetic_T2w.nii.gz")
        assert partial.exists()


def test_forget_removes_the_maps_of_an_image(tmp_path: Path) -> None:
    image = tmp_path / "a_desc-synthetic_T2w.nii.gz"
    for name in (image.name, "a_desc-synthetic_T2w_uncertainty.nii.gz", "a_desc-rarity_T2w.nii.gz", "a_T2w.nii.gz"):
        (tmp_path / name).write_text("")
        (tmp_path / name.replace(".nii.gz", ".json")).write_text("")
    forget(image)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a_T2w.json", "a_T2w.nii.gz"]


def test_a_result_is_set_aside_as_a_whole_and_taken_back(tmp_path: Path) -> None:
    name = Path("sub-01/anat/sub-01_desc-synthetic_T2w.nii.gz")
    anat = tmp_path / name.parent
    anat.mkdir(parents=True)
    stem = "sub-01_desc-synthetic_T2w"
    names = [f"{stem}.nii.gz", f"{stem}.json", f"{stem}_uncertainty.nii.gz", "sub-01_desc-rarity_T2w.json"]
    for one in [*names, "sub-01_T1w.nii.gz"]:
        (anat / one).write_text("before")
    assert set_aside(tmp_path, name)
    assert [path.name for path in anat.iterdir()] == ["sub-01_T1w.nii.gz"]
    assert set_aside(tmp_path, name)  # again, with nothing in its place
    take_back(tmp_path, name)
    assert sorted(path.name for path in anat.iterdir()) == sorted([*names, "sub-01_T1w.nii.gz"])
    assert not [path for path in (tmp_path / ".kept").rglob("*") if path.is_file()]
    set_aside(tmp_path, name)
    (tmp_path / name).write_text("made meanwhile")
    take_back(tmp_path, name)
    assert (tmp_path / name).read_text() == "made meanwhile"
    assert not set_aside(tmp_path, Path("sub-02.nii.gz"))


def test_paths_are_seen_from_the_output(tmp_path: Path) -> None:
    assert relative(tmp_path / "in" / "a.nii", tmp_path / "out") == "../in/a.nii"


def test_the_table_lists_every_case_and_keeps_earlier_ones(tmp_path: Path) -> None:
    cases = [
        TranslationCase(key="sub-02", case=Case("02"), output=Path("o2"), sources={"T1w": tmp_path / "i2"}),
        TranslationCase(key="sub-03", case=Case("03"), output=Path("o3"), problem="has no T1w"),
        TranslationCase(key="notes", output=Path("o4"), problem="is PDw", skipped=True),
    ]
    earlier = pd.DataFrame(
        [["sub-01", "01", None, "ok", None, "o1", "i1", "torch", "fp32", "h"]], columns=list(COLUMNS)
    )
    reports = {"sub-02": CaseReport({"i2": "1"}, "torch", "bf16", kept=False)}
    write_table(tmp_path / "cases.tsv", earlier)
    write_cases(tmp_path, cases, reports, {"sub-03": "has no T1w"}, "h")
    table = read_table(tmp_path / "cases.tsv", text_columns=COLUMNS).set_index("case")
    assert list(table.index) == ["notes", "sub-01", "sub-02", "sub-03"]
    assert list(table["status"]) == ["skipped", "ok", "ok", "failed"]
    assert table.loc["sub-02", "subject"] == "02"
    assert table.loc["sub-03", "message"] == "has no T1w"
    check_leftovers(tmp_path, read_cases(tmp_path), cases, "h")
    with pytest.raises(ConfigError, match=r"1 images of another translator .*sub-01"):
        check_leftovers(tmp_path, read_cases(tmp_path), cases, "other")


def test_a_foreign_table_is_not_overwritten(tmp_path: Path) -> None:
    check_leftovers(tmp_path, read_cases(tmp_path), [], "h")
    write_table(tmp_path / "cases.tsv", pd.DataFrame({"patient": ["x"]}))
    with pytest.raises(FormatError, match="not the table"):
        check_leftovers(tmp_path, read_cases(tmp_path), [], "h")


@pytest.mark.parametrize(
    ("source", "made"),
    [("u1", "u2"), ("i1", "i2"), (">i2", "=i2"), ("u8", "u4"), (">f4", "=f4"), ("f8", "f8"), ("g", "f8")],
)
def test_types_with_too_few_or_too_many_bits_are_replaced(source: str, made: str) -> None:
    assert stored_type(np.dtype(source)) == np.dtype(made)
