"""Networks; one file per architecture.

A network with skip connections passes each through its own `nn.Identity` in the list `skips`, finest first: there it
can be looked at, and cut, by whoever asks what it is good for. It holds no weights and does nothing else.
"""

from __future__ import annotations

from typing import Any

from recontrast.registry import Registry

MODELS: Registry[Any] = Registry("model", "recontrast.models")

DISCRIMINATORS: Registry[Any] = Registry("discriminator", "recontrast.models")
"""Networks that judge images: (B, C, I, J[, K]) to logits, or a list of them; used by adversarial recipes."""
