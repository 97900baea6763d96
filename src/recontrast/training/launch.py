"""Where a training runs: on a graphics processor or not, in one process or in several ranks."""

from __future__ import annotations

import dataclasses
import functools
from typing import TYPE_CHECKING, Any

from recontrast import errors
from recontrast.errors import RecontrastError
from recontrast.execution.runtime import choose_precision

if TYPE_CHECKING:
    from recontrast.training.loop import Job, Learned
    from recontrast.training.plan import LoopSettings


def on_gpu(accelerator: str) -> bool:
    """Whether training will run on a graphics processor: there is one, and `loop.accelerator` does not refuse it."""
    import torch

    return accelerator != "cpu" and torch.cuda.is_available()


def precision_of(loop: LoopSettings) -> str:
    """The precision that training will compute in, "fp32" or "bf16"."""
    import torch

    return choose_precision(loop.precision, accelerated=on_gpu(loop.accelerator) and torch.cuda.is_bf16_supported())


def launch(job: Job) -> Learned:
    """Start the ranks and train; Lightning Fabric brings device and ranks.

    Args:
        job: What to train; its precision is decided here.

    Raises:
        RecontrastError: What a rank raised.
    """
    from lightning_fabric import Fabric
    from torch.multiprocessing.spawn import ProcessRaisedException

    from recontrast.training.loop import Learned, State

    loop = job.plan.loop
    fabric = Fabric(
        accelerator="cuda" if on_gpu(loop.accelerator) else "cpu",
        devices=loop.devices,
        strategy="auto" if loop.devices == 1 else "ddp_spawn",
    )
    # Fabric takes arguments and results apart and refuses frozen dataclasses: the job is bound, the result plain.
    start = functools.partial(_learn_plainly, job=dataclasses.replace(job, precision=precision_of(loop)))
    try:
        plain = fabric.launch(start)
    except ProcessRaisedException as error:
        raise error_of_rank(error) from error
    return Learned(**{**plain, "state": State(**plain["state"])})


def _learn_plainly(fabric: Any, job: Job) -> dict[str, Any]:
    from recontrast.training.loop import learn

    return dataclasses.asdict(learn(fabric, job))


def error_of_rank(error: Exception) -> Exception:
    """Our own error, when that is what a rank raised; the last line of its traceback names it."""
    name, _, message = str(error).strip().splitlines()[-1].partition(": ")
    kind = getattr(errors, name.removeprefix("recontrast.errors."), None)
    return kind(message) if isinstance(kind, type) and issubclass(kind, RecontrastError) else error
