from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from recontrast.errors import LayoutError
from recontrast.reporting.evidence import find_evidence


def test_every_kind_of_folder_is_found_at_any_depth(example: Any) -> None:
    evidence = find_evidence(example.root)
    assert [e.folder for e in evidence.evaluations] == [example.evaluation]
    assert [r.folder for r in evidence.runs] == [example.run]
    assert [p.folder for p in evidence.prepared] == [example.prepared]
    assert [t.folder for t in evidence.translations] == [example.synthetic]
    assert [c.folder for c in evidence.cohorts] == [example.cohort]
    assert list(evidence.provenance) == [example.evaluation, example.prepared, example.run, example.synthetic]
    assert evidence.problems == {}


def test_subject_labels_stay_text(example: Any) -> None:
    assert list(find_evidence(example.root).prepared[0].splits["subject"]) == ["01", "02", "03", "04", "05"]


def test_the_folder_itself_may_be_the_evidence(example: Any) -> None:
    evidence = find_evidence(example.evaluation)
    assert evidence.name_of(evidence.evaluations[0].folder) == "this folder"
    assert find_evidence(example.run / "translator").runs[0].translator["target"] == "T2w"


def test_a_run_without_a_log_still_shows_its_translator(example: Any) -> None:
    (example.run / "log.jsonl").unlink()
    runs = find_evidence(example.root).runs
    assert [run.folder for run in runs] == [example.run]
    assert runs[0].translator["preset"] == "osman2022"


def test_damaged_files_are_named_and_the_rest_is_read(example: Any) -> None:
    (example.evaluation / "evaluation.json").write_text("{", encoding="utf-8")
    (example.evaluation / "statistics.tsv").write_text("estimator\tregion\nsynthetic\tbrain\n", encoding="utf-8")
    (example.prepared / "quality.tsv").write_bytes(b"\xff\xfe\x00")
    log = (example.run / "log.jsonl").read_text(encoding="utf-8").splitlines()
    (example.run / "log.jsonl").write_text("\n".join([log[0], "{oops", *log[1:]]), encoding="utf-8")
    evidence = find_evidence(example.root)
    assert set(evidence.problems) == {
        "evaluation/evaluation.json", "evaluation/statistics.tsv", "prepared/quality.tsv", "run/log.jsonl"
    }  # fmt: skip
    assert "line 2" in evidence.problems["run/log.jsonl"]
    assert "has no column" in evidence.problems["evaluation/statistics.tsv"]
    assert len(evidence.evaluations[0].scores) > 0


def test_half_a_last_line_of_a_log_is_what_a_killed_run_leaves(example: Any) -> None:
    path = example.run / "log.jsonl"
    path.write_text(path.read_text(encoding="utf-8")[:-9], encoding="utf-8")
    run = find_evidence(example.root).runs[0]
    assert run.torn
    assert run.events[-1]["event"] == "validation"


def test_partial_files_and_hidden_folders_are_not_evidence(tmp_path: Path) -> None:
    (tmp_path / ".parts").mkdir()
    (tmp_path / ".parts" / "evaluation.json").write_text("{}", encoding="utf-8")
    (tmp_path / ".partial-1-evaluation.json").write_text("{", encoding="utf-8")
    assert find_evidence(tmp_path).evaluations == []


def test_an_absent_folder_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(LayoutError, match="no such folder"):
        find_evidence(tmp_path / "nowhere")
