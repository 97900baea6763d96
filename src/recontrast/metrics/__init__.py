"""Numbers on arrays; one file per metric family."""

from __future__ import annotations

from typing import Any

from recontrast.registry import Registry

METRICS: Registry[Any] = Registry("metric", "recontrast.metrics")
