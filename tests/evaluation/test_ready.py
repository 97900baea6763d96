"""What the workers of `evaluate` are forked with."""

from __future__ import annotations

import subprocess
import sys

CODE = """
import sys
import recontrast.evaluation.ready
before = set(sys.modules)
from recontrast.evaluation.cases import evaluate_case
from recontrast.evaluation.controls import CONTROLS
from recontrast.evaluation.protocols import PROTOCOLS
from recontrast.metrics import METRICS
for family in (CONTROLS, METRICS, PROTOCOLS):
    assert list(family.items())
print(*(set(sys.modules) - before))
"""


def test_nothing_is_left_to_import() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], check=True, capture_output=True, text=True)
    assert done.stdout.split() == []
