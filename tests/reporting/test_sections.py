from __future__ import annotations

import json
from typing import Any

import pytest

from recontrast.config import to_plain
from recontrast.evaluation.protocols import PROTOCOLS
from recontrast.io.tables import read_table, write_table
from recontrast.reporting.evidence import Evidence, find_evidence
from recontrast.reporting.page import Picture, Text
from recontrast.reporting.sections import Choice, Failures, learning_section, montage_section, score_section


def pictures_of(evidence: Evidence, choice: Choice | None = None) -> list[Picture]:
    section = montage_section(evidence, choice or Choice(), Failures())
    return [block for block in section.blocks if isinstance(block, Picture)]


@pytest.mark.slow
def test_cases_come_worst_first(example: Any) -> None:
    titles = [picture.title for picture in pictures_of(find_evidence(example.root))]
    assert [title.split(":")[0] for title in titles] == ["sub-02", "sub-01", "sub-03"]
    assert "worst of 3, 20.90 dB PSNR in the brain" in titles[0]
    assert "median" in titles[1]
    assert "best of 3" in titles[2]


@pytest.mark.slow
def test_few_montages_keep_the_worst(example: Any) -> None:
    evidence = find_evidence(example.root)
    titles = [picture.title for picture in pictures_of(evidence, Choice(cases=1))]
    assert [title.split(":")[0] for title in titles] == ["sub-02"]
    section = montage_section(evidence, Choice(cases=1), Failures())
    assert "1 of 3 scored cases shown" in section.blocks[0].text  # type: ignore[union-attr]


@pytest.mark.slow
def test_the_caption_tells_what_a_radiologist_asks(example: Any) -> None:
    first, second = pictures_of(find_evidence(example.root), Choice(cases=2))
    for words in (
        "share one window", "taken from the reference", "Radiological convention", "left (L) is on the right",
        "Voxels 1 × 1.5 × 3 mm", "tilted by 11°", "red where the synthetic image is too bright",
        "Slices through the largest",
    ):  # fmt: skip
        assert words in first.caption
    assert "Radiological convention" not in second.caption
    assert "in all cases" in first.caption
    neurological = pictures_of(find_evidence(example.root), Choice(cases=1, convention="neurological"))[0]
    assert "Neurological convention" in neurological.caption


@pytest.mark.slow
def test_a_case_that_cannot_be_drawn_is_named_and_the_others_are_shown(example: Any) -> None:
    next((example.synthetic / "sub-02").rglob("*.nii.gz")).unlink()
    failures = Failures()
    section = montage_section(find_evidence(example.root), Choice(), failures)
    assert len([block for block in section.blocks if isinstance(block, Picture)]) == 2
    assert list(failures.reasons) == ["evaluation/: sub-02"]
    warnings = [block.text for block in section.blocks if isinstance(block, Text) and block.kind == "warning"]
    assert warnings[0].startswith("sub-02 cannot be shown: the synthetic image is not at")


@pytest.mark.parametrize("section", ["montage", "scores", "learning"])
def test_absent_evidence_is_printed_as_absent(tmp_path: Any, section: str) -> None:
    evidence = find_evidence(tmp_path)
    made = {
        "montage": lambda: montage_section(evidence, Choice(), Failures()),
        "scores": lambda: score_section(evidence, Choice()),
        "learning": lambda: learning_section(evidence),
    }[section]()
    (block,) = made.blocks
    assert isinstance(block, Text)
    assert block.kind == "absent"
    assert "was found in this folder: run `recontrast" in block.text


@pytest.mark.slow
def test_learning_is_read_in_words_with_its_rule(example: Any) -> None:
    blocks = learning_section(find_evidence(example.root)).blocks
    words = [block.text for block in blocks if isinstance(block, Text)]
    assert any(text.startswith(("Flat", "Still improving", "Over-fitting", "Got worse")) for text in words)
    assert "Rule:" in blocks[-1].blocks[0].text  # type: ignore[union-attr]
    (picture,) = [block for block in blocks if isinstance(block, Picture)]
    assert "step 50, whose weights were kept" in picture.caption
    assert "2 validation subjects" in picture.caption


@pytest.mark.slow
def test_a_killed_run_is_said_to_be_one(example: Any) -> None:
    path = example.run / "log.jsonl"
    path.write_text(path.read_text(encoding="utf-8")[:-9], encoding="utf-8")
    blocks = learning_section(find_evidence(example.root)).blocks
    assert any(isinstance(b, Text) and "cut off" in b.text for b in blocks)
    assert any(isinstance(b, Picture) and "has no end" in b.caption for b in blocks)


def scored_by(example: Any, protocol: str) -> Evidence:
    """The example as if it had been scored by another protocol (its numbers stay)."""
    path = example.evaluation / "evaluation.json"
    facts = json.loads(path.read_text(encoding="utf-8"))
    facts["protocol"] = to_plain(PROTOCOLS.get(protocol))
    path.write_text(json.dumps(facts), encoding="utf-8")
    for name in ("scores.tsv", "statistics.tsv"):
        table = read_table(example.evaluation / name, text_columns=("subject", "case", "control"))
        write_table(example.evaluation / name, table.assign(protocol=protocol))
    return find_evidence(example.root)


def test_a_metric_with_an_option_that_its_map_has_not_is_drawn(example: Any) -> None:
    failures = Failures()
    section = montage_section(scored_by(example, "brasyn"), Choice(cases=1), failures)
    assert failures.reasons == {}
    assert any(isinstance(block, Picture) for block in section.blocks)
