"""`readers serve`: where it listens, one server a study, clear lines."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from recontrast.errors import ConfigError, LayoutError
from recontrast.readers.serve import ServeSettings, _alone, _is_loopback, _socket, serve


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


def test_one_server_a_study(make_study: Any) -> None:
    folder = make_study().folder
    with _alone(folder), pytest.raises(ConfigError, match="being served already"):
        serve(ServeSettings(study=folder, port=0))
