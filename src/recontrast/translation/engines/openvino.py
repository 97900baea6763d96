"""OpenVINO: the fastest way on x86 processors; an optional package (`pip install recontrast[fast]`)."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import logging
import warnings
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from recontrast.errors import DependencyError
from recontrast.execution.runtime import has_matrix_tiles
from recontrast.translation.engines.phases import in_phases
from recontrast.translation.engines.pytorch import Precision

log = logging.getLogger(__name__)

_HINTS = {"fp32": "f32", "bf16": "bf16"}
_KEPT_SHAPES = 4


def installed() -> bool:
    """Whether the package is there."""
    return importlib.util.find_spec("openvino") is not None


class OpenVINOEngine:
    """Run a network with OpenVINO on the processor.

    The network is traced and converted in memory when a new slice size is met; nothing is written to disk. The
    precision is set explicitly, because OpenVINO would choose bf16 by itself where the processor has it. Shapes are
    fixed: input of any length is worked off `batch` slices at a time, the last of them filled up with zeros.

    Args:
        network: The network, on the CPU.
        precision: fp32 or bf16.
        batch: Slices at a time.

    Raises:
        DependencyError: OpenVINO is not installed.
    """

    name = "openvino"

    def __init__(self, network: nn.Module, precision: Precision = "fp32", batch: int = 2) -> None:
        if not installed():
            raise DependencyError(
                "engine 'openvino' needs the package openvino: `pip install recontrast[fast]`, or choose --engine torch"
            )
        self.version = importlib.metadata.version("openvino")
        self.precision = precision
        self.batch = batch
        self._network = network
        self._compiled: dict[tuple[int, ...], Any] = {}

    def __call__(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Output of the network, float32, for a batch (B, C, I, J[, K]).

        Raises:
            DependencyError: OpenVINO cannot convert this network.
        """
        shape = (self.batch, *batch.shape[1:])
        if shape not in self._compiled:
            if len(self._compiled) >= _KEPT_SHAPES:
                self._compiled.pop(next(iter(self._compiled)))
            self._compiled[shape] = self._compile(shape)
        pieces = []
        for start in range(0, len(batch), self.batch):
            piece = batch[start : start + self.batch]
            if len(piece) < self.batch:
                piece = np.concatenate([piece, np.zeros((self.batch - len(piece), *shape[1:]), np.float32)])
            result = self._compiled[shape].infer([piece], share_inputs=True)[0]
            pieces.append(np.array(result, dtype=np.float32))
        return np.concatenate(pieces)[: len(batch)]

    def _compile(self, shape: tuple[int, ...]) -> Any:
        import openvino

        training = self._network.training
        self._network.eval()
        try:
            model = converted(self._network, shape)
            if self.precision == "bf16" and not has_matrix_tiles():
                in_phases(model)  # else its transposed convolutions stay in fp32
            settings = {
                "INFERENCE_PRECISION_HINT": _HINTS[self.precision],
                "PERFORMANCE_HINT": "LATENCY",
                "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            }
            return openvino.Core().compile_model(model, "CPU", settings).create_infer_request()
        except Exception as error:  # the frontend raises many kinds, none of them ours
            line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise DependencyError(
                f"OpenVINO {self.version} cannot run this network ({line}); choose --engine torch"
            ) from error
        finally:
            self._network.train(training)


def converted(network: nn.Module, shape: tuple[int, ...]) -> Any:
    """The `openvino.Model` of a network in evaluation mode, for input of one shape.

    Args:
        network: The network, on the CPU.
        shape: (B, C, I, J[, K]).
    """
    import openvino
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    with torch.no_grad(), warnings.catch_warnings():
        # Tracing warns of branches on the size of the input, which is fixed here, and of its own old age.
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(network, torch.zeros(1, *shape[1:]), check_trace=False)  # type: ignore[no-untyped-call]
        # openvino.convert_model does the same, but reports usage statistics over the network first.
        frontend = FrontEndManager().load_by_framework("pytorch")
        decoder = TorchScriptPythonDecoder(traced)  # named, for OpenVINO does not keep it alive
        model = frontend.convert(frontend.load(decoder))
    model.inputs[0].get_node().set_partial_shape(openvino.PartialShape(list(shape)))
    model.validate_nodes_and_infer_types()
    return model
