"""`readers serve`: where it listens, one server a study, clear lines."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from recontrast.errors import ConfigError, LayoutError
from recontrast.readers.serve import ServeSettings, _alone, _is_loopback, _socket, serve, study_folder


def test_this_machine_only_unless_told_otherwise() -> None:
    assert ServeSettings(study=Path("s")).host == "127.0.0.1"
    assert [_is_loopback(host) for host in ("127.0.0.1", "::1", "localhost", "0.0.0.0", "example.org")] == [
        True, True, True, False, False,
    ]  # fmt: skip
    with _socket(ServeSettings(study=Path("s"), port=0)) as listening:
        assert listening.getsockname()[0] == "127.0.0.1"


def test_a_taken_port_and_no_study_are_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        taken.listen()
        settings = ServeSettings(study=tmp_path, port=taken.getsockname()[1])
        with pytest.raises(ConfigError, match="cannot listen"), _socket(settings):
            pass
    with pytest.raises(LayoutError, match="is no study"):
        serve(ServeSettings(study=tmp_path))


@pytest.mark.slow
def test_a_design_is_made_and_served_by_one_command_and_made_once(
    write_images: Any, serving: Any, tmp_path: Path
) -> None:
    write_images(tmp_path, 2)
    arms = "".join(f'[[arms]]\nname = "{arm}"\nfiles = "{{case}}_{arm}.nii.gz"\n' for arm in ("acquired", "computed"))
    (tmp_path / "mine.toml").write_text(f'design = "hagiwara2019"\nreaders = ["A"]\ngap = 1\n{arms}')
    command = [sys.executable, "-m", "recontrast", "readers", "serve", str(tmp_path / "mine.toml"), "--port", "0"]
    secrets = []
    for _ in range(2):
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert process.stderr is not None
        line = next(line for line in process.stderr if line.startswith("serving"))
        port = int(line.split(" (")[0].rpartition(":")[2])
        link = (tmp_path / "mine" / "links.tsv").read_text().split("\t")[-1].strip()
        secrets.append(link.partition("#")[2])
        request = urllib.request.Request(f"http://127.0.0.1:{port}/api/state")
        request.add_header("Authorization", f"Bearer {secrets[-1]}")
        with urllib.request.urlopen(request, timeout=60) as response:
            assert json.load(response)["title"] == "Lesions and artefacts"
        process.terminate()
        process.wait(60)
        process.stderr.close()
    assert secrets[0] == secrets[1]
    (tmp_path / "nothing").touch()
    with pytest.raises(ConfigError, match="neither a study folder nor a design"):
        study_folder(tmp_path / "nothing", "http://localhost:1")


def test_a_design_changed_since_its_study_was_made_is_said(make_study: Any, caplog: pytest.LogCaptureFixture) -> None:
    folder = make_study().folder
    design = folder.with_name("study.toml")
    design.write_bytes(folder.with_name("design.toml").read_bytes())
    assert study_folder(design, "http://localhost:1") == folder
    assert "was changed" not in caplog.text
    design.write_text(design.read_text().replace("gap = 1", "gap = 2"))
    study_folder(design, "http://localhost:1")
    assert "was changed since" in caplog.text


def test_one_server_a_study(make_study: Any) -> None:
    folder = make_study().folder
    with _alone(folder), pytest.raises(ConfigError, match="being served already"):
        serve(ServeSettings(study=folder, port=0))
