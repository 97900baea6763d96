from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path

import pydicom
import pytest

from recontrast.errors import ConfigError, LayoutError
from recontrast.importing.subjects import Scrubber, label_sessions, label_subjects, patient_of, require_apart
from recontrast.io.bids import Case
from recontrast.io.dicom.find import find_series


def test_pseudonyms_are_stable_with_a_key_and_tell_nothing(tmp_path: Path) -> None:
    key = tmp_path / "cohort.key"
    first = label_subjects(["PAT-77", "PAT-78"], None, key)
    assert label_subjects(["PAT-78"], None, key) == {"PAT-78": first["PAT-78"]}
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert len(set(first.values())) == 2
    other = label_subjects(["PAT-77"], None, tmp_path / "other.key")
    assert other["PAT-77"] != first["PAT-77"]


def test_a_table_gives_the_labels(tmp_path: Path) -> None:
    table = tmp_path / "who.tsv"
    table.write_text("patient_id\tsubject\n007\tsub-A1\n008\tA2\n")
    assert label_subjects(["007", "008"], table, tmp_path / "key") == {"007": "A1", "008": "A2"}
    assert not (tmp_path / "key").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [("007\tA1\n", "lacks 1 of 2 patients, for example '008'"), ("007\tA-1\n008\tA2\n", "'A-1' is no subject label"),
     ("007\tA1\n008\tA1\n", "gives two patients the label sub-A1")],
)  # fmt: skip
def test_tables_that_do_not_fit_are_refused(content: str, message: str, tmp_path: Path) -> None:
    table = tmp_path / "who.tsv"
    table.write_text(f"patient_id\tsubject\n{content}")
    with pytest.raises(ConfigError, match=message):
        label_subjects(["007", "008"], table, tmp_path / "key")


def test_a_short_key_is_refused(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("abc")
    with pytest.raises(ConfigError, match="holds 3 bytes"):
        label_subjects(["007"], None, tmp_path / "key")


def test_sessions_follow_dates(make_series: Callable[..., Path]) -> None:
    make_series(StudyInstanceUID="1.9", SeriesInstanceUID="1.9.1", StudyDate="20210101", prefix="late")
    folder = make_series(StudyInstanceUID="1.8", SeriesInstanceUID="1.8.1", StudyDate="20200101", prefix="soon")
    series = find_series(folder).series
    labels = {patient_of(one): "A" for one in series}
    (who,) = labels
    assert label_sessions(series, labels, always=False) == {(who, "1.8"): Case("A", "1"), (who, "1.9"): Case("A", "2")}
    assert label_sessions(series[:1], labels, always=False) == {(who, "1.8"): Case("A", None)}
    assert label_sessions(series[:1], labels, always=True) == {(who, "1.8"): Case("A", "1")}


def test_patients_side_by_side_are_refused(make_series: Callable[..., Path], tmp_path: Path) -> None:
    one = make_series(tmp_path / "x" / "one")
    make_series(tmp_path / "x" / "two", SeriesInstanceUID="1.2.3.5", StudyInstanceUID="1.3", PatientID="PAT-78")
    require_apart(find_series(tmp_path / "x"))
    make_series(one, SeriesInstanceUID="1.2.3.6", StudyInstanceUID="1.4", PatientID="PAT-79", count=2, prefix="b")
    with pytest.raises(LayoutError, match=r"one: holds images of 2 patients side by side \(2 and 5\)") as caught:
        require_apart(find_series(tmp_path / "x"))
    assert "PAT" not in str(caught.value)


def test_one_study_of_two_patients_is_refused(make_series: Callable[..., Path], tmp_path: Path) -> None:
    make_series(tmp_path / "x" / "one")
    make_series(tmp_path / "x" / "two", SeriesInstanceUID="1.2.3.5", PatientID="PAT-78")
    with pytest.raises(LayoutError, match="its series name 2 different patients"):
        require_apart(find_series(tmp_path / "x"))


def test_one_patient_id_of_several_persons_is_refused(make_series: Callable[..., Path], tmp_path: Path) -> None:
    """Birth dates tell them apart; absent ones tell nothing, and a date may be written in two ways."""
    root = tmp_path / "x"
    make_series(root / "one")
    with pydicom.config.disable_value_validation():
        for n, date in enumerate((None, "", "1970.01.01")):
            make_series(root / f"same{n}", SeriesInstanceUID=f"1.3.{n}.1", StudyInstanceUID=f"1.3.{n}",
                        PatientBirthDate=date)  # fmt: skip
    require_apart(find_series(root))
    make_series(root / "two", SeriesInstanceUID="1.4.1", StudyInstanceUID="1.4", PatientName="Doe^J",
                PatientBirthDate="19800202")  # fmt: skip
    with pytest.raises(LayoutError, match=r"one Patient ID has 2 birth dates.*--mixed-patients") as caught:
        require_apart(find_series(root))
    message = str(caught.value)
    assert message.startswith(f"{root / 'two'}: ")
    assert not [told for told in ("PAT", "Roe", "Doe", "1970", "1980") if told in message]


def test_identifiers_are_taken_out_of_texts() -> None:
    scrubber = Scrubber(["Roe^Jane", "PAT-77", "X"])
    assert scrubber.clean("T1 roe PAT-77 janet X") == "T1 XXX XXX janet X"
    assert Scrubber([]).clean("T1") == "T1"


def test_identifiers_are_taken_out_of_the_values_of_json_alone() -> None:
    content = {"Müller": {"paths": ["scans/Müller"], "test": True, "number": 77, "nothing": None}}
    cleaned = {"Müller": {"paths": ["scans/XXX"], "test": True, "number": 77, "nothing": None}}
    assert Scrubber(["Müller^True", "77", "null"]).clean_texts(content) == cleaned
