"""What a worker of `evaluate` needs, imported at once: cases, and the members of families that are else found later.

`recontrast evaluate` imports this in the process from which its workers are forked, so that none of them imports it;
where workers are started instead, each does so before its first case, to find `get_ready`.
"""

from __future__ import annotations

from recontrast.evaluation import cases
from recontrast.evaluation.controls import CONTROLS
from recontrast.evaluation.protocols import PROTOCOLS
from recontrast.metrics import METRICS

__all__ = ["cases", "get_ready"]

for _family in (CONTROLS, METRICS, PROTOCOLS):
    _family.names()


def get_ready() -> None:
    """Called in a worker before its first case; to find this function it has imported all of the above."""
