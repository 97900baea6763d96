"""`translate` on the workers of a Dask cluster: the same bytes as here, and failed cases listed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.translation.conftest import TORCH, contents

from recontrast.translation.command import TranslateSettings, translate

distributed = pytest.importorskip("distributed", reason="Dask is not installed")

pytestmark = [
    pytest.mark.usefixtures("nothing_is_left_to_collect"),
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


def test_the_same_bytes_as_on_this_machine(
    save: Callable[..., Path], data_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = save()
    here = translate(TranslateSettings(run=run, input=data_set, out=tmp_path / "here", **TORCH))
    options = {"processes": False, "n_workers": 1, "threads_per_worker": 1}
    # Port 0: without a dashboard the scheduler still opens port 8787, and warns where another has it.
    options["scheduler_kwargs"] = {"dashboard": False, "dashboard_address": ":0"}
    monkeypatch.chdir(tmp_path)
    with distributed.LocalCluster(host="tcp://127.0.0.1", silence_logs=50, **options) as cluster:
        there = translate(
            TranslateSettings(
                run=Path("run"), input=Path("bids"), out=Path("there"), scheduler=cluster.scheduler_address, **TORCH
            )
        )
        again = translate(
            TranslateSettings(run=run, input=data_set, out=Path("there"), scheduler=cluster.scheduler_address, **TORCH)
        )
    assert list(there.failed) == list(here.failed) == ["sub-03_ses-1"]
    assert contents(tmp_path / "there") == contents(tmp_path / "here")
    assert "3 were finished before" in again.done[0]
