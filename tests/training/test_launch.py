"""Where a training runs, and whose error a rank's is."""

from __future__ import annotations

import pytest
import torch

from recontrast.errors import TrainingError
from recontrast.training.launch import error_of_rank, on_gpu, precision_of
from recontrast.training.plan import LoopSettings


def test_a_graphics_processor_that_is_refused_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)
    assert on_gpu("auto")
    assert not on_gpu("cpu")
    assert precision_of(LoopSettings(steps=1)) == "bf16"
    assert precision_of(LoopSettings(steps=1, precision="fp32")) == "fp32"


def test_without_one_the_processor_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert not on_gpu("auto")


@pytest.mark.parametrize(
    ("last", "kind"),
    [("recontrast.errors.TrainingError: the loss of step 3 is nan", TrainingError), ("ValueError: no", RuntimeError)],
)
def test_an_error_of_ours_comes_back_from_a_rank_as_it_was(last: str, kind: type[Exception]) -> None:
    raised = RuntimeError(
        f"-- Process 1 terminated with the following error:\nTraceback (most recent call last):\n{last}"
    )
    found = error_of_rank(raised)
    assert type(found) is kind
    if kind is TrainingError:
        assert str(found) == "the loss of step 3 is nan"
    else:
        assert found is raised
