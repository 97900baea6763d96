"""The reading room: how fast. Prints what it measures; needs Chromium and the extra `readers`.

    python benchmarks/reading_room.py [--niivue FOLDER]

FOLDER is where `npm install @niivue/niivue` was run; with it the same volume is shown by NiiVue too.
"""

from __future__ import annotations

import argparse
import functools
import http.client
import http.server
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from recontrast.errors import RecontrastError
from recontrast.io.nifti import read_volume, write_volume
from recontrast.readers.answers import read_records
from recontrast.readers.browser import Page, browser
from recontrast.readers.new import NewSettings, new_study
from recontrast.volume import Volume

ONE_MM = (182, 218, 182)
ITEM = "document.body.dataset.item || ''"
DESIGN = """
design = "visual-turing"
readers = [{readers}]
gap = {gap}
[[arms]]
name = "acquired"
files = "{{case}}_acquired.nii.gz"
[[arms]]
name = "synthetic"
files = "{{case}}_computed_synthetic.nii.gz"
"""


def head(shape: tuple[int, int, int], seed: int) -> np.ndarray:
    """A head of its own shape: an ellipsoid with an asymmetric inside."""
    rng = np.random.default_rng(seed)
    i, j, k = np.meshgrid(*[np.linspace(-1, 1, n, dtype=np.float32) for n in shape], indexing="ij")
    wide = rng.uniform(0.7, 0.9, 3)
    radius = np.sqrt((i / wide[0]) ** 2 + (j / wide[1]) ** 2 + (k / wide[2]) ** 2)
    image = np.where(radius < 1, 300.0, 0.0)
    image[radius < 0.85] = rng.uniform(500, 700)
    image[(radius < rng.uniform(0.3, 0.5)) & (i > 0.05)] = rng.uniform(800, 1000)
    return image


def write_pair(folder: Path, case: int, shape: tuple[int, int, int]) -> None:
    """Both arms: the same kind of picture with noise of its own, in files that differ in everything else.

    The acquired one: integers, its scale, RAS, no text. The computed one: float32, another scale, LPS axes, exact zeros
    in air, a header that says what it is, a later time.
    """
    image = head(shape, case)
    affine = np.diag([1.0, 1.0, 1.0, 1.0]) if shape == ONE_MM else np.diag([4.0, 4.0, 4.0, 1.0])
    rng = np.random.default_rng(10_000 + case)
    first, second = (np.abs(image + 20 * rng.standard_normal(shape)) for _ in range(2))
    write_volume(folder / f"c{case:03d}_acquired.nii.gz", Volume((first / 3).astype(np.int16), affine))
    computed = np.where(image > 0, second / 900, 0).astype(np.float32)
    write_volume(folder / f"c{case:03d}_computed_synthetic.nii.gz", Volume(computed, affine).reoriented("LPS"))


def make_study(folder: Path, cases: int, shape: tuple[int, int, int], readers: int) -> Path:
    for case in range(cases):
        write_pair(folder, case, shape)
    names = ", ".join(f'"R{n}"' for n in range(readers))
    (folder / "design.toml").write_text(DESIGN.format(readers=names, gap=1 if cases < 8 else 3))
    new_study(NewSettings(design=folder / "design.toml", out=folder / "study"))
    return folder / "study"


def secrets_of(study: Path) -> dict[str, str]:
    rows = (study / "links.tsv").read_text().splitlines()[1:]
    return {row.split("\t")[0]: row.rpartition("#")[2] for row in rows}


class Served:
    """A server in a process of its own."""

    def __init__(self, study: Path, port: int = 0) -> None:
        command = [sys.executable, "-m", "recontrast", "readers", "serve", str(study), "--port", str(port)]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        line = self.process.stderr.readline() if self.process.stderr else ""
        self.port = int(line.split(" (")[0].rpartition(":")[2])
        threading.Thread(target=self.process.stderr.read, daemon=True).start()  # type: ignore[union-attr]

    def __enter__(self) -> Served:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait(30)

    def ask(self, secret: str, method: str, path: str, body: object = None) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            content = None if body is None else json.dumps(body)
            connection.request(method, path, content, {"Authorization": f"Bearer {secret}"})
            response = connection.getresponse()
            return response.status, dict(response.getheaders()), response.read()
        finally:
            connection.close()


def speed(folder: Path) -> None:
    """First picture and slice change of a 1 mm head in the page."""
    study = make_study(folder, 3, ONE_MM, 1)
    with Served(study) as server, browser() as started:
        page = started.open()
        page.go(f"http://127.0.0.1:{server.port}/#{secrets_of(study)['R0']}")
        page.wait("document.querySelector('#go') && !document.querySelector('#go').hidden")
        page.evaluate(
            "window.t0 = 0; document.querySelector('#go')"
            ".addEventListener('click', () => { window.t0 = performance.now(); }, true);"
            "new MutationObserver("
            "() => { if (document.body.dataset.item && !window.t1) window.t1 = performance.now(); })"
            ".observe(document.body, {attributes: true}); 0"
        )
        page.click("#go")
        page.wait("window.t1", 60)
        print(f"first picture of a 1 mm head after the click: {page.evaluate('window.t1 - window.t0'):.0f} ms")
        times = page.evaluate(SLICES)
        print_slices("slice change, three planes (wheel to the next painted frame)", times)
        page.key("2")
        page.evaluate("window.item = document.body.dataset.item; 0")
        page.evaluate("document.querySelector('fieldset button').click()")
        page.evaluate("document.querySelectorAll('fieldset')[1].querySelector('button').click()")
        before = time.perf_counter()
        page.key("Enter")
        page.wait("document.body.dataset.item && document.body.dataset.item !== window.item")
        print(f"next item, fetched while the one before was read: {1000 * (time.perf_counter() - before):.0f} ms")


SLICES = """new Promise(async (done) => {
  const canvas = document.querySelector('canvas'), times = [];
  for (let n = 0; n < 200; n++) {
    const start = performance.now();
    canvas.dispatchEvent(new WheelEvent('wheel', {deltaY: n % 100 < 50 ? -100 : 100, cancelable: true, bubbles: true}));
    await new Promise((next) => requestAnimationFrame(() => { const channel = new MessageChannel();
      channel.port1.onmessage = next; channel.port2.postMessage(0); }));
    times.push(performance.now() - start);
  }
  done(times);
})"""


def print_slices(what: str, times: list[float]) -> None:
    print(f"{what}: median {statistics.median(times):.1f} ms, 95th percentile {np.percentile(times, 95):.1f} ms")


NIIVUE = """<!DOCTYPE html><body style="margin:0"><canvas id="gl" width="1100" height="800"></canvas>
<script src="/node_modules/@niivue/niivue/dist/niivue.umd.js"></script>
<script type="module">
const { Niivue } = window.niivue;
const start = performance.now();
const nv = new Niivue(); await nv.attachToCanvas(document.getElementById('gl'));
await nv.loadVolumes([{url: '/head.nii'}]); nv.setSliceType(nv.sliceTypeMultiplanar);
window.gl = nv; window.read = () => nv.gl.readPixels(0, 0, 1, 1, nv.gl.RGBA, nv.gl.UNSIGNED_BYTE, new Uint8Array(4));
nv.drawScene(); window.read(); window.first = performance.now() - start;
</script></body>"""

WEBGL = ("--use-gl=angle", "--use-angle=swiftshader-webgl", "--enable-unsafe-swiftshader")


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""


FRAME = """await new Promise((next) => requestAnimationFrame(() => { const channel = new MessageChannel();
      channel.port1.onmessage = next; channel.port2.postMessage(0); }));"""
"""Until the frame is painted, as for our own page."""

NIIVUE_SLICES = f"""new Promise(async (done) => {{ const times = [];
  for (let n = 0; n < 60; n++) {{ const start = performance.now();
    window.gl.moveCrosshairInVox(0, 0, n % 20 < 10 ? 1 : -1); window.gl.drawScene(); window.read();
    {FRAME}
    times.push(performance.now() - start); }}
  done(times); }})"""

SERVED = """<!DOCTYPE html><body style="margin:0;background:#000"><canvas id="a" width="700" height="800"></canvas>
<canvas id="b" width="340" height="400"></canvas><canvas id="c" width="340" height="400"></canvas>
<script>
const panes = ['a', 'b', 'c'].map((id) => document.getElementById(id));
window.show = (index) => Promise.all(panes.map(async (pane, axis) => {
  const answer = await fetch(`/slice/${2 - axis}/${index}`, {cache: 'no-store'});
  const picture = await createImageBitmap(await answer.blob());
  const scale = Math.min(pane.width / picture.width, pane.height / picture.height);
  pane.getContext('2d').drawImage(picture, 0, 0, picture.width * scale, picture.height * scale);
}));
const start = performance.now();
window.show(90).then(() => { window.first = performance.now() - start; });
</script></body>"""

SERVED_SLICES = f"""new Promise(async (done) => {{ const times = [];
  for (let n = 0; n < 200; n++) {{ const start = performance.now();
    await window.show(90 + (n % 100 < 50 ? n % 50 : 50 - n % 50));
    {FRAME}
    times.push(performance.now() - start); }}
  done(times); }})"""


def png(levels: np.ndarray) -> bytes:
    """A grey picture as PNG, compressed as fast as zlib can."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return len(content).to_bytes(4, "big") + kind + content + zlib.crc32(kind + content).to_bytes(4, "big")

    height, width = levels.shape
    head = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([8, 0, 0, 0, 0])
    rows = np.hstack([np.zeros((height, 1), np.uint8), levels]).tobytes()
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows, 1)) + chunk(b"IEND", b"")


def served_slices(folder: Path) -> None:
    """The same head as slices that the server draws: three pictures asked for at each turn of the wheel."""
    write_pair(folder, 0, ONE_MM)
    data = read_volume(folder / "c000_acquired.nii.gz").data
    levels = np.clip(np.asarray(data) * (255 / np.percentile(data, 99.5)), 0, 255).astype(np.uint8)

    class Slices(QuietHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            if self.path.startswith("/slice/"):
                axis, index = (int(part) for part in self.path.split("/")[2:])
                content, kind = png(np.take(levels, index, axis).T[::-1, ::-1]), "image/png"
            else:
                content, kind = SERVED.encode(), "text/html"
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Slices) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with browser() as started:
            page = started.open()
            page.go(f"http://127.0.0.1:{server.server_address[1]}/")
            page.wait("window.first", 60)
            what = "slices drawn by the server, same machine"
            print(f"{what}: first picture {page.evaluate('window.first'):.0f} ms after the script runs")
            print_slices(f"{what}: slice change, three planes", page.evaluate(SERVED_SLICES))
        server.shutdown()


def niivue(folder: Path, installed: Path) -> None:
    """The same head in NiiVue (WebGL drawn by the processor, as on a machine without a GPU)."""
    write_pair(folder, 0, ONE_MM)
    volume = read_volume(folder / "c000_acquired.nii.gz")
    write_volume(folder / "head.nii", Volume(volume.data.astype(np.int16), volume.affine))
    (folder / "index.html").write_text(NIIVUE)
    (folder / "node_modules").symlink_to(installed.resolve() / "node_modules")
    handler = functools.partial(QuietHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with browser(flags=WEBGL) as started:
            page = started.open()
            page.go(f"http://127.0.0.1:{server.server_address[1]}/index.html")
            try:
                page.wait("window.first", 60)
            except RecontrastError:
                thrown = [report["exceptionDetails"] for report in page.reports("Runtime.exceptionThrown")]
                logged = [report["entry"]["text"] for report in page.reports("Log.entryAdded")]
                print(f"NiiVue did not start: {thrown} {logged}")
                return
            print(f"NiiVue: first picture {page.evaluate('window.first'):.0f} ms after its script runs")
            print_slices("NiiVue: slice change, three planes", page.evaluate(NIIVUE_SLICES))
        server.shutdown()
    size = (installed / "node_modules/@niivue/niivue/dist/niivue.umd.js").stat().st_size
    pages = Path(__file__).parents[1] / "src" / "recontrast" / "readers" / "page"
    own = sum(file.stat().st_size for file in pages.iterdir())
    print(f"size of what the browser loads: NiiVue {size / 1e6:.1f} MB, own page {own / 1e3:.0f} kB")


def ten_windows(folder: Path) -> None:
    """Ten readers at once in ten windows of one browser, 1 mm heads: browser and server share the machine."""
    study = make_study(folder, 3, ONE_MM, 10)

    def read(page: Page, link: str) -> tuple[list[float], int]:
        page.go(link)
        page.wait("document.querySelector('#go') && !document.querySelector('#go').hidden", 300)
        waits, item = [], ""
        while item != "end":
            before, start = item, time.perf_counter()
            page.key("Enter")
            item = page.wait(
                f"(({ITEM}) && document.body.dataset.item !== '{before}' && document.body.dataset.item) || "
                "(/All items are answered/.test(document.querySelector('#screen').innerText) ? 'end' : '')", 300,
            )  # fmt: skip
            waits.append(time.perf_counter() - start)
            page.wheel("canvas.large", -120) if item != "end" else None
            page.key("1")
            page.key("3")
        wrong = len(page.reports("Runtime.exceptionThrown"))
        wrong += sum(told["response"]["status"] != 200 for told in page.reports("Network.responseReceived"))
        return waits, wrong

    with Served(study) as server, browser() as started:
        links = [f"http://127.0.0.1:{server.port}/#{secret}" for secret in secrets_of(study).values()]
        pages = [started.open(window=True) for _ in links]
        with ThreadPoolExecutor(10) as pool:
            told = list(pool.map(read, pages, links))
    waits = [wait for one, _ in told for wait in one]
    stored = sum(r.kind == "answer" for r in read_records(study / "answers.sqlite"))
    print(
        f"ten readers in ten windows, 1 mm heads: {stored} of 60 answers stored, "
        f"{sum(wrong for _, wrong in told)} errors, "
        f"next item median {statistics.median(waits):.2f} s, longest {max(waits):.2f} s"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--niivue", type=Path, default=None)
    parser.add_argument("--only", default="speed,served,niivue,windows")
    options = parser.parse_args()
    jobs = {"speed": speed, "served": served_slices, "windows": ten_windows}
    if options.niivue:
        jobs["niivue"] = functools.partial(niivue, installed=options.niivue)
    for name in options.only.split(","):
        if name in jobs:
            with tempfile.TemporaryDirectory() as folder:
                jobs[name](Path(folder))


if __name__ == "__main__":
    main()
