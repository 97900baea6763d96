"""Checkpoints: tensors as safetensors, everything else as JSON. No pickle, and never half of one.

    checkpoints/last/state.json                  written last; names the tensor file that belongs to it
    checkpoints/last/step-00000200.safetensors

A new checkpoint is a new tensor file; the rename of `state.json` makes it the valid one, then the former file goes.
A program killed at any moment leaves the former checkpoint or the new one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from recontrast.atomic import atomic_file, remove_partial_files, write_json
from recontrast.errors import CheckpointError
from recontrast.training.former import STATE

_FORMAT = 1


@dataclass(frozen=True)
class Checkpoint:
    """Tensors by name, and the state that goes with them.

    Attributes:
        tensors: Name to tensor, on the CPU.
        state: What can stand in JSON: step, best score, seconds, …
    """

    tensors: Mapping[str, Tensor]
    state: Mapping[str, Any]

    def part(self, prefix: str) -> dict[str, Tensor]:
        """Tensors whose names start with `prefix.`, without it."""
        start = f"{prefix}."
        return {name.removeprefix(start): value for name, value in self.tensors.items() if name.startswith(start)}


def save_checkpoint(folder: Path, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
    """Save a checkpoint in place of the one in `folder`.

    Args:
        folder: Its folder (`checkpoints/last`).
        tensors: Name to tensor, any device and memory layout.
        state: JSON content with the entry "step".

    Raises:
        OutputError: It cannot be written; the former checkpoint stays.
    """
    file = folder / f"step-{int(state['step']):08d}.safetensors"
    with atomic_file(file) as partial:
        partial.write_bytes(save({name: value.detach().cpu().contiguous() for name, value in tensors.items()}))
    write_json(folder / STATE, {"format": _FORMAT, "tensors": file.name, **state})
    for older in folder.glob("*.safetensors"):
        if older != file:
            older.unlink(missing_ok=True)


def has_checkpoint(folder: Path) -> bool:
    """Whether a whole checkpoint lies in `folder`."""
    return (folder / STATE).is_file()


def read_step(folder: Path) -> int:
    """Step of the checkpoint in `folder`, without loading its tensors."""
    return int(json.loads((folder / STATE).read_text(encoding="utf-8"))["step"])


def load_checkpoint(folder: Path) -> Checkpoint:
    """Load the checkpoint in `folder`.

    Raises:
        CheckpointError: There is none, or it is damaged.
    """
    path = folder / STATE
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
        if state["format"] != _FORMAT:
            raise CheckpointError(f"{path}: checkpoint format {state['format']} of another version of Recontrast")
        tensors = load_file(folder / state["tensors"])
    except FileNotFoundError as error:
        raise CheckpointError(f"{folder}: no checkpoint there ({error.filename or error} is missing)") from error
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, SafetensorError, OSError) as error:
        raise CheckpointError(f"{folder}: the checkpoint is damaged ({error}); train again in a new folder") from error
    remove_partial_files(folder)
    return Checkpoint(tensors, state)
