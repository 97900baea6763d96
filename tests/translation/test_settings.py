"""Settings of `translate`: light, and single."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from recontrast.errors import UnknownNameError
from recontrast.translation.command import translate
from recontrast.translation.settings import TranslateSettings


def test_nothing_large_is_imported(large_imports: Callable[[str], list[str]]) -> None:
    assert large_imports("recontrast.translation.settings") == []


def test_a_type_that_cannot_be_stored_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="float32"):
        translate(TranslateSettings(run=tmp_path, input=tmp_path, out=tmp_path / "out", dtype="float23"))  # type: ignore[arg-type]
