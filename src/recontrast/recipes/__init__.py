"""Ways of learning; one file each."""

from __future__ import annotations

from typing import Any

from recontrast.registry import Registry

RECIPES: Registry[Any] = Registry("recipe", "recontrast.recipes")
