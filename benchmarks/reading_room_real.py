"""Studies on real heads, read by three simulated readers in the page: acquired against synthetic images, and quality.

    python benchmarks/reading_room_real.py RUNS OUT

RUNS is the folder that `benchmarks/real_heads.py` made. The studies of Hagiwara 2019 and Tagawa 2025 compare its
synthetic images with the acquired ones; the rating of Bottani 2024 grades every T1w there is, as it was released. Each
runs from its file by one command, `recontrast readers serve DESIGN.toml`. The readers press keys and click in headless
Chromium; what they answer follows from the pixels on the screen, so they are as blind as people. The page is the only
way in.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from recontrast.readers.analyse import AnalyseSettings, analyse
from recontrast.readers.browser import Page, browser

DATA = Path(os.environ.get("RECONTRAST_REALDATA", Path(__file__).parents[2] / "shared" / "data"))
READERS = ("A", "B", "C")
ITEM = "!document.querySelector('#desk').hidden && document.body.dataset.item || ''"

SHARPNESS = """(() => { const c = document.querySelector('canvas.large'), d = c.getContext('2d')
  .getImageData(0, 0, c.width, c.height).data; let edges = 0, sum = 0;
  for (let n = 4; n < d.length; n += 4) { edges += Math.abs(d[n] - d[n - 4]); sum += d[n]; }
  return edges / sum; })()"""


def find_scans(contrast: str) -> list[tuple[str, Path]]:
    """Case and image of every scan of a contrast in the folder of real heads."""
    paths = sorted(DATA.glob(f"sub-*/**/anat/*_{contrast}.nii.gz"))
    return [(path.name.removesuffix(f"_{contrast}.nii.gz"), path.resolve()) for path in paths]


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
        elif design == "bottani2024":
            for key in "z" * (grade < 4) + "d" * (grade < 3) + "a" * (rng.random() < 0.2):
                page.key(key)
            page.key(" ")
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


def study(
    out: Path, design: str, rows: Sequence[tuple[str, *tuple[Path, ...]]], arms: tuple[str, ...], more: str = ""
) -> None:
    """Write the design, serve it, read it as every reader, analyse it and print the tables."""
    folder = out / design
    folder.mkdir(parents=True)
    pd.DataFrame(rows, columns=["case", *arms]).to_csv(folder / "cases.tsv", sep="\t", index=False)
    listed = "".join(f'[[arms]]\nname = "{arm}"\n' for arm in arms)
    text = f'design = "{design}"\nreaders = ["A", "B", "C"]\ntable = "cases.tsv"\ngap = 1\n{more}\n{listed}'
    (folder / "study.toml").write_text(text)
    command = [sys.executable, "-m", "recontrast", "readers", "serve", str(folder / "study.toml"), "--port", "0"]
    print(f"\nrecontrast {' '.join(command[3:])}", flush=True)
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        said = server.stderr or ()
        line = next((line for line in said if line.startswith("serving")), "")
        port = int(line.split(" (")[0].rpartition(":")[2])
        threading.Thread(target=server.stderr.read, daemon=True).start()  # type: ignore[union-attr]
        links = dict(row.split("\t") for row in (folder / "study" / "links.tsv").read_text().splitlines()[1:])
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
    scans = find_scans("T1w")
    print(f"T2w of whole heads: {len(heads)} cases; FLAIR of brains: {len(brains)} cases; T1w to grade: {len(scans)}")
    arms = ("acquired", "synthetic")
    study(options.out, "hagiwara2019", [*heads, *brains], arms, "duplicates = 2")
    study(options.out, "tagawa2025", [*heads, *brains], arms, 'order = "mixed"\nwashout_days = 0.0')
    study(options.out, "bottani2024", scans, ("T1w",))


if __name__ == "__main__":
    main()
