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


@pytest.mark.browser
@pytest.mark.slow
def test_words_and_answers_that_were_not_stored_yet_outlive_the_tab(make_study: Any, serving: Any, tab: Any) -> None:
    study = make_study("tagawa2025", 'order = "mixed"\nwashout_days = 0', cases=2)
    page = tab()
    with serving(study) as server:
        item = begin(page, server.link("A"))
        page.key("1")
        page.key("2")
        page.key("n")  # past the marks to the field of words, without a mouse
        page.key("n")
        page.wait("document.activeElement instanceof HTMLTextAreaElement")
        page.type("motion")
        page.call("Page.reload")  # at once: the field was never left
        page.wait("document.querySelector('#go') && !document.querySelector('#go').hidden")
        page.key("Enter")
        assert page.wait(ON_SCREEN) == item
        assert page.evaluate("document.querySelector('textarea').value") == "motion"
        server.kill()
        page.key("Enter")
        page.wait("document.querySelector('#banner').textContent.includes('Not stored yet')")
        page.go("about:blank")
    with serving(study, "--port", str(server.port)) as again:
        second = begin(page, again.link("A"))
        assert second != item
        page.wait("document.querySelector('#place').textContent.startsWith('Item 2 of')")
        assert page.evaluate("Object.keys(sessionStorage).map((key) => sessionStorage[key]).includes('[]')")
    answers = [record for record in read_records(study.folder / "answers.sqlite") if record.kind == "answer"]
    assert [record.item for record in answers] == [item]
    assert answers[0].content == {"mta.right": 1, "mta.left": 2, "lesions": [], "artefacts": "motion"}


@pytest.mark.browser
@pytest.mark.slow
def test_what_cannot_be_seen_cannot_be_answered_but_skipped(make_study: Any, serving: Any, tab: Any) -> None:
    study = make_study("mta", cases=2)
    first = read_plan(study.folder).items["A"][0]
    file = study.folder / "images" / first.files[0]
    kept = file.read_bytes()
    file.unlink()
    with serving(study) as server:
        page = tab()
        page.go(server.link("A"))
        page.wait("document.querySelector('#go') && !document.querySelector('#go').hidden")
        page.click("#go")
        page.wait("document.querySelector('#screen-title').textContent === 'The image is not here'")
        page.key("1")
        page.key("2")
        assert page.evaluate("document.querySelector('#desk').hidden")
        file.write_bytes(kept)
        page.click("#go")  # try again
        assert page.wait(ON_SCREEN) == first.id
        file.unlink()
        page.call("Page.reload")
        page.wait("document.querySelector('#go') && !document.querySelector('#go').hidden")
        page.key("Enter")
        page.wait("!document.querySelector('#skip').hidden")
        page.click("#skip")
        assert next_item(page, first.id) not in (first.id, "end")
    records = read_records(study.folder / "answers.sqlite")
    assert [(record.kind, record.item) for record in records] == [("skip", first.id)]
    assert "is gone or damaged" in (study.folder.parent / "refused.log").read_text()


@pytest.mark.browser
@pytest.mark.slow
def test_the_ruler_by_keys_measures_millimetres(make_study: Any, serving: Any, tab: Any) -> None:
    study = make_study("mta", cases=2)  # voxels of 2 x 2 x 3 mm, coronal
    with serving(study) as server:
        page = tab()
        begin(page, server.link("A"))
        page.key("c")
        page.key("x")
        for key in ("ArrowRight", "ArrowRight", "ArrowUp", "ArrowUp"):
            page.key(key, shift=True)
        page.key("x")
        page.key("ArrowRight", shift=True)  # the line no longer follows
        expected = f"ruler {(4**2 + 6**2) ** 0.5:.1f} mm"
        page.wait(f"document.querySelector('#position').textContent.includes('{expected}')")


@pytest.mark.browser
@pytest.mark.slow
def test_an_item_that_stood_open_for_days_is_stored(make_study: Any, serving: Any, tab: Any) -> None:
    study = make_study("mta", cases=2)
    with serving(study) as server:
        page = tab()
        item = begin(page, server.link("A"))
        page.evaluate(
            "{ const now = performance.now.bind(performance); performance.now = () => now() + 3 * 86400000; }"
        )
        for key in ("1", "1", "Enter"):
            page.key(key)
        next_item(page, item)
    records = read_records(study.folder / "answers.sqlite")
    assert [record.milliseconds for record in records if record.item == item] == [86400000] * 3


SPOT = """import('/planes.js').then(({ PLANES, isMirrored, lookup, paint, sides }) => {
  const shape = [5, 7, 9], volume = new Uint16Array(5 * 7 * 9), found = {};
  volume[1 + 5 * (5 + 7 * 6)] = 4000; // right is high: voxel 1 of 5 is on the left, 5 of 7 in front, 6 of 9 above
  const table = lookup(4096, 2048, 4096);
  for (const name of Object.keys(PLANES)) for (const convention of ['radiological', 'neurological']) {
    const plane = PLANES[name], pixels = new Uint32Array(shape[plane.across] * shape[plane.up]);
    paint(pixels, volume, null, 0, shape, plane, [1, 5, 6][plane.normal], isMirrored(plane, convention), table);
    const at = pixels.findIndex((colour) => (colour & 255) > 100), wide = shape[plane.across];
    const letters = sides(plane, convention);
    found[`${name} ${convention}`] = [at % wide > wide / 2 ? letters.right : letters.left,
      Math.floor(at / wide) > shape[plane.up] / 2 ? letters.bottom : letters.top, letters.left];
  }
  return found;
})"""


@pytest.mark.browser
@pytest.mark.slow
def test_left_is_left_in_both_conventions_and_both_arms(make_study: Any, serving: Any, tab: Any) -> None:
    study = make_study("mta", cases=2)  # a bright block on the patient's right; one arm's file has its axes turned
    plan = read_plan(study.folder)
    halves = """(() => { const c = document.querySelector('canvas.large'), d = c.getContext('2d')
      .getImageData(0, 0, c.width, c.height).data; let sums = [0, 0];
      for (let n = 0; n < d.length; n += 4) sums[(n / 4) % c.width < c.width / 2 ? 0 : 1] += d[n + 2];
      return sums; })()"""
    arms = set()
    with serving(study) as server:
        page = tab()
        item = begin(page, server.link("A"))
        spots = page.evaluate(SPOT)
        for place in plan.items["A"]:
            left, right = page.evaluate(halves)
            assert left > 1.05 * right  # radiological: the patient's right is on the left
            arms.add(place.arms)
            page.key("1")
            page.key("1")
            page.key("Enter")
            item = next_item(page, item)
    assert arms == {("acquired",), ("synthetic",)}
    assert spots == {
        "axial radiological": ["L", "A", "R"], "axial neurological": ["L", "A", "L"],
        "coronal radiological": ["L", "S", "R"], "coronal neurological": ["L", "S", "L"],
        "sagittal radiological": ["A", "S", "A"], "sagittal neurological": ["A", "S", "A"],
    }  # fmt: skip
