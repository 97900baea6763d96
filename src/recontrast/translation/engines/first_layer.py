"""The first layer of an OpenVINO model as if in fp32, where the rest is done in bfloat16.

An image in bfloat16 has 256 steps between 0.5 and 1, and so have the weights that meet it. What is rounded there goes
through the whole network. But a number in fp32 is, to 16 bits of mantissa, the sum of two in bfloat16,

    x = h + l,   w = v + u,   w x ~ v h + v l + u h,

so a convolution of the three channels (h, l, h) with the weights (v, v, u) gives nearly what fp32 gives. The first
convolution sees few channels; two more of each are hardly any work. A batch norm that follows with running averages is
multiplied into the weights before they are taken apart: else OpenVINO does it, and rounds the product.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

PARTS = 3
"""Channels in place of each one."""


def exact_first_layer(model: Any) -> bool:
    """Let the first convolution of a model see its image in parts (`in_parts`).

    Args:
        model: An `openvino.Model` of fixed shapes; changed in place, its input then has `PARTS` times the channels.
            Left as it is where the image goes elsewhere than into one convolution of known weights.

    Returns:
        Whether it was changed.

    Example:
        >>> exact_first_layer(converted(nn.Conv2d(1, 16, 3).eval(), (1, 1, 8, 8)))  # doctest: +SKIP
        True
    """
    import openvino
    import openvino.opset8 as ops

    fold_constants(model)
    image = model.inputs[0].get_node()
    first = _only_consumer(image)
    if first is not None and first.get_type_name() == "Pad":
        if not _pads_each_channel_with_its_own(first):
            return False
        first = _only_consumer(first)
    if first is None or first.get_type_name() != "Convolution":
        return False
    weights = _constant(first.input_value(1))
    if weights is None:
        return False
    weights = _with_norm(first, weights)
    large = rounded(weights)
    parts = ops.constant(np.concatenate([large, large, rounded(weights - large)], axis=1))
    first.input(1).replace_source_output(parts.output(0))
    length, channels, *size = image.get_output_shape(0)
    image.set_partial_shape(openvino.PartialShape([length, PARTS * channels, *size]))
    model.validate_nodes_and_infer_types()
    return True


def fold_constants(model: Any) -> None:
    """Compute what an `openvino.Model` computes from constants alone, once and for all."""
    from openvino.passes import ConstantFolding, Manager

    folding = Manager()
    folding.register_pass(ConstantFolding())
    folding.run_passes(model)


def in_parts(batch: NDArray[np.float32]) -> NDArray[np.float32]:
    """A batch (B, C, ...) as a changed model sees it, (B, 3 C, ...): rounded, what rounding took away, and rounded.

    Example:
        >>> in_parts(np.float32([[1.0 + 2**-12]])).tolist()
        [[1.0, 0.000244140625, 1.0]]
    """
    image, channels = torch.from_numpy(batch), batch.shape[1]
    parts = torch.empty((len(batch), PARTS * channels, *batch.shape[2:]))
    large, small, again = torch.split(parts, channels, dim=1)
    large.copy_(image.bfloat16())
    torch.sub(image, large, out=small)
    again.copy_(large)
    made: NDArray[np.float32] = parts.numpy()
    return made


def rounded(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """The nearest values that bfloat16 has, as float32."""
    made: NDArray[np.float32] = torch.from_numpy(np.array(values, np.float32)).bfloat16().float().numpy()
    return made


def _with_norm(first: Any, weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """A convolution's weights with a batch norm behind it taken into them; it is replaced by what it adds."""
    import openvino.opset8 as ops

    bias, last = np.zeros(len(weights), np.float32), first
    follower = _only_consumer(first)
    if follower is not None and follower.get_type_name() == "Add":
        added = _constant(follower.input_value(1))
        if added is not None and added.shape[:2] == (1, len(weights)) and added.size == len(weights):
            bias, last = added.reshape(-1), follower
    norm = _only_consumer(last)
    if norm is None or norm.get_type_name() != "BatchNormInference" or norm.input_value(0).get_node() != last:
        return weights
    known = [_constant(norm.input_value(number)) for number in range(1, 5)]
    if any(value is None for value in known):
        return weights
    scale, shift, mean, variance = (np.asarray(value, np.float64) for value in known)
    scale = scale / np.sqrt(variance + norm.get_attributes()["epsilon"])
    shape = (-1, *[1] * (weights.ndim - 2))
    added = (shift + (bias - mean) * scale).astype(np.float32).reshape(1, *shape)
    made = ops.add(first.output(0), ops.constant(added))
    for consumer in norm.output(0).get_target_inputs():
        consumer.replace_source_output(made.output(0))
    return (weights * scale.reshape(-1, 1, *shape[1:])).astype(np.float32)


def _pads_each_channel_with_its_own(pad: Any) -> bool:
    """Whether the sum of the padded parts is the padded image: its own voxels, or zeros, and no further channels."""
    ends = [_constant(pad.input_value(number)) for number in (1, 2)]
    if any(end is None or end[:2].any() for end in ends):
        return False
    if pad.get_attributes()["pad_mode"] != "constant" or pad.get_input_size() < 4:
        return True
    value = _constant(pad.input_value(3))
    return value is not None and not value.any()


def _only_consumer(node: Any) -> Any | None:
    consumers = list(node.output(0).get_target_inputs())
    return consumers[0].get_node() if len(consumers) == 1 else None


def _constant(value: Any) -> NDArray[np.float32] | None:
    node = value.get_node()
    return np.array(node.data, np.float32) if node.get_type_name() == "Constant" else None
