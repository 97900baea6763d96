"""The real page in headless Chromium: readers who click and type, from the link to the tables."""

from __future__ import annotations

from typing import Any

import pytest

from recontrast import cli
from recontrast.readers.answers import read_records
from recontrast.readers.browser import find_program
from recontrast.readers.decode import decode
from recontrast.readers.folder import read_plan

ON_SCREEN = "document.body.dataset.item && !document.querySelector('#desk').hidden ? document.body.dataset.item : ''"


def begin(page: Any, link: str) -> str:
    page.go(link)
    page.wait("document.querySelector('#go') && !document.querySelector('#go').hidden")
    page.click("#go")
    return str(page.wait(ON_SCREEN))


def next_item(page: Any, before: str) -> str:
    shown = "document.querySelector('#screen').innerText"
    done = f"/All items are answered|read every item/.test({shown}) ? 'end' : ''"
    return str(page.wait(f"(({ON_SCREEN}) !== '{before}' && ({ON_SCREEN})) || ({done})"))


def test_a_program_is_found_or_none() -> None:
    assert find_program() is None or "chrom" in str(find_program())


@pytest.mark.browser
@pytest.mark.slow
def test_two_arms_read_to_the_end_with_pause_reload_undo(
    make_study: Any, serving: Any, tab: Any, tmp_path: Any
) -> None:
    study = make_study("tagawa2025", 'order = "mixed"\nwashout_days = 0', cases=3)
    with serving(study) as server:
        page = tab()
        item = begin(page, server.link("A"))
        assert server.study.secret("A") not in page.evaluate("location.href")
        index = int(page.evaluate("document.querySelector('canvas.large').dataset.index"))
        page.wheel("canvas.large", -120)
        page.wait(f"document.querySelector('canvas.large').dataset.index == '{index + 1}'")
        page.key("ArrowDown")
        page.wait(f"document.querySelector('canvas.large').dataset.index == '{index}'")
        page.key("3")  # right side
        page.key("p")
        page.wait("document.querySelector('#screen-title').textContent === 'Pause'")
        page.call("Page.reload")
        page.wait("document.querySelector('#go') && !document.querySelector('#go').hidden")
        page.key("Enter")
        assert page.wait(ON_SCREEN) == item
        assert page.evaluate("document.querySelector('[data-value=\"3\"]').getAttribute('aria-pressed')") == "true"
        page.key("Enter")
        page.wait("document.querySelector('#banner').textContent.includes('left')")  # the other side is missing
        page.click("fieldset[data-field='mta.left'] button[data-value='2']")
        page.click("canvas.large", 0.55, 0.5)
        page.key("m")
        page.click("textarea")
        page.type("<img src=x onerror=document.title='bad'>")
        page.click("#store")
        second = next_item(page, item)
        page.key("u")
        assert next_item(page, second) == item
        shown = page.evaluate("document.querySelector('textarea').value")
        assert shown.startswith("<img")
        page.click("#store")
        item = next_item(page, item)
        while item != "end":
            page.key("1")
            page.key("0")
            page.key("Enter")
            item = next_item(page, item)
        page.key("Enter")
        page.wait("document.querySelector('#screen-text').textContent.includes('read every item')")
        assert page.evaluate("document.title") == "Reading room"
        addresses = {e["request"]["url"] for e in page.reports("Network.requestWillBeSent")}
        assert all(address.startswith(f"http://127.0.0.1:{server.port}/") for address in addresses)
        assert not page.reports("Runtime.exceptionThrown")
    plan = read_plan(study.folder)
    answers = decode(plan, read_records(study.folder / "answers.sqlite"))
    first = answers[answers["place"] == 0].set_index(["question", "side"])["value"]
    assert (first["mta", "right"], first["mta", "left"]) == (3, 2)
    assert first["lesions", ""].count("[") == 2
    assert len(answers[answers["question"] == "mta"]) == 12
    assert cli.run(["readers", "analyse", str(study.folder), str(tmp_path / "out")]) == 0


@pytest.mark.browser
@pytest.mark.slow
def test_likert_overlay_and_rating_by_keys(make_study: Any, serving: Any, tab: Any) -> None:
    rating = make_study("bottani2024", cases=2)
    with serving(rating) as server:
        page = tab()
        item = begin(page, server.link("B"))
        for key in ("a", "z", "z", "k", " "):
            page.key(key)
        item = next_item(page, item)
        while item != "end":
            page.key(" ")
            item = next_item(page, item)
    table = decode(read_plan(rating.folder), read_records(rating.folder / "answers.sqlite"))
    first = table[table["place"] == 0].set_index("question")["value"].to_dict()
    assert first == {"grade_contrast": 2, "grade_motion": 1, "grade_noise": 0, "gadolinium": 1, "reject": 0}
    overlay = make_study("hagiwara2019-swelling", cases=2)
    with serving(overlay) as server:
        page = tab()
        item = begin(page, server.link("A"))
        page.key("f")
        page.wait("document.querySelector('#mix').value === '100'")
        page.click("fieldset button[data-value='1']")
        page.key("Enter")
        next_item(page, item)
    plan = read_plan(overlay.folder)
    answers = decode(plan, read_records(overlay.folder / "answers.sqlite"))
    assert answers["value"].iloc[0] == plan.items["A"][0].arms[1]
