"""A bench made of arrays, and translators whose behaviour is known."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from recontrast.inspection.bench import Bench, InspectedCase
from recontrast.preparation.normalize import Scale
from recontrast.translation.engines.choice import EngineSettings
from recontrast.translation.translator import Member, Translator, TranslatorDescription


class Table(nn.Module):
    """A look-up table: the same curve at every voxel."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 0.1 + 0.8 * (1 - x[:, :1]) ** 2


class Blur(nn.Module):
    """Two 5 x 5 means: it sees 9 x 9 voxels, no more and no less."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(*[nn.Conv2d(1, 1, 5, padding=2, bias=False) for _ in range(2)])
        for layer in self.layers:
            nn.init.constant_(layer.weight, 1 / 25)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)


class Blind(nn.Module):
    """Paints the same grey everywhere: no lesion can pass."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 0.0 * x[:, :1] + 0.3


NETWORKS = {"blind": Blind, "table": Table, "blur": Blur, "identity": nn.Identity}


def translator_of(network: nn.Module, sources: tuple[str, ...] = ("T1w",)) -> Translator:
    about = TranslatorDescription(
        preset="toy", sources=sources, target="FLAIR", model=Member(name="toy"), recipe=Member(name="toy"),
        target_scale=Scale("percentile", 0.0, 100.0), spacing_mm=(2.0, 2.0, 2.0), training_subjects=("none",),
    )  # fmt: skip
    return Translator(network.eval(), about, EngineSettings(engine="torch", precision="fp32"))


def head(shape: tuple[int, int, int], seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A T1w-like head, its brain and its white matter."""
    rng = np.random.default_rng(seed)
    i, j, k = np.meshgrid(*[np.linspace(-1, 1, n) for n in shape], indexing="ij")
    radius = np.sqrt((i / 0.85) ** 2 + (j / 0.9) ** 2 + (k / 0.85) ** 2)
    wobble = 0.06 * np.sin(7 * i + seed) * np.cos(6 * j) + 0.03 * np.sin(9 * k + 2 * i)
    brain, white = radius < 1, radius + wobble < 0.75
    values = np.where(white, 0.7, np.where(brain, 0.45, 0.0))
    values = values + brain * (0.02 * rng.standard_normal(shape) + 0.03 * i)
    return values.clip(0).astype(np.float32), brain, white


@pytest.fixture
def make_bench() -> Callable[..., Bench]:
    """A bench of toy heads; `network` names a toy translator, or is a module; "" for images only."""

    def make(
        network: str | nn.Module = "table",
        shape: tuple[int, int, int] = (48, 56, 20),
        cases: int = 2,
        reference: bool = True,
        images_only: bool = False,
    ) -> Bench:
        translator = translator_of(NETWORKS[network]() if isinstance(network, str) else network)
        made = []
        for n in range(cases):
            source, brain, white = head(shape, n)
            acquired = (brain * (0.1 + 0.8 * (1 - source) ** 2)).astype(np.float32) if reference else None
            regions = {"head": brain, "brain": brain, "WM": white}
            # What another program made may be painted in the dark.
            given = {"T1w": source}
            synthetic = translator.network_output(given) if images_only else translator.predict_scaled(given, {})
            affine = np.diag([2.0, 2, 2, 1])
            made.append(
                InspectedCase(f"sub-{n}", {"T1w": source}, synthetic, acquired, regions, affine, (2.0, 2.0, 2.0))
            )
        return Bench("FLAIR", ("T1w",), tuple(made), None if images_only else translator, (), 7)

    return make
