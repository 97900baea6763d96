from __future__ import annotations

import base64
import io
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from recontrast.errors import ConfigError, LayoutError, OutputError, UnknownNameError
from recontrast.io.tables import read_table, write_table
from recontrast.reporting.report import STATEMENT, ReportSettings, report

FETCHING = {"src", "href", "srcset", "action", "data", "poster", "background", "formaction", "xlink:href"}


class Attributes(HTMLParser):
    """Collects every attribute that can make a browser fetch something."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in FETCHING]
        self.addresses += re.findall(r"url\(([^)]*)\)", " ".join(value or "" for _, value in attrs))


def page_of(folder: Path, **settings: Any) -> str:
    report(ReportSettings(folder=folder, **settings))
    return (folder / "report.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_page_tells_the_whole_story(example: Any) -> None:
    summary = report(ReportSettings(folder=example.root, title="A title"))
    text = (example.root / "report.html").read_text(encoding="utf-8")
    assert summary.failed == {}
    assert summary.done[0].startswith(f"{example.root / 'report.html'}: 1 evaluation, 1 run")
    for words in (
        "<h1>A title</h1>", "T2w made from T1w, on 3 held-out subjects (split test), scored by protocol recontrast",
        "The translator beats the best control (boosting) by 2.00 dB PSNR (95 % interval [1.40, 2.60]", STATEMENT,
        "sub-02: worst of 3", "3 of 5 expected cases were scored", "the grids differ", "openvino",
        "recontrast train a b",
    ):  # fmt: skip
        assert words in text
    assert text.index("sub-02: worst of 3") < text.index("sub-03: best of 3")


@pytest.mark.slow
def test_the_page_fetches_nothing(example: Any) -> None:
    text = page_of(example.root)
    assert len(text.encode()) < 2e6
    parser = Attributes()
    parser.feed(text)
    assert parser.addresses
    assert all(address.startswith(("data:image/", "#")) for address in parser.addresses)
    assert not {"script", "link", "iframe", "object", "embed", "base"} & set(parser.tags)
    styles = "".join(re.findall(r"<style>(.*?)</style>", text, flags=re.DOTALL))
    assert "url(" not in styles
    assert "@import" not in styles
    for content in re.findall(r"data:image/svg\+xml;base64,([A-Za-z0-9+/=]+)", text):
        drawn = base64.b64decode(content).decode()
        assert not re.findall(r'(?:href|src)="(?!#)', drawn)


@pytest.mark.slow
def test_the_same_evidence_gives_the_same_page(example: Any) -> None:
    assert page_of(example.root, cases=1) == page_of(example.root, cases=1)


def test_an_empty_folder_gives_a_page_that_says_what_is_absent(tmp_path: Path) -> None:
    text = page_of(tmp_path)
    for words in (
        "No evaluation was found in this folder: run <code>recontrast evaluate", "No training run was found",
        "No prepared folder", "No synthetic image was found", "No provenance.json was found",
    ):  # fmt: skip
        assert words in text
    assert STATEMENT in text


@pytest.mark.slow
def test_a_run_alone_is_said_not_to_be_evaluated(example: Any) -> None:
    text = page_of(example.run)
    assert "A translator that makes T2w from T1w was trained; it was not evaluated here." in text


def test_a_translator_of_several_contrasts_names_them_all(tmp_path: Path) -> None:
    (tmp_path / "translator").mkdir()
    bank = {"sources": ["T1w", "T2w"], "targets": {"T2w": {}, "FLAIR": {}}}
    facts = {"format": 1, "sources": ["T1w", "T2w"], "target": "", "bank": bank}
    (tmp_path / "translator" / "translator.json").write_text(json.dumps(facts))
    (tmp_path / "log.jsonl").write_text("")
    assert "A translator that makes T2w or FLAIR from T1w and T2w was trained" in page_of(tmp_path)


@pytest.mark.slow
def test_words_from_files_are_shown_literally(example: Any) -> None:
    evil = "<img src=https://example.org/x onerror=alert(1)>"
    table = read_table(example.evaluation / "cases.tsv", ("case", "subject"))
    table.loc[table["case"] == "sub-99", ["case", "message"]] = ["<b>", evil]
    write_table(example.evaluation / "cases.tsv", table)
    facts = json.loads((example.evaluation / "evaluation.json").read_text(encoding="utf-8"))
    (example.evaluation / "evaluation.json").write_text(json.dumps({**facts, "target": evil}), encoding="utf-8")
    text = page_of(example.root, title=evil, cases=1)
    parser = Attributes()
    parser.feed(text)
    assert all(address.startswith(("data:image/", "#")) for address in parser.addresses)
    assert '<td class="">&lt;b&gt;</td>' in text
    assert "<b>&" not in text


@pytest.mark.slow
def test_damage_is_named_and_sets_the_exit_status(example: Any) -> None:
    (example.prepared / "quality.tsv").write_bytes(b"\xff\xfe\x00")
    next((example.synthetic / "sub-01").rglob("*.nii.gz")).write_bytes(b"no image")
    summary = report(ReportSettings(folder=example.root))
    assert set(summary.failed) == {"prepared/quality.tsv", "evaluation/: sub-01"}
    assert "Problems met while making this page" in (example.root / "report.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_several_evaluations_stand_side_by_side(example: Any) -> None:
    shutil.copytree(example.evaluation, example.root / "evaluation2")
    text = page_of(example.root, cases=1)
    assert "evaluation/: The translator beats" in text
    assert "evaluation2/: The translator beats" in text


@pytest.mark.parametrize(
    ("settings", "error"),
    [({"convention": "upside"}, ConfigError), ({"cases": 0}, ConfigError), ({"metric": "pnsr"}, UnknownNameError)],
)
def test_wrong_settings_are_refused(example: Any, settings: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        report(ReportSettings(folder=example.root, **settings))


def test_a_folder_that_is_not_there_or_a_page_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(LayoutError):
        report(ReportSettings(folder=tmp_path / "nowhere"))
    (tmp_path / "report.html").mkdir()
    with pytest.raises(OutputError):
        report(ReportSettings(folder=tmp_path))


@pytest.mark.slow
def test_reporting_does_not_import_torch() -> None:
    code = "import recontrast.reporting.report, sys; print('torch' in sys.modules, 'matplotlib.pyplot' in sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.split() == ["False", "False"]


@pytest.fixture
def browser(tmp_path: Path) -> Callable[..., str]:
    """Run headless Chromium without network; returns what it prints."""
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None:
        pytest.skip("no Chromium on this machine: the page cannot be opened")

    def run(page: Path, *options: str) -> str:
        offline = [
            "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions",
            "--host-resolver-rules=MAP * ~NOTFOUND", "--proxy-server=127.0.0.1:9",
            f"--user-data-dir={tmp_path / 'profile'}",
        ]  # fmt: skip
        command = [program, *offline, *options, page.as_uri()]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout

    return run


@pytest.mark.browser
@pytest.mark.slow
def test_the_page_opens_offline_and_asks_for_nothing(example: Any, browser: Callable[..., str], tmp_path: Path) -> None:
    report(ReportSettings(folder=example.root))
    page, log, shot = example.root / "report.html", tmp_path / "net.json", tmp_path / "page.png"
    browser(page, f"--log-net-log={log}", f"--screenshot={shot}", "--window-size=1200,2400", "--hide-scrollbars")
    picture = np.asarray(Image.open(io.BytesIO(shot.read_bytes())).convert("L"))
    assert picture.std() > 20
    assert (picture < 30).mean() > 0.02  # the black of the montages: the pictures were drawn
    asked = re.findall(r'"url":"(https?://[^"]*)"', log.read_text(encoding="utf-8", errors="replace"))
    theirs = ("google", "gstatic", "gvt1", "chromium", "127.0.0.1")
    assert [url for url in asked if not any(name in url for name in theirs)] == []
    dumped = browser(page, "--dump-dom")
    assert dumped.count('<img src="data:image/') == 5
