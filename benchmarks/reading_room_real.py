"""A study on real heads: acquired against synthetic images of trained translators, three simulated readers in the page.

    python benchmarks/reading_room_real.py RUNS OUT

RUNS is the folder that `benchmarks/real_heads.py` made. The readers press keys and click in headless Chromium; what
they answer follows from the pixels on the screen, so they are as blind as people. The page is the only way in.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pandas as pd

from recontrast.readers.analyse import AnalyseSettings, analyse
from recontrast.readers.browser import Page, browser
from recontrast.readers.new import NewSettings, new_study

READERS = ("A", "B", "C")
ITEM = "!document.querySelector('#desk').hidden && document.body.dataset.item || ''"

SHARPNESS = """(() => { const c = document.querySelector('canvas.large'), d = c.getContext('2d')
  .getImageData(0, 0, c.width, c.height).data; let edges = 0, sum = 0;
  for (let n = 4; n < d.length; n += 4) { edges += Math.abs(d[n] - d[n - 4]); sum += d[n]; }
  return edges / sum; })()"""


def table_of(folder: Path, rows: list[tuple[str, Path, Path]]) -> None:
    pd.DataFrame(rows, columns=["case", "acquired", "synthetic"]).to_csv(folder / "cases.tsv", sep="\t", index=False)


def find_pairs(runs: Path, pattern: str, contrast: str) -> list[tuple[str, Path, Path]]:
    """Case, acquired and synthetic image of every held-out subject."""
    rows = []
    for run in sorted(runs.glob(pattern)):
        for synthetic in sorted(run.glob(f"synthetic/**/*_desc-synthetic_{contrast}.nii.gz")):
            case = synthetic.name.split("_desc-")[0]
            (acquired,) = run.glob(f"prepared/**/{case}_desc-prepared_{contrast}.nii.gz")
            rows.append((case, acquired.resolve(), synthetic.resolve()))
    return rows


def read_as(page: Page, link: str, reader: int, design: str, picture: Path) -> int:
    """Read a whole study in the page; answers follow from what is on the screen. `picture` shows the first item."""
    rng = np.random.default_rng(reader)
    page.go(link)
    page.wait("document.querySelector('#go') && !document.querySelector('#go').hidden")
    page.key("Enter")
    item, read = page.wait(ITEM), 0
    while item:
        page.wheel("canvas.large", -120)
        sharp = float(page.evaluate(SHARPNESS)) + rng.normal(0, 0.004)
        grade = int(np.clip(round(1 + 40 * sharp), 1, 5))
        if design == "tagawa2025":
            page.key(str(min(4, 5 - grade)))
            page.key(str(min(4, max(0, 5 - grade + int(rng.integers(-1, 2))))))
            if grade >= 3:
                page.click("canvas.large", 0.6, 0.45)
                page.key("m")
            page.click("textarea")
            page.type("blurred" if grade < 3 else "none")
            page.click("#store")
        else:
            for number in (grade, int(rng.integers(1, 3)), 6 - grade, 1):
                page.key(str(number))
            page.key("Enter")
        if not read:
            page.screenshot(picture)
        read += 1
        done = "/All items are answered/.test(document.querySelector('#screen').innerText) ? 'end' : ''"
        item = page.wait(f"(({ITEM}) !== '{item}' && ({ITEM})) || ({done})")
        if item == "end":
            page.key("Enter")
            page.wait("/read every item|next session/.test(document.querySelector('#screen').innerText)")
            return read
    return read


def study(out: Path, name: str, design: str, rows: list[tuple[str, Path, Path]], more: str = "") -> None:
    folder = out / name
    folder.mkdir(parents=True)
    table_of(folder, rows)
    arms = "".join(f'[[arms]]\nname = "{arm}"\n' for arm in ("acquired", "synthetic"))
    text = f'design = "{design}"\nreaders = ["A", "B", "C"]\ntable = "cases.tsv"\ngap = 1\n{more}\n{arms}'
    (folder / "design.toml").write_text(text)
    for line in new_study(NewSettings(design=folder / "design.toml", out=folder / "study")).done:
        print(line)
    links = dict(row.split("\t") for row in (folder / "study" / "links.tsv").read_text().splitlines()[1:])
    command = [sys.executable, "-m", "recontrast", "readers", "serve", str(folder / "study"), "--port", "0"]
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        line = server.stderr.readline() if server.stderr else ""
        port = int(line.split(" (")[0].rpartition(":")[2])
        threading.Thread(target=server.stderr.read, daemon=True).start()  # type: ignore[union-attr]
        with browser() as started:
            for number, reader in enumerate(READERS):
                page = started.open()
                secret = links[reader].rpartition("#")[2]
                link = f"http://127.0.0.1:{port}/#{secret}"
                read = read_as(page, link, number, design, folder / f"{reader}.png")
                print(f"reader {reader}: {read} items read in the page")
    finally:
        server.terminate()
        server.wait(30)
    print(analyse(AnalyseSettings(study=folder / "study", out=folder / "analysis")).done[0])
    for table in sorted((folder / "analysis").glob("*.tsv")):
        if table.stem not in ("answers", "records"):
            print(f"\n{table.name}\n{table.read_text()}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    heads = find_pairs(options.runs, "head-T1w-to-T2w-without-*", "T2w")
    brains = find_pairs(options.runs, "brain-T1w+T2w-to-FLAIR", "FLAIR")
    print(f"T2w of whole heads: {len(heads)} cases; FLAIR of brains: {len(brains)} cases")
    study(options.out, "hagiwara2019", "hagiwara2019", [*heads, *brains], "duplicates = 2")
    study(options.out, "tagawa2025", "tagawa2025", [*heads, *brains], 'order = "mixed"\nwashout_days = 0.0')


if __name__ == "__main__":
    main()
