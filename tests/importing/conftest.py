"""The small DICOM series of tests/io/dicom, for these tests too."""

from __future__ import annotations

import importlib.util
from pathlib import Path

_PATH = Path(__file__).parents[1] / "io" / "dicom" / "conftest.py"
_spec = importlib.util.spec_from_file_location("dicom_series", _PATH)
assert _spec is not None
assert _spec.loader is not None
_series = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_series)

make_series = _series.make_series
save_image = _series.save_image
validate = _series.validate
