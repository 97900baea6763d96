"""What a second stage starts from: the last weights of another job, the same ones each time it goes on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from recontrast.atomic import write_json
from recontrast.errors import CheckpointError
from recontrast.provenance import FILE_NAME
from recontrast.training.former import RECORD, content_of, has_begun, last_weights
from recontrast.translation.description import FOLDER


def start_override(run: Path, first: Path) -> str:
    """The `--set` entry that lets a training start from another one's last weights.

    Args:
        run: Folder of the training.
        first: Folder of the finished run it starts from.

    Raises:
        CheckpointError: There are no weights to start from, or the training began with other weights of that run.

    Example:
        >>> start_override(Path("out/runs/a/second"), Path("out/runs/a/first"))  # doctest: +SKIP
        'recipe.options.start="/data/out/runs/a/first"'
    """
    _require_same_weights(run, first)
    return f"recipe.options.start={json.dumps(_as_written(run, first), ensure_ascii=False)}"


def _require_same_weights(run: Path, first: Path) -> None:
    now, record = last_weights(first), run / RECORD
    if not has_begun(run) and not (run / FOLDER / "translator.json").is_file():
        write_json(record, {"job": first.name, "sha256": now})
        return
    if record.is_file():
        same = content_of(record).get("sha256") == now
    else:  # of an older version, which told only when each run was written last
        same = str(content_of(run / FILE_NAME).get("created", "")) >= str(
            content_of(first / FILE_NAME).get("created", "")
        )
    if not same:
        raise CheckpointError(
            f"{run}: began with other weights of {first.name} than that run has now (it was not finished then, or was "
            "trained again since); remove this folder and start the study again"
        )


def _as_written(run: Path, first: Path) -> str:
    """The first stage's folder; as the run's settings have it where they name the same folder in another way."""
    known: Any = content_of(run / FILE_NAME)
    for name in ("plan", "recipe", "options", "start"):
        known = known.get(name) if isinstance(known, dict) else None
    there = str(first.resolve())
    return known if isinstance(known, str) and known and str(Path(known).resolve()) == there else there
