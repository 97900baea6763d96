"""What is known before a network is chosen."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from recontrast.io.nifti import read_volume
from recontrast.preparation.cohort import read_cohort
from recontrast.training.fingerprint import available_memory_gb, take_fingerprint

MakePrepared = Callable[..., Path]


def test_the_fingerprint_of_a_prepared_folder(make_prepared: MakePrepared) -> None:
    cohort = read_cohort(make_prepared(shapes={"02": (24, 20, 12)}))
    about = take_fingerprint(cohort.split("train"), cohort.split("validation"), ("T1w",), 3.0)
    assert (about.subjects, about.validation_subjects, about.sources, about.minutes) == (2, 1, 1, 3.0)
    masks = [read_volume(case.regions["head"], np.uint8).reoriented("RAS") for case in cohort.split("train")]
    extents = [np.ptp(np.argwhere(mask.data), axis=0) + 1 for mask in masks]
    assert about.head == tuple(np.max(extents, axis=0))
    assert about.spacing_mm == pytest.approx(masks[0].spacing, abs=1e-3)


def test_memory_is_what_is_free_or_allowed(tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_text("MemTotal: 9000000 kB\nMemAvailable:    4000000 kB\n")
    (tmp_path / "group").write_text("2000000000\n")
    assert available_memory_gb(tmp_path / "meminfo", tmp_path / "none") == pytest.approx(4.096)
    assert available_memory_gb(tmp_path / "meminfo", tmp_path / "group") == pytest.approx(2.0)


def test_a_graphics_processor_that_is_not_used_does_not_count(
    make_prepared: MakePrepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: SimpleNamespace(total_memory=8e13))
    cases = read_cohort(make_prepared()).split("train")
    assert take_fingerprint(cases, (), ("T1w",), 3.0).accelerator == "cuda"
    about = take_fingerprint(cases, (), ("T1w",), 3.0, "cpu")
    assert (about.accelerator, about.memory_gb < 80_000) == ("cpu", True)
