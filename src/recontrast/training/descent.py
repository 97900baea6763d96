"""Adam over the weights in the order in which they lie in memory.

PyTorch's fused Adam on processors works through weight, gradient and moments in the order of their memory, but first
makes a contiguous copy of the gradient, which it does not use. Where channels are innermost that copy changes the order
of every number, and takes longer than the step. Here each weight is handed over as a view whose axes stand in the order
of its memory, so that there is nothing to copy. The numbers are the same, bit for bit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from recontrast.errors import CheckpointError, TrainingError
from recontrast.training.plan import LoopSettings


class Descent:
    """Adam, or AdamW where weights decay, for some parameters.

    Args:
        parameters: What is learned, already in the memory layout and on the device they are trained in.
        loop: Learning rate, betas and weight decay.

    Example:
        >>> weight = nn.Parameter(torch.ones(1))
        >>> weight.grad = torch.ones(1)
        >>> Descent([weight], LoopSettings(steps=1)).step(0.5, (0.9, 0.999))
        >>> round(float(weight.detach()), 3)
        0.5
    """

    def __init__(self, parameters: Sequence[nn.Parameter], loop: LoopSettings) -> None:
        self.parameters = list(dict.fromkeys(parameters))
        self._orders = [memory_order(parameter) for parameter in self.parameters]
        self._views = [
            nn.Parameter(parameter.detach().permute(order), requires_grad=False)
            for parameter, order in zip(self.parameters, self._orders, strict=True)
        ]
        kind = torch.optim.AdamW if loop.weight_decay > 0 else torch.optim.Adam
        self._adam = kind(
            self._views, lr=loop.learning_rate, betas=loop.betas, weight_decay=loop.weight_decay, fused=True
        )

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for parameter in self.parameters:
            parameter.grad = None

    def step(self, rate: float, betas: tuple[float, float]) -> None:
        """Change the parameters by their gradients, and forget these.

        Args:
            rate: Learning rate.
            betas: How slowly both moments follow.

        Raises:
            TrainingError: A parameter lies elsewhere than when this was made; what is stepped would not be used.
        """
        for parameter, order, view in zip(self.parameters, self._orders, self._views, strict=True):
            if view.data_ptr() != parameter.data_ptr():
                raise TrainingError("a weight was moved after its optimiser was made; make the optimiser afterwards")
            if parameter.grad is not None:
                gradient = parameter.grad.permute(order)
                # The kernel pairs numbers by their place in memory, whatever the strides say.
                alike = gradient.stride() == view.stride()
                view.grad = gradient if alike else torch.empty_like(view).copy_(gradient)
            else:
                view.grad = None
        for group in self._adam.param_groups:
            group["lr"], group["betas"] = rate, betas
        self._adam.step()
        self._adam.zero_grad(set_to_none=True)
        self.zero_grad()

    def tensors(self) -> dict[str, Tensor]:
        """Its state, whatever the memory layout: `<number of the parameter>.<name of the moment>`."""
        return {
            f"{number}.{name}": torch.as_tensor(value)
            if torch.as_tensor(value).ndim == 0
            else self._back(number, value)
            for number, moments in self._adam.state_dict()["state"].items()
            for name, value in moments.items()
        }

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Put back what `tensors` gave.

        Raises:
            CheckpointError: The tensors do not fit the parameters.
        """
        state: dict[int, dict[str, Tensor]] = {}
        for key, value in tensors.items():
            number, _, name = key.partition(".")
            if not number.isdigit() or int(number) >= len(self.parameters):
                raise CheckpointError(
                    "the checkpoint's optimiser state does not fit the network; was its model changed?"
                )
            parameter, view = self.parameters[int(number)], self._views[int(number)]
            if value.ndim > 0:
                if value.shape != parameter.shape:
                    raise CheckpointError(
                        f"the checkpoint's optimiser state {key} has shape {tuple(value.shape)}, "
                        f"the network needs {tuple(parameter.shape)}; was its model changed?"
                    )
                value = torch.empty_like(view).copy_(value.permute(self._orders[int(number)]))
            state.setdefault(int(number), {})[name] = value
        self._adam.load_state_dict({"state": state, "param_groups": self._adam.state_dict()["param_groups"]})

    def _back(self, number: int, moment: Tensor) -> Tensor:
        order = self._orders[number]
        return moment.permute(tuple(order.index(axis) for axis in range(len(order))))


def memory_order(values: Tensor) -> tuple[int, ...]:
    """The axes of a tensor from the one with the widest stride to the innermost.

    Example:
        >>> memory_order(torch.zeros(2, 3, 4, 5).to(memory_format=torch.channels_last))
        (0, 2, 3, 1)
    """
    axes = range(values.ndim)
    return tuple(sorted(axes, key=lambda axis: (-values.stride()[axis], -values.shape[axis], axis)))
