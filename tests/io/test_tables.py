"""Tables there and back."""

from __future__ import annotations

import os

import pandas as pd
import pytest

from recontrast.errors import FormatError
from recontrast.io.tables import read_table, require_columns, write_table


def test_labels_keep_their_zeros_and_absence_is_absent(tmp_path):
    table = pd.DataFrame({"subject": ["01", "02"], "value": [0.1 + 0.2, None], "note": [None, "NA"]})
    write_table(tmp_path / "a.tsv", table)
    assert (tmp_path / "a.tsv").read_text() == "subject\tvalue\tnote\n01\t0.3\tn/a\n02\tn/a\tNA\n"
    back = read_table(tmp_path / "a.tsv", text_columns=("subject", "note"))
    assert back["subject"].tolist() == ["01", "02"]
    assert back["value"].isna().tolist() == [False, True]
    assert back["note"].tolist()[1] == "NA"


def test_names_that_are_not_utf8_are_written_and_text_columns_read_back_the_same(tmp_path):
    name = os.fsdecode(b"scan\xe9\xff.dcm")  # a name of Latin-1, as file systems keep it
    table = pd.DataFrame({"case": [name, "é \\u"], "note": [None, name], "other": ["x", name]})
    write_table(tmp_path / "a.tsv", table)
    assert "scan\\udce9\\udcff.dcm" in (tmp_path / "a.tsv").read_text(encoding="utf-8")
    back = read_table(tmp_path / "a.tsv", text_columns=("case", "note", "absent"))
    assert back["case"].tolist() == [name, "é \\u"]
    assert back["note"].tolist()[1] == name
    assert back["note"].isna().tolist() == [True, False]


def test_absent_or_empty_tables(tmp_path):
    with pytest.raises(FormatError, match="no such table"):
        read_table(tmp_path / "none.tsv")
    (tmp_path / "empty.tsv").write_text("")
    with pytest.raises(FormatError, match=r"empty\.tsv"):
        read_table(tmp_path / "empty.tsv")
    (tmp_path / "bytes.tsv").write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(FormatError, match=r"bytes\.tsv"):
        read_table(tmp_path / "bytes.tsv")


def test_a_missing_column_is_named(tmp_path):
    with pytest.raises(FormatError, match="no column split; it has subject"):
        require_columns(tmp_path / "a.tsv", pd.DataFrame({"subject": []}), ("subject", "split"))
