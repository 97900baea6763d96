"""Choose the fastest engine that agrees with PyTorch in fp32 on the image at hand."""

from __future__ import annotations

import itertools
import logging
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol, cast, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from recontrast.errors import ConfigError, DependencyError, RecontrastWarning, UnknownNameError
from recontrast.execution.runtime import supports_int8
from recontrast.translation.engines import openvino
from recontrast.translation.engines.pytorch import Precision, PyTorchEngine, has_bf16

log = logging.getLogger(__name__)

EngineName = Literal["auto", "torch", "compiled", "openvino"]
PrecisionName = Literal["auto", "fp32", "bf16", "int8"]
DeviceName = Literal["auto", "cpu", "cuda"]

TOLERANCE = 0.005
"""Largest root-mean-square difference from fp32, relative to the network's range: 46 dB, far below the error of any
translator, so that a score does not move in the digits that are reported."""

PROBE_SLICES = 3
"""Slices of each image on which the agreement is measured."""

WIDER_SLICES = 9
"""Slices of each image on which the ranges of int8 are measured."""

PROBE_VOXELS = (64, 64, 32)
"""Size of the part of a volume, around its middle, on which the agreement is measured."""

_TRIED_SECONDS = 0.3
"""A reference that takes longer is not tried in another way."""


class Engine(Protocol):
    """A way to run a network."""

    name: str
    version: str
    precision: Precision

    def __call__(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Output of the network, float32, for a batch (B, C, I, J[, K])."""


@dataclass(frozen=True, kw_only=True)
class EngineSettings:
    """How a network is run."""

    engine: EngineName = "auto"
    """auto (the fastest there is), torch, compiled (PyTorch compiled, a minute at first), openvino."""

    precision: PrecisionName = "auto"
    """auto (bf16 where the processor has it and it agrees with fp32), fp32, bf16, int8 (where it agrees, else auto)."""

    device: DeviceName = "auto"
    """auto (a GPU when there is one), cpu, cuda."""

    batch: int = 0
    """Slices at a time; 0: 2 on a processor, whose cache they fit, 32 on a GPU. Volumes go one by one."""

    memory_gb: float = 0.0
    """Volumes: working memory of the network in GB; larger heads go in windows; 0: half of what the device has."""

    window: int = 0
    """Volumes: largest size of a window along each axis in voxels; 0: as the memory allows."""

    overlap: float = 0.25
    """Volumes: part of a window that its neighbour covers too."""

    def __post_init__(self) -> None:
        """Refuse unknown names."""
        for kind, value, names in (
            ("engine", self.engine, EngineName),
            ("precision", self.precision, PrecisionName),
            ("device", self.device, DeviceName),
        ):
            if value not in get_args(names):
                raise UnknownNameError.among(kind, value, get_args(names))
        if self.precision == "int8" and (self.engine not in ("auto", "openvino") or self.device == "cuda"):
            raise ConfigError(
                f"precision int8 needs OpenVINO and a processor, not engine {self.engine}, device {self.device}; leave "
                "both out, or choose --precision auto"
            )
        if min(self.memory_gb, self.window) < 0 or not 0 <= self.overlap < 1:
            raise ConfigError(
                "memory and window must not be negative, the overlap at least 0 and below 1; got "
                f"{self.memory_gb}, {self.window} and {self.overlap}"
            )
        if self.batch < 0:
            raise ConfigError(f"batch must be at least 1 slice (0: chosen for the device), got {self.batch}")


@dataclass(frozen=True)
class Choice:
    """An engine, and how far it is from PyTorch in fp32.

    Attributes:
        engine: The engine.
        rms: Root-mean-square difference on the probed slices, relative to the network's range; 0 for the reference.
    """

    engine: Engine
    rms: float


class Engines:
    """The engines of one network; each is built when first needed and kept.

    Args:
        network: The network; its weights must stay as they are.
        network_range: Lowest and highest value of its output.
        settings: Which engine, precision and device.
        volumes: Whether it sees volumes, one at a time.

    Raises:
        ConfigError: int8 was asked for, and the network sees volumes.
        DependencyError: The engine or device asked for is not there.
    """

    def __init__(
        self, network: nn.Module, network_range: tuple[float, float], settings: EngineSettings, *, volumes: bool = False
    ) -> None:
        self._network = network
        self._range = network_range[1] - network_range[0]
        self._settings = settings
        self._built: dict[tuple[str, Precision], Engine] = {}
        self._unusable: set[tuple[str, Precision]] = set()
        self._twice: bool | None = None
        self.device = _device(settings.device)
        if settings.engine == "openvino" or settings.precision == "int8":
            self.device = "cpu"
        self.batch = 1 if volumes else settings.batch or (2 if self.device == "cpu" else 32)
        if settings.engine == "openvino" or settings.precision == "int8":
            self._engine("openvino", "fp32")  # says at once when it is not installed
        if settings.precision == "int8" and volumes:
            raise ConfigError("precision int8 is for networks that see slices; choose --precision auto for this one")
        if settings.precision == "int8" and not supports_int8():
            log.warning("precision int8: this processor has no instructions for it (VNNI); it will be slower than auto")
        if settings.precision == "bf16" and not has_bf16(self.device):
            log.warning("precision bf16: this processor has no bfloat16 units; it will be slower than fp32")

    def choose(self, probe: NDArray[np.float32], more: Callable[[], NDArray[np.float32]] | None = None) -> Choice:
        """The first engine, fastest first, whose output for `probe` is close enough to the reference.

        An engine that was asked for by name is used even when it is not close, with a warning; but int8, whose ranges
        are measured on a part of the image, never is.

        Args:
            probe: A few slices of the image, (B, C, I, J), or a small part of a volume, (1, C, I, J, K).
            more: Gives more slices, from which int8 learns how far its values reach; left out: the probe.
        """
        candidates = [c for c in self._candidates() if c not in self._unusable]
        if candidates == [("torch", "fp32")]:
            return Choice(self._engine("torch", "fp32"), 0.0)
        reference = self._reference(probe)
        for name, precision in candidates:
            if (name, precision) == ("torch", "fp32"):
                break
            try:
                engine = self._engine(name, precision)
                if precision == "int8":
                    cast(openvino.OpenVINOEngine, engine).adapt(probe if more is None else more())
                rms = float(np.sqrt(np.mean(np.square(engine(probe) - reference), dtype=np.float64))) / self._range
            except DependencyError as error:
                if self._settings.engine != "auto":
                    raise
                alone = precision == "int8"  # what integers cannot do, the same engine may do without them
                log.warning("%s; %s", error, "it is run without" if alone else "PyTorch is used instead")
                self._unusable |= {c for c in candidates if c[0] == name and (not alone or c[1] == precision)}
                return self.choose(probe, more)
            if rms <= TOLERANCE:
                return Choice(engine, rms)
            log.info("%s in %s differs from fp32 by %.4f of the range, more than %.4f", name, precision, rms, TOLERANCE)
            if (name, precision) == candidates[-1]:
                warnings.warn(
                    f"{name} in {precision} differs from PyTorch in fp32 by {rms:.4f} of the range (root mean square, "
                    f"tolerance {TOLERANCE}); use --precision fp32 --engine torch when that matters",
                    RecontrastWarning,
                    stacklevel=2,
                )
                return Choice(engine, rms)
        return Choice(self._engine("torch", "fp32"), 0.0)

    def _reference(self, probe: NDArray[np.float32]) -> NDArray[np.float32]:
        """What the network makes in fp32."""
        run = self._engine("torch", "fp32")
        if self.device != "cpu" or probe.ndim != 5 or len(probe) != 1:
            return run(probe)
        if self._twice:
            return run(np.concatenate([probe, probe]))[:1]
        begun = time.perf_counter()
        made = run(probe)
        alone = time.perf_counter() - begun
        if self._twice is None:
            # PyTorch leaves small layers of a single volume to a kernel that knows no vectors: two may take half of the
            # time of one. Which holds for this network is tried once, where the trial is short.
            self._twice = alone < _TRIED_SECONDS and _seconds(run, np.concatenate([probe, probe])) < alone
        return made

    def _candidates(self) -> list[tuple[str, Precision]]:
        names = [self._settings.engine]
        if self._settings.engine == "auto":
            names = ["openvino", "torch"] if self.device == "cpu" and openvino.installed() else ["torch"]
        precisions: list[Precision]
        if self._settings.precision in ("fp32", "bf16"):
            precisions = [self._settings.precision]
        else:
            precisions = ["bf16", "fp32"] if has_bf16(self.device) else ["fp32"]
        first: list[tuple[str, Precision]] = [("openvino", "int8")] if self._settings.precision == "int8" else []
        return [*first, *itertools.product(names, precisions)]

    def _engine(self, name: str, precision: Precision) -> Engine:
        key = (name, precision)
        if key not in self._built:
            if name == "openvino":
                self._built[key] = openvino.OpenVINOEngine(self._network, precision, self.batch)
            else:
                self._built[key] = PyTorchEngine(self._network, precision, self.device, compiled=name == "compiled")
        return self._built[key]


def _seconds(run: Engine, batch: NDArray[np.float32]) -> float:
    begun = time.perf_counter()
    run(batch)
    return time.perf_counter() - begun


def _device(name: DeviceName) -> str:
    if name == "cuda" and not torch.cuda.is_available():
        raise DependencyError("device cuda: PyTorch finds no GPU here; choose --device cpu or install its CUDA build")
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return name
