"""What training minimises; one file per family."""

from __future__ import annotations

from typing import Any

from recontrast.registry import Registry

LOSSES: Registry[Any] = Registry("loss", "recontrast.losses")
