"""A network whose kernels are started together: recorded once as a CUDA graph, and replayed in every step.

Small networks keep a graphics processor waiting: to start one of their hundreds of kernels takes longer than to run
it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn

from recontrast.datasets.ahead import QUIET

log = logging.getLogger(__name__)


class _Recorded(nn.Module):
    """The recorder puts its replay in place of `forward`; here, so that the network keeps its own."""

    def __init__(self, network: nn.Module, half: bool) -> None:
        super().__init__()
        self.network, self.rounds = network, half

    def forward(self, source: Tensor) -> Tensor:
        # Without a cache: rounded weights that are kept would be those of the moment of recording, for ever.
        with torch.autocast("cuda", torch.bfloat16, enabled=self.rounds, cache_enabled=False):
            result: Tensor = self.network(source)
        return result


def recorded(network: nn.Module, source: Tensor, half: bool) -> Callable[[Tensor], Tensor]:
    """The network, forward and backward, as a recording that is replayed; as it is where that cannot be.

    Images of another size or memory layout, and a network that is not in training mode, go through the network itself.
    One result must be differentiated before the next is made. Buffers of the network are left as they are.

    Args:
        network: On a graphics processor, in training mode.
        source: Images as they will come, (B, C, I, J[, K]).
        half: Whether it computes in bfloat16.

    Example:
        >>> recorded(nn.Identity(), torch.zeros(1, 1, 2, 2), half=False)(torch.ones(1, 1, 2, 2)).shape
        torch.Size([1, 1, 2, 2])
    """
    if source.device.type != "cuda" or not any(parameter.requires_grad for parameter in network.parameters()):
        return network.__call__
    buffers = [buffer.clone() for buffer in network.buffers()]
    try:
        # A recording that fails does not always leave the stream it was made on: the outer one brings this one back.
        with QUIET, torch.cuda.stream(torch.cuda.current_stream()):
            replay = torch.cuda.make_graphed_callables(
                _Recorded(network, half), (source.clone(),), allow_unused_input=True
            )
    except (RuntimeError, AssertionError) as error:
        reason = str(error).split("\n")[0]
        log.warning(
            "steps will be slower, for the network cannot be recorded (loop.recorded=false does not try): %s", reason
        )
        return network.__call__
    finally:
        for buffer, before in zip(network.buffers(), buffers, strict=True):
            buffer.copy_(before)
    # The recording was made on a stream of its own, and PyTorch (2.9 and later) warns that gradients come from there.
    getattr(torch.autograd.graph, "set_warn_on_accumulate_grad_stream_mismatch", lambda _: None)(False)
    shape, stride = source.shape, source.stride()

    def run(images: Tensor) -> Tensor:
        alike = network.training and images.shape == shape and images.stride() == stride
        result = replay(images) if alike else network(images)
        return cast(Tensor, result)

    return run
