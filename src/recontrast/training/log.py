"""What a run says while it learns: `log.jsonl`, TensorBoard when asked for, and one live line on a terminal."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from recontrast.atomic import make_folder, output_error, write_text
from recontrast.errors import DependencyError

logger = logging.getLogger(__name__)

FILE_NAME = "log.jsonl"


class RunLog:
    """The log of one run.

    Args:
        run: The run's folder.
        tensorboard: Whether to write `RUN/tensorboard` as well.
        resumed_at: Step from which the run goes on: later lines of the former part are dropped; None: a new log.

    Raises:
        DependencyError: TensorBoard is asked for and not installed.
        OutputError: The log cannot be written.

    Example:
        >>> with RunLog(Path("run")) as log:  # doctest: +SKIP
        ...     log.write("step", step=1, loss=0.5)
    """

    def __init__(self, run: Path, *, tensorboard: bool = False, resumed_at: int | None = None) -> None:
        self.path = make_folder(run) / FILE_NAME
        self._board = _board(run / "tensorboard", resumed_at) if tensorboard else None
        kept = [] if resumed_at is None else _lines_until(self.path, resumed_at)
        write_text(self.path, "".join(kept))

    def __enter__(self) -> RunLog:
        return self

    def __exit__(self, *_: object) -> None:
        if self._board is not None:
            self._board.close()

    def write(self, event: str, **content: Any) -> None:
        """Append one line; numbers that are not finite become null.

        Raises:
            OutputError: The disk is full, and the like.
        """
        line = json.dumps({"event": event, **_finite(content)}, ensure_ascii=False, allow_nan=False)
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(line + "\n")
        except OSError as error:
            raise output_error(self.path, error) from error
        if self._board is not None and event in ("step", "validation"):
            for name, value in _scalars(event, content):
                self._board.add_scalar(name, value, content["step"])


class LiveLine:
    """One line on the terminal's error stream: step, loss, validation, time left. Elsewhere a line a validation.

    Args:
        enabled: Whether to show anything (rank 0 only).
    """

    def __init__(self, enabled: bool = True) -> None:
        console = Console(stderr=True)
        self._live = enabled and console.is_terminal
        self._say = enabled
        columns = (TextColumn("train"), BarColumn(bar_width=20), TextColumn("{task.fields[text]}"))
        self._bar = Progress(*columns, console=console, disable=not self._live)
        self._task = self._bar.add_task("train", total=1.0, text="starting")
        self._validation = ""

    def __enter__(self) -> LiveLine:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def step(self, step: int, loss: float, fraction: float, seconds: float) -> None:
        """Show a step.

        Args:
            step: Steps done.
            loss: Training loss.
            fraction: Part of the nearest budget that is used up, 0 to 1.
            seconds: Time since the start of this part of the run.
        """
        if self._live:
            self._bar.update(self._task, completed=fraction, text=self._text(step, loss, fraction, seconds))

    def validation(
        self, step: int, loss: float, metric: str, value: float, best: bool, fraction: float, seconds: float
    ) -> None:
        """Show a validation; the first arguments as for `step`."""
        self._validation = f"validation {metric} {value:.4g}{' (best)' if best else ''}"
        if self._live:
            self.step(step, loss, fraction, seconds)
        elif self._say:
            logger.info("%s", self._text(step, loss, fraction, seconds))

    def _text(self, step: int, loss: float, fraction: float, seconds: float) -> str:
        left = "" if fraction <= 0 else f"{timedelta(seconds=round(seconds * (1 - fraction) / fraction))} left"
        parts = (f"step {step}", f"loss {loss:.4g}", self._validation, left)
        return " · ".join(part for part in parts if part)


def read_log(run: Path) -> list[dict[str, Any]]:
    """Events of a run's log, in order; empty when there is none. A last line cut off by a kill is left out."""
    path = run / FILE_NAME
    events = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
        try:
            events.append(json.loads(line))
        except json.JSONDecodeError:
            logger.debug("%s: a line that was not finished is left out", path)
    return events


def _lines_until(path: Path, step: int) -> list[str]:
    kept = [e for e in read_log(path.parent) if e.get("event") != "end" and e.get("step", 0) <= step]
    return [json.dumps(event, ensure_ascii=False) + "\n" for event in kept]


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _scalars(event: str, content: Mapping[str, Any]) -> list[tuple[str, float]]:
    if event == "validation":
        return [(f"validation/{name}", value) for name, value in content["metrics"].items()]
    named = {"loss": content["loss"], "learning rate": content["lr"], "seconds a step": content["seconds"]}
    return [(f"training/{name}", value) for name, value in (named | dict(content["parts"])).items()]


def _board(folder: Path, resumed_at: int | None) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise DependencyError(
            "loop.tensorboard needs the package tensorboard: pip install 'recontrast[tensorboard]', or leave it off; "
            "log.jsonl holds the same numbers"
        ) from error
    # What is logged from this step on is dropped there.
    return SummaryWriter(str(folder), purge_step=None if resumed_at is None else resumed_at + 1)
