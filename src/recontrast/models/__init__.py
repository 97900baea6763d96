"""Networks; one file per architecture."""

from __future__ import annotations

from typing import Any

from recontrast.registry import Registry

MODELS: Registry[Any] = Registry("model", "recontrast.models")

DISCRIMINATORS: Registry[Any] = Registry("discriminator", "recontrast.models")
"""Networks that judge images: (B, C, I, J[, K]) to logits, or a list of them; used by adversarial recipes."""
