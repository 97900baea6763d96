"""PyTorch: fp32 is the reference; bf16 with channels-last memory is faster where the processor has it."""

from __future__ import annotations

import copy
from contextlib import ExitStack
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from recontrast.execution.runtime import supports_bf16
from recontrast.translation.windows import memory_of_machine_gb

Precision = Literal["fp32", "bf16", "int8"]


class PyTorchEngine:
    """Run a network with PyTorch.

    In bf16, convolutions and matrix products work in bfloat16, the rest as autocast decides; the output is float32.

    Args:
        network: The network. In fp32 on its own device it is used as it is, otherwise a copy: build a new engine after
            its weights have changed.
        precision: fp32 or bf16.
        device: Where to run it ("cpu", "cuda").
        compiled: Compile it first: about a minute for each shape of input, needs a C++ compiler.
    """

    def __init__(
        self, network: nn.Module, precision: Precision = "fp32", device: str = "cpu", *, compiled: bool = False
    ) -> None:
        self.name = "compiled" if compiled else "torch"
        self.version = str(torch.__version__)
        self.precision = precision
        self.device = torch.device(device)
        if precision == "bf16" or compiled or device_of(network).type != self.device.type:
            network = copy.deepcopy(network).to(self.device)
        if precision == "bf16":
            kernels = [parameter.ndim for parameter in network.parameters()]
            self._layout = torch.channels_last_3d if 5 in kernels else torch.channels_last
            network = network.to(memory_format=self._layout)  # type: ignore[call-overload]
        self._network = network
        self._forward = torch.compile(network, dynamic=False) if compiled else network

    def __call__(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Output of the network, float32, for a batch (B, C, I, J[, K])."""
        source = torch.from_numpy(batch).to(self.device)
        training = self._network.training
        if training:  # setting it goes through all modules: a tenth of the time of a small network
            self._network.eval()
        try:
            with ExitStack() as stack:
                stack.enter_context(torch.inference_mode())
                if self.device.type == "cuda":
                    # Without this an fp32 convolution on a GPU quietly keeps only 10 bits of the mantissa (TF32).
                    stack.enter_context(
                        torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)
                    )
                if self.precision == "bf16":
                    source = source.contiguous(memory_format=self._layout)
                    stack.enter_context(torch.autocast(self.device.type, torch.bfloat16))
                target: torch.Tensor = self._forward(source)
            return np.ascontiguousarray(target.float().cpu().numpy())
        finally:
            if training:
                self._network.train()


def device_of(network: nn.Module) -> torch.device:
    """Where the weights of a network lie; the processor for one without weights.

    Example:
        >>> device_of(nn.Identity())
        device(type='cpu')
    """
    return next((parameter.device for parameter in network.parameters()), torch.device("cpu"))


def has_bf16(device: str = "cpu") -> bool:
    """Whether the processor computes in bfloat16 natively; without that bf16 is emulated, and slower than fp32."""
    if device.startswith("cuda"):
        return torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)
    return supports_bf16()


def memory_of_device_gb(device: str) -> float:
    """Memory of what computes, in GB: that of the machine, or of the graphics processor.

    Args:
        device: cpu or cuda.

    Example:
        >>> memory_of_device_gb("cpu") > 0
        True
    """
    if device.startswith("cuda"):
        return float(torch.cuda.get_device_properties(torch.device(device)).total_memory) / 1e9
    return memory_of_machine_gb()
