"""What relaxometry leaves in its folders."""

from __future__ import annotations

from pathlib import Path

import pytest

from recontrast.errors import FormatError
from recontrast.io.bids import Case
from recontrast.io.tables import read_table
from recontrast.relaxometry.results import COLUMNS, forget, read_failed, write_cases


def test_an_image_goes_with_its_sidecar_and_nothing_else(tmp_path: Path) -> None:
    for name in ("a_T2map.nii.gz", "a_T2map.json", "a_T2starmap.nii.gz"):
        (tmp_path / name).write_text("")
    forget([tmp_path / "a_T2map.nii.gz", tmp_path / "nowhere" / "b_T2map.nii.gz"])
    assert [path.name for path in tmp_path.iterdir()] == ["a_T2starmap.nii.gz"]


def test_the_table_keeps_the_cases_of_earlier_runs(tmp_path: Path) -> None:
    write_cases(tmp_path, [Case("02"), Case("03", "1")], {"sub-02": "no order"})
    write_cases(tmp_path, [Case("01"), Case("03", "1")], {"sub-03_ses-1": "too dark"})
    table = read_table(tmp_path / "cases.tsv", text_columns=COLUMNS).set_index("case")
    assert table["status"].to_dict() == {"sub-01": "ok", "sub-02": "failed", "sub-03_ses-1": "failed"}
    assert table["subject"].tolist() == ["01", "02", "03"]
    assert read_failed(tmp_path) == {Case("02"): "no order", Case("03", "1"): "too dark"}


def test_a_table_of_something_else_is_neither_read_nor_overwritten(tmp_path: Path) -> None:
    (tmp_path / "cases.tsv").write_text("case\tstatus\nsub-01\tfailed\n")
    assert read_failed(tmp_path) == {}
    with pytest.raises(FormatError, match="has no column subject"):
        write_cases(tmp_path, [Case("01")], {})
