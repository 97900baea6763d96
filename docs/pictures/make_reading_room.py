"""The pictures of the reading room in the how-to, from simulated heads; needs Chromium and the extra `readers`."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from PIL import Image
from scipy.ndimage import gaussian_filter

from recontrast.io.nifti import read_volume, write_volume
from recontrast.phantom.cohort import SimulateSettings, simulate
from recontrast.readers.browser import browser
from recontrast.readers.new import NewSettings, new_study

HERE = Path(__file__).parent
ON_SCREEN = "!document.querySelector('#desk').hidden && document.body.dataset.item || ''"
VIEWS = {
    "mta": ("tagawa2025", ("2", "1", "m")),
    "overlay": ("hagiwara2019-swelling", ("2",)),
    "rating": ("bottani2024", ("a", "z", "d", "d")),
    "pair": ("preference", ("1",)),
    "sheet": ("candidates", ("0", "0", "4")),
}


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        settings = SimulateSettings(out=folder / "heads", subjects=2, spacing_mm=1.5, contrasts=("FLAIR",), seed=3)
        simulate(settings)
        for path in sorted((folder / "heads").glob("sub-*/anat/*_FLAIR.nii.gz")):
            volume = read_volume(path)
            case = path.name.partition("_")[0]
            write_volume(folder / f"{case}_acquired.nii.gz", volume)
            # A stand-in for a translator's image: a little smoother.
            write_volume(folder / f"{case}_computed.nii.gz", volume.with_data(gaussian_filter(volume.data, 0.6)))
        for view, (design, keys) in VIEWS.items():
            arms = "".join(
                f'[[arms]]\nname = "{arm}"\nfiles = "{{case}}_{arm}.nii.gz"\n' for arm in ("acquired", "computed")
            )
            (folder / f"{view}.toml").write_text(f'design = "{design}"\nreaders = ["A"]\nseed = 1\ngap = 1\n{arms}')
            new_study(NewSettings(design=folder / f"{view}.toml", out=folder / view))
            show(folder / view, keys, HERE / f"reading-room-{view}.png")


def show(study: Path, keys: tuple[str, ...], picture: Path) -> None:
    secret = (study / "links.tsv").read_text().rpartition("#")[2].strip()
    command = [sys.executable, "-m", "recontrast", "readers", "serve", str(study), "--port", "0"]
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        line = server.stderr.readline() if server.stderr else ""
        threading.Thread(target=server.stderr.read, daemon=True).start()  # type: ignore[union-attr]
        with browser(1200, 800) as started:
            page = started.open()
            page.go(f"http://127.0.0.1:{line.split(' (')[0].rpartition(':')[2]}/#{secret}")
            page.wait("document.querySelector('#go') && !document.querySelector('#go').hidden")
            page.key("Enter")
            page.wait(ON_SCREEN)
            for key in keys:
                page.key(key)
            page.evaluate("new Promise((done) => setTimeout(done, 300))")
            page.screenshot(picture)
            Image.open(picture).quantize(128).save(picture, optimize=True)  # a third of the bytes, no visible loss
    finally:
        server.terminate()
        server.wait(30)


if __name__ == "__main__":
    main()
