"""OpenVINO: the fastest way on x86 processors; an optional package (`pip install recontrast[fast]`)."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import logging
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from recontrast.errors import DependencyError
from recontrast.execution.runtime import has_matrix_tiles, supports_bf16
from recontrast.translation.engines.eight_bits import convolutions, integer_inputs, integer_weights, reach, watched
from recontrast.translation.engines.first_layer import exact_first_layer, fold_constants, in_parts
from recontrast.translation.engines.last_layer import exact_last_layer
from recontrast.translation.engines.phases import in_phases
from recontrast.translation.engines.pytorch import Precision

log = logging.getLogger(__name__)

_HINTS = {"fp32": "f32", "bf16": "bf16"}

_Shape = tuple[int, ...]

_Built = TypeVar("_Built")

_KEPT_SHAPES = 4


def installed() -> bool:
    """Whether the package is there."""
    return importlib.util.find_spec("openvino") is not None


class OpenVINOEngine:
    """Run a network with OpenVINO on the processor.

    The network is traced and converted in memory when a new slice size is met; nothing is written to disk. The
    precision is set explicitly, because OpenVINO would choose bf16 by itself where the processor has it. Shapes are
    fixed: input of any length is worked off `batch` slices at a time, the last of them filled up with zeros.

    In bf16 the first layer, where the image goes nowhere else, and a last one that looks at single voxels give nearly
    what they give in fp32 (`first_layer`, `last_layer`): there rounding does most harm.

    In int8 the convolutions multiply integers of eight bits (`eight_bits`), the rest is done in bf16 where the
    processor has it. How far the values in them reach must be measured first: `adapt`.

    Args:
        network: The network, on the CPU.
        precision: fp32, bf16 or int8.
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
        self._compiled: dict[_Shape, Any] = {}
        self._integers: dict[_Shape, tuple[Any, Any]] = {}
        self._reached: NDArray[np.float32] | None = None

    def __call__(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Output of the network, float32, for a batch (B, C, I, J[, K]).

        Raises:
            DependencyError: OpenVINO cannot convert this network.
            ValueError: Precision int8, and `adapt` was not called.
        """
        shape = (self.batch, *batch.shape[1:])
        request, parts = _kept(self._compiled, shape, self._request)
        pieces = []
        for start in range(0, len(batch), self.batch):
            piece = batch[start : start + self.batch]
            if len(piece) < self.batch:
                piece = np.concatenate([piece, np.zeros((self.batch - len(piece), *shape[1:]), np.float32)])
            result = request.infer([in_parts(piece) if parts else piece], share_inputs=True)[0]
            pieces.append(np.array(result, dtype=np.float32))
        return np.concatenate(pieces)[: len(batch)]

    def adapt(self, batch: NDArray[np.float32]) -> None:
        """Int8: measure on a part of an image how far the values in the convolutions reach; other precisions: nothing.

        Every image needs its own, before the first call for it: what one image taught would bind the next, and results
        would depend on their order.

        Args:
            batch: (B, C, I, J[, K]), of any length.

        Raises:
            DependencyError: OpenVINO cannot convert this network, or nothing in it can be done in integers.
        """
        if self.precision != "int8":
            return
        watching, _ = _kept(self._integers, (self.batch, *batch.shape[1:]), self._integer_model)
        last = [len(batch) - 1] * self.batch  # fills up the last piece
        order = [*range(len(batch)), *last[: -len(batch) % self.batch]]
        pieces = [batch[order[start : start + self.batch]] for start in range(0, len(order), self.batch)]
        self._reached = reach([np.array(watching.infer([piece])[0]) for piece in pieces])
        self._compiled.clear()

    def _request(self, shape: _Shape) -> tuple[Any, bool]:
        """A request, and whether it takes the image `in_parts`."""
        if self.precision == "bf16":
            return self._tried(lambda: self._exact_ends(shape))
        if self.precision == "fp32":
            return self._tried(lambda: (_ready(self._model(shape), _HINTS["fp32"]), False))
        if self._reached is None:
            raise ValueError("precision int8: adapt the engine to the image first")
        # Its ends are left as they are: OpenVINO 2026.4 makes another image of integers ahead of such a last layer.
        model = _kept(self._integers, shape, self._integer_model)[1].clone()
        integer_inputs(model, self._reached)
        return self._tried(lambda: (_ready(model, _beside_integers()), False))

    def _exact_ends(self, shape: _Shape) -> tuple[Any, bool]:
        model = self._model(shape)
        exact_last_layer(model)
        parts = exact_first_layer(model)
        return _ready(model, _HINTS["bf16"]), parts

    def _integer_model(self, shape: _Shape) -> tuple[Any, Any]:
        """What watches the convolutions, and the model with integer weights."""

        def build() -> tuple[Any, Any]:
            model = self._model(shape)
            fold_constants(model)
            if not convolutions(model):
                raise ValueError("no convolution after the first, which is all that int8 changes")
            watching = _ready(watched(model), _beside_integers())
            integer_weights(model)
            return watching, model

        return self._tried(build)

    def _model(self, shape: _Shape) -> Any:
        model = converted(self._network, shape)
        if self.precision != "fp32" and not has_matrix_tiles():
            in_phases(model)  # else its transposed convolutions stay in fp32
        return model

    def _tried(self, build: Callable[[], _Built]) -> _Built:
        training = self._network.training
        self._network.eval()
        try:
            return build()
        except Exception as error:  # the frontend raises many kinds, none of them ours
            line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise DependencyError(
                f"OpenVINO {self.version} cannot run this network ({line}); choose --engine torch"
            ) from error
        finally:
            self._network.train(training)


def _kept(models: dict[_Shape, _Built], shape: _Shape, build: Callable[[_Shape], _Built]) -> _Built:
    """What was built for a shape; the oldest of a few makes room for a new one."""
    if shape not in models:
        if len(models) >= _KEPT_SHAPES:
            models.pop(next(iter(models)))
        models[shape] = build(shape)
    return models[shape]


def _ready(model: Any, hint: str) -> Any:
    """A request of a compiled model."""
    import openvino

    settings = {
        "INFERENCE_PRECISION_HINT": hint,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
    }
    return openvino.Core().compile_model(model, "CPU", settings).create_infer_request()


def _beside_integers() -> str:
    """Precision of what is not done in integers."""
    return _HINTS["bf16" if supports_bf16() else "fp32"]


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
