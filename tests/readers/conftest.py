"""Small studies, and servers of them in processes of their own, asked over real sockets."""

from __future__ import annotations

import http.client
import json
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recontrast.io.nifti import write_volume
from recontrast.readers.new import NewSettings, new_study
from recontrast.volume import Volume

SHAPE = (18, 22, 16)


def write_cases(folder: Path, cases: int = 5, shape: tuple[int, int, int] = SHAPE) -> None:
    """Two files a case that differ in everything but the kind of picture: number type, scale, axes, header."""
    for case in range(cases):
        rng = np.random.default_rng(case)
        i, j, k = np.meshgrid(*[np.linspace(-1, 1, n) for n in shape], indexing="ij")
        radius = np.sqrt((i / 0.8) ** 2 + (j / 0.85) ** 2 + (k / 0.8) ** 2)
        head = np.where(radius < 1, 300.0, 0.0)
        head[radius < 0.8] = 600.0
        head[(radius < 0.4) & (i > 0.1)] = 900.0
        affine = np.diag([2.0, 2.0, 3.0, 1.0])
        affine[:3, 3] = (-18.0, -22.0, -24.0)
        acquired = Volume((np.abs(head + 15 * rng.standard_normal(shape)) / 4).astype(np.int16), affine)
        computed = Volume((np.abs(head + 15 * rng.standard_normal(shape)) / 900).astype(np.float32), affine)
        write_volume(folder / f"sub-{case:02d}_acquired.nii.gz", acquired)
        write_volume(folder / f"sub-{case:02d}_computed.nii.gz", computed.reoriented("LPS"))


DESIGN = """
design = "{design}"
readers = ["A", "B", "C"]
seed = 7
gap = 1
{more}
[[arms]]
name = "acquired"
files = "{{case}}_acquired.nii.gz"
[[arms]]
name = "synthetic"
files = "{{case}}_computed.nii.gz"
"""


@dataclass
class Made:
    """A study folder with its secrets."""

    folder: Path
    links: dict[str, str]

    def secret(self, reader: str) -> str:
        return self.links[reader].rpartition("#")[2]


@pytest.fixture
def write_images() -> Callable[..., None]:
    return write_cases


@pytest.fixture(scope="session")
def make_study(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Made]:
    def make(design: str = "mta", more: str = "", cases: int = 5, text: str = DESIGN) -> Made:
        folder = tmp_path_factory.mktemp("study")
        write_cases(folder, cases)
        (folder / "design.toml").write_text(text.format(design=design, more=more))
        new_study(NewSettings(design=folder / "design.toml", out=folder / "study"))
        rows = (folder / "study" / "links.tsv").read_text().splitlines()[1:]
        return Made(folder / "study", dict(row.split("\t") for row in rows))

    return make


@dataclass
class Server:
    """A running server and how it is asked."""

    port: int
    process: subprocess.Popen[str]
    study: Made

    def link(self, reader: str) -> str:
        return f"http://127.0.0.1:{self.port}/#{self.study.secret(reader)}"

    def ask(
        self, method: str, path: str, reader: str = "", body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of the answer to one request."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        sent = {"Authorization": f"Bearer {self.study.secret(reader)}"} if reader else {}
        content = body if isinstance(body, bytes | type(None)) else json.dumps(body).encode()
        try:
            connection.putrequest(method, path, skip_host="Host" in (headers or {}))
            given = {
                **sent,
                **({"Content-Length": str(len(content))} if content is not None else {}),
                **(headers or {}),
            }
            for name, value in given.items():
                connection.putheader(name, value)
            connection.endheaders(content)
            response = connection.getresponse()
            return response.status, {k.lower(): v for k, v in response.getheaders()}, response.read()
        finally:
            connection.close()

    def state(self, reader: str) -> dict[str, Any]:
        status, _, body = self.ask("GET", "/api/state", reader)
        assert status == 200, body
        return dict(json.loads(body))

    def record(self, reader: str, item: str, kind: str = "answer", values: Any = None, **more: Any) -> tuple[int, Any]:
        """Status and content of the answer to a record."""
        record = {
            "token": secrets.token_hex(16), "item": item, "kind": kind, "values": values or {}, "milliseconds": 900,
            **more,
        }  # fmt: skip
        status, _, body = self.ask("POST", "/api/records", reader, record)
        return status, json.loads(body)

    def kill(self) -> None:
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait(60)


@contextmanager
def start(study: Made, *options: str) -> Iterator[Server]:
    port = () if "--port" in options else ("--port", "0")
    command = [sys.executable, "-m", "recontrast", "readers", "serve", str(study.folder), *port, *options]
    log = (study.folder.parent / "server.log").open("a")
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=log, text=True)
    try:
        assert process.stderr is not None
        line = process.stderr.readline()
        assert line.startswith("serving"), line
        yield Server(int(line.split(" (")[0].rpartition(":")[2]), process, study)
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(60)
        assert process.stderr is not None
        (study.folder.parent / "refused.log").write_text(process.stderr.read())
        process.stderr.close()
        log.close()


@pytest.fixture(scope="session")
def serving() -> Callable[..., Any]:
    return start


@pytest.fixture(scope="session")
def tab() -> Iterator[Any]:
    """Opens tabs of one headless Chromium."""
    from recontrast.readers.browser import browser, find_program

    if find_program() is None:
        pytest.skip("no Chromium is installed (apt-get install chromium)")
    with browser() as started:
        yield started.open
