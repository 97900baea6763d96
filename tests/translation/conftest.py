"""Tiny translators: a network that copies one channel, and a small U-Net."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from recontrast.io.bids import write_description
from recontrast.io.nifti import write_volume
from recontrast.models import MODELS
from recontrast.preparation.normalize import Scale
from recontrast.translation.description import Member, TranslatorDescription
from recontrast.translation.translator import save_translator
from recontrast.volume import Volume

UNET = Member(name="unet", options={"width": 4, "depth": 2})
TORCH: dict[str, Any] = {"engine": "torch", "precision": "fp32", "device": "cpu"}


def contents(folder: Path) -> dict[str, bytes]:
    """Images and sidecars of a folder; provenance holds the time and is left out."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "provenance.json"
    }


class Copy(nn.Module):
    """Gives back one input channel, times a weight of 1: what comes out must be what went in."""

    def __init__(self, *, in_channels: int = 1, out_channels: int = 1, spatial_dims: int = 2, channel: int = 0) -> None:
        super().__init__()
        self.channel = channel
        self.weight = nn.Parameter(torch.ones(out_channels, 1, 1))

    def forward(self, source: torch.Tensor) -> torch.Tensor:
        return source[:, self.channel : self.channel + 1] * self.weight


@pytest.fixture(autouse=True)
def copy_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """The network `copy`, in the registry for one test only, so that no contract test meets it."""
    MODELS.names()
    monkeypatch.setitem(MODELS._members, "copy", Copy)


@pytest.fixture
def describe() -> Callable[..., TranslatorDescription]:
    """Make a description: by default T1w to T2w with `copy`, unit scale of the target, spacing of the test volumes."""
    plain = TranslatorDescription(
        preset="test",
        sources=("T1w",),
        target="T2w",
        model=Member(name="copy"),
        recipe=Member(name="supervised"),
        target_scale=Scale("percentile", 0.0, 1000.0),
        spacing_mm=(1.0, 1.5, 3.0),
        trained_steps=7,
        clip_output=False,
    )

    def make(**changes: Any) -> TranslatorDescription:
        return dataclasses.replace(plain, **changes)

    return make


@pytest.fixture
def save(tmp_path: Path, describe: Callable[..., TranslatorDescription]) -> Callable[..., Path]:
    """Save a translator below `tmp_path/run`; returns the run."""

    def make(run: Path | None = None, **changes: Any) -> Path:
        description = describe(**changes)
        options = {"in_channels": description.channels, **description.model.options}
        torch.manual_seed(0)
        network = MODELS.build(description.model.name, options)
        run = run or tmp_path / "run"
        save_translator(run / "translator", network, description)
        return run

    return make


@pytest.fixture
def data_set(tmp_path: Path, make_volume: Callable[..., Volume]) -> Path:
    """A raw BIDS data set: two subjects with T1w and T2w, a third with two sessions, T1w only in the second."""
    root = tmp_path / "bids"
    write_description(root, "scans", version="0")
    images = [
        "sub-01/anat/sub-01_T1w", "sub-01/anat/sub-01_PDw", "sub-02/anat/sub-02_T1w", "sub-02/anat/sub-02_PDw",
        "sub-03/ses-1/anat/sub-03_ses-1_PDw",
        "sub-03/ses-2/anat/sub-03_ses-2_T1w", "sub-03/ses-2/anat/sub-03_ses-2_PDw",
    ]  # fmt: skip
    for seed, name in enumerate(images):
        write_volume(root / f"{name}.nii.gz", make_volume(seed=seed))
    return root
