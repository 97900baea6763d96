"""Networks; one file per architecture."""

from __future__ import annotations

from typing import Any

from recontrast.registry import Registry

MODELS: Registry[Any] = Registry("model", "recontrast.models")
