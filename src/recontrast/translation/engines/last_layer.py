"""The last layer of an OpenVINO model in fp32, where the rest is done in bfloat16.

In bfloat16 OpenVINO rounds what each convolution sees to 8 bits of mantissa. Ahead of the last layer that error goes
straight into the image, and may be the larger half of the difference from fp32. OpenVINO leaves in fp32 what comes
after the last convolution or matrix product. A last convolution of single voxels with few output channels is a weighted
sum of channels; written as one, it comes after the last convolution, and the one before hands over fp32. It costs
nearly nothing.
"""

from __future__ import annotations

from typing import Any

import numpy as np

_PASSED = {
    "Result", "Add", "Subtract", "Multiply", "Clamp", "Concat", "Convert", "DepthToSpace", "Maximum", "Minimum", "Relu",
    "Reshape", "Sigmoid", "Slice", "StridedSlice", "Tanh",
}  # fmt: skip
"""Kinds of nodes that may lie between the last layer and the result: all of them are cheap in fp32."""

_MOST_CHANNELS = 4
"""More output channels are left to a convolution, for which they are no extra work."""


def exact_last_layer(model: Any) -> int:
    """Write the last convolutions of single voxels as sums, so that OpenVINO does them in fp32.

    Args:
        model: An `openvino.Model`; changed in place. Other last layers are left as they are.

    Returns:
        How many were changed.

    Example:
        >>> exact_last_layer(converted(nn.Conv2d(16, 1, 1).eval(), (1, 16, 8, 8)))  # doctest: +SKIP
        1
    """
    found = {}
    reached = [result.get_node() for result in model.outputs]
    seen = set()
    while reached:
        node = reached.pop()
        if node.get_name() in seen:
            continue
        seen.add(node.get_name())
        if node.get_type_name() in _PASSED:
            reached += [value.get_node() for value in node.input_values()]
        elif _weighs_single_voxels(node):
            found[node.get_name()] = node
    for node in found.values():
        made = _sums(node.input_value(0), node.input_value(1).get_node().data)
        made.set_friendly_name(node.get_friendly_name())
        for consumer in node.output(0).get_target_inputs():
            consumer.replace_source_output(made.output(0))
    if found:
        model.validate_nodes_and_infer_types()
    return len(found)


def _weighs_single_voxels(node: Any) -> bool:
    """Whether it is a convolution with a kernel of one voxel, known weights and few output channels."""
    if node.get_type_name() != "Convolution" or node.input_value(1).get_node().get_type_name() != "Constant":
        return False
    about, (channels, _, *kernel) = node.get_attributes(), node.input_value(1).get_shape()
    moved = any(step != 1 for step in about["strides"]) or any([*about["pads_begin"], *about["pads_end"]])
    return not moved and all(size == 1 for size in kernel) and channels <= _MOST_CHANNELS


def _sums(image: Any, weights: Any) -> Any:
    """Weighted sums of the channels of an image (B, C, ...) with weights (D, C, 1, ...): (B, D, ...)."""
    import openvino.opset8 as ops

    channel = np.array([1], np.int64)
    sums = [ops.reduce_sum(ops.multiply(image, ops.constant(np.array(each[None]))), channel, True) for each in weights]
    return sums[0] if len(sums) == 1 else ops.concat(sums, 1)
