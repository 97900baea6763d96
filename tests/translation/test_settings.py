"""Settings of `translate`: light, and single."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from recontrast.errors import UnknownNameError
from recontrast.translation.command import translate
from recontrast.translation.settings import TranslateSettings


def test_nothing_large_is_imported() -> None:
    code = (
        "import sys, recontrast.translation.settings; "
        "print([name for name in ('numpy', 'nibabel', 'pandas', 'torch') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


def test_a_type_that_cannot_be_stored_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="float32"):
        translate(TranslateSettings(run=tmp_path, input=tmp_path, out=tmp_path / "out", dtype="float23"))  # type: ignore[arg-type]
