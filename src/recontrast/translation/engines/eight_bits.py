"""Convolutions of an OpenVINO model in integers of eight bits.

Processors with integer dot products (VNNI) multiply eight-bit integers twice as fast as bfloat16 and four times as fast
as fp32. A convolution then sees its input x and its weights w as

    x  ~  s round(x / s) with 256 steps s between the lowest and the highest value of x,
    w  ~  t round(w / t) with 255 steps t for each output channel, symmetric about 0,

and adds up exact products of integers. How far x reaches is measured on slices of the image at hand; what lies beyond
is cut off there, so a margin is left. The first convolution, which sees the image itself, is left alone: it is a small
part of the work and a large part of the error.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

_KINDS = {"Convolution": 0, "ConvolutionBackpropData": 1}
"""Kinds of nodes, and the axis of their weights along which the output channels lie."""

_MARGIN = 1.25
"""How much farther than measured a value may reach: a lesion may lie in a slice that was not looked at."""


def watched(model: Any) -> Any:
    """A model that gives, in place of its output, the lowest and the highest value that each convolution sees.

    Args:
        model: An `openvino.Model` of fixed shapes, with `convolutions` in it.

    Returns:
        A model of one output (N, 2), N the number of convolutions that `integer_inputs` may change, in its order.
    """
    import openvino
    import openvino.opset8 as ops

    found = []
    for node in convolutions(model):
        seen = node.input_value(0)
        axes = np.arange(len(seen.get_partial_shape()), dtype=np.int64)
        found += [ops.reduce_min(seen, axes, False), ops.reduce_max(seen, axes, False)]
    column = [ops.unsqueeze(value, np.int64(0)) for value in found]
    table = ops.reshape(ops.concat(column, 0), np.array([-1, 2], np.int64), False)
    return openvino.Model([table], model.get_parameters(), "watched")


def reach(tables: Iterable[NDArray[np.float32]]) -> NDArray[np.float32]:
    """What several pieces of an image span together, zero included, with the margin: (N, 2).

    Args:
        tables: Outputs of a `watched` model.

    Example:
        >>> reach([np.array([[0.5, 2.0]]), np.array([[-1.0, 1.0]])]).tolist()
        [[-1.25, 2.5]]
    """
    every = np.stack(list(tables)).astype(np.float32)
    low, high = np.minimum(every[..., 0].min(0), 0), np.maximum(every[..., 1].max(0), 0)
    return np.stack([low, high], axis=1) * np.float32(_MARGIN)


def integer_weights(model: Any) -> int:
    """Keep the weights of a model's convolutions as integers of eight bits, one step a channel.

    Args:
        model: An `openvino.Model` whose weights are constants; changed in place.

    Returns:
        How many convolutions were changed.
    """
    import openvino.opset8 as ops

    nodes = convolutions(model)
    for node in nodes:
        weight = node.input_value(1).get_node().data
        others = tuple(axis for axis in range(weight.ndim) if axis != _KINDS[node.get_type_name()])
        step = np.maximum(np.abs(weight).max(others, keepdims=True) / 127, np.finfo(np.float32).tiny)
        integers = ops.constant(np.round(weight / step).astype(np.int8))
        rebuilt = ops.multiply(ops.convert(integers, "f32"), ops.constant(step.astype(np.float32)))
        node.input(1).replace_source_output(rebuilt.output(0))
    model.validate_nodes_and_infer_types()
    return len(nodes)


def integer_inputs(model: Any, reached: NDArray[np.float32]) -> int:
    """Let the convolutions of a model of integer weights see integers of eight bits.

    Args:
        model: An `openvino.Model` after `integer_weights`; changed in place.
        reached: (N, 2): lowest and highest value that each of its convolutions sees, from `reach`.

    Returns:
        How many convolutions were changed: those whose input varies.

    Raises:
        ValueError: `reached` is of another model.
    """
    import openvino.opset8 as ops

    nodes = convolutions(model)
    if len(nodes) != len(reached):
        raise ValueError(f"ranges of {len(reached)} convolutions for a model of {len(nodes)}")
    changed = 0
    for node, (low, high) in zip(nodes, reached, strict=True):
        if not high > low:
            continue
        ends = [ops.constant(np.float32(end)).output(0) for end in on_grid(float(low), float(high))]
        image = ops.fake_quantize(node.input_value(0), *ends, *ends, 256)
        node.input(0).replace_source_output(image.output(0))
        changed += 1
    model.validate_nodes_and_infer_types()
    return changed


def on_grid(low: float, high: float) -> tuple[float, float]:
    """The ends of 256 steps that hold [low, high], low <= 0 <= high, with zero on a step: padding must stay zero.

    Example:
        >>> on_grid(0.0, 255.0), on_grid(-0.3, 254.5)
        ((0.0, 255.0), (-1.0019685039370079, 254.5))
    """
    if low == 0 or high == 0:
        return low, high
    zero = min(max(round(-low / (high - low) * 255), 1), 254)
    step = max(-low / zero, high / (255 - zero))
    return -zero * step, (255 - zero) * step


def convolutions(model: Any) -> list[Any]:
    """The convolutions that integers may do: those of known weights after the first, in the order of the model."""
    nodes = [node for node in model.get_ordered_ops() if node.get_type_name() in _KINDS]
    return [node for node in nodes[1:] if _known(node.input_value(1).get_node())]


def _known(weight: Any) -> bool:
    """Whether weights are constants, as they came or after `integer_weights`."""
    if weight.get_type_name() == "Multiply":
        return all(part.get_node().get_type_name() in ("Constant", "Convert") for part in weight.input_values())
    return bool(weight.get_type_name() == "Constant")
