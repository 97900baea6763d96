"""The key: written for its owner only, read back whole, refused when damaged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from recontrast.errors import FormatError, LayoutError
from recontrast.readers.folder import hash_of, new_token, read_plan


def test_plan_comes_back_and_only_the_owner_may_read(make_study: Any) -> None:
    made = make_study()
    plan = read_plan(made.folder)
    assert set(plan.items) == {"A", "B", "C"}
    assert len(plan.items["A"]) == 10
    assert plan.tokens[hash_of(made.secret("B"))] == "B"
    for path in (made.folder / "plan.json", made.folder / "links.tsv"):
        assert path.stat().st_mode & 0o077 == 0
    assert made.secret("A") not in (made.folder / "plan.json").read_text()


def test_names_tell_nothing(make_study: Any) -> None:
    made = make_study()
    ids = [item.id for items in read_plan(made.folder).items.values() for item in items]
    assert len(set(ids)) == len(ids)
    assert {len(i) for i in ids} == {24}
    names = [path.name for path in (made.folder / "images").iterdir()]
    assert len(names) == 10
    assert all(set(name.removesuffix(".raw")) <= set("0123456789abcdef") for name in names)
    assert {path.stat().st_mtime for path in (made.folder / "images").iterdir()} == {0.0}
    assert len(new_token()) == 40


def test_no_study_and_a_damaged_key_are_said(tmp_path: Path, make_study: Any) -> None:
    with pytest.raises(LayoutError, match="is no study"):
        read_plan(tmp_path)
    made = make_study()
    text = (made.folder / "plan.json").read_text()
    (made.folder / "plan.json").write_text(text[: len(text) // 2])
    with pytest.raises(FormatError, match="is damaged"):
        read_plan(made.folder)
