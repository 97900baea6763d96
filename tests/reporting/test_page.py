from __future__ import annotations

import pandas as pd

from recontrast.reporting.page import (
    Cell,
    Code,
    Facts,
    Fold,
    Heading,
    Headline,
    Picture,
    Section,
    Table,
    Text,
    Tile,
    frame_table,
    render,
)

EVIL = "<b>&\"'</b><script>alert(1)</script>"


def page(*blocks: object) -> str:
    headline = Headline(EVIL, EVIL, [("beats", EVIL)], [Tile(EVIL, EVIL, EVIL)], "not for diagnosis")
    return render(headline, [Section("s", EVIL, blocks)], "1.0")  # type: ignore[arg-type]


def test_everything_is_escaped_wherever_it_stands() -> None:
    blocks = [
        Text(EVIL), Text(f"run `{EVIL}` now"), Heading(EVIL), Facts([(EVIL, EVIL)]), Code(EVIL),
        Fold(EVIL, [Text(EVIL)]),
        Table(EVIL, [Cell(EVIL, [EVIL])], [[Cell(EVIL, [EVIL])]], note=EVIL), Picture("data:,x", EVIL, EVIL, EVIL),
    ]  # fmt: skip
    text = page(*blocks)
    assert "<script" not in text
    assert "<b>&" not in text
    assert text.count("&lt;script&gt;") > 20


def test_figures_and_tables_are_numbered_through_folds() -> None:
    table = Table("t", [Cell("a")], [[Cell("1")]])
    text = page(table, Fold("more", [table, Picture("data:,x", "a", "c")]), table, Picture("data:,x", "a", "c"))
    for label in ("Table 1.", "Table 2.", "Table 3.", "Figure 1.", "Figure 2."):
        assert text.count(label) == 1


def test_commands_in_text_are_set_as_code() -> None:
    assert "run <code>recontrast evaluate</code> first" in page(Text("run `recontrast evaluate` first"))


def test_the_page_forbids_itself_to_load_anything() -> None:
    text = page()
    assert text.startswith("<!DOCTYPE html>")
    assert "default-src &#39;none&#39;" in text or "default-src 'none'" in text
    assert "<script" not in text
    assert "<link" not in text


def test_long_entries_of_a_frame_may_be_broken() -> None:
    table = frame_table(pd.DataFrame({"claim": ["short", "x" * 60, "disagrees"]}), "Claims.", ("disagrees",))
    assert [row[0].look for row in table.rows] == ["", "long", "bad"]
