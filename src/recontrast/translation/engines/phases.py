"""Transposed convolutions of an OpenVINO model as ordinary ones.

OpenVINO computes convolutions in bfloat16 on every processor that has it, transposed convolutions only where there are
matrix tiles (AMX); elsewhere they silently stay in fp32, and they are most of the work of a U-Net. A transposed
convolution of stride s is s ordinary ones an axis, each with every s-th weight, whose results are interleaved: the same
products, no more.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

_KIND = "ConvolutionBackpropData"


@dataclass(frozen=True)
class Phase:
    """Every s-th output voxel along an axis, as an ordinary convolution of the input.

    Attributes:
        taps: Weights of the transposed kernel that reach it, in the order in which they meet the input.
        before: Zeros before the first input voxel.
        after: Zeros after the last one.
    """

    taps: tuple[int, ...]
    before: int
    after: int


def phases(kernel: int, stride: int, padding: int, size: int, enlarged: int) -> list[Phase] | None:
    """The ordinary convolutions of a transposed one along an axis.

    Output voxel o gets input voxel i through weight t = o + padding - stride * i.

    Args:
        kernel: Weights along the axis.
        stride: Output voxels an input voxel.
        padding: Cut off at the beginning.
        size: Input voxels.
        enlarged: Output voxels.

    Returns:
        One for each of the `stride` phases; None where the output is no multiple of the input, a phase has no weights,
        or zeros would have to be cut off.

    Example:
        >>> [phase.taps for phase in phases(4, 2, 1, 10, 20)]
        [(3, 1), (2, 0)]
    """
    if enlarged != stride * size:
        return None
    found = []
    for phase in range(stride):
        first, ahead = (phase + padding) % stride, (phase + padding) // stride
        taps = tuple(range(first, kernel, stride))[::-1]
        before = len(taps) - 1 - ahead
        if not taps or before < 0:
            return None
        found.append(Phase(taps, before, ahead))
    return found


def in_phases(model: Any) -> int:
    """Replace the transposed convolutions of a model of fixed shapes, where their output is a multiple of their input.

    Args:
        model: An `openvino.Model`; changed in place. What has no fixed shape is left as it is.

    Returns:
        How many were replaced.

    Example:
        >>> in_phases(converted(nn.ConvTranspose2d(1, 1, 4, 2, 1).eval(), (1, 1, 8, 8)))  # doctest: +SKIP
        1
    """
    replaced = 0
    for node in list(model.get_ordered_ops()):
        if node.get_type_name() == _KIND and (made := _ordinary(node)) is not None:
            made.set_friendly_name(node.get_friendly_name())
            for consumer in node.output(0).get_target_inputs():
                consumer.replace_source_output(made.output(0))
            replaced += 1
    if replaced:
        model.validate_nodes_and_infer_types()
    return replaced


def _ordinary(node: Any) -> Any | None:
    """What computes the same as a transposed convolution; None where that is not known how."""
    image, weight = node.input_value(0), node.input_value(1)
    if not all(part.get_partial_shape().is_static for part in (image, weight, node.output(0))):
        return None
    about = node.get_attributes()
    strides = about["strides"]
    size, kernel, enlarged = (list(part.get_shape())[2:] for part in (image, weight, node.output(0)))
    if any(rate != 1 for rate in about["dilations"]) or len(set(strides)) != 1:
        return None
    axes = [phases(*each) for each in zip(kernel, strides, about["pads_begin"], size, enlarged, strict=True)]
    if any(axis is None for axis in axes):
        return None
    return _interleaved(image, weight, list(itertools.product(*axes)), strides[0])  # type: ignore[arg-type]


def _interleaved(image: Any, weight: Any, parts: list[tuple[Phase, ...]], stride: int) -> Any:
    """The phases side by side as channels, spread over space."""
    import openvino.opset8 as ops

    dims = len(parts[0])
    kernels = [_kernel(weight, part) for part in parts]
    pads = [([axis.before for axis in part], [axis.after for axis in part]) for part in parts]
    ones = [1] * dims
    if all(pad == pads[0] for pad in pads) and len({tuple(len(axis.taps) for axis in part) for part in parts}) == 1:
        made = ops.convolution(image, ops.concat(kernels, 0), ones, *pads[0], ones)
    else:
        made = ops.concat(
            [ops.convolution(image, kernel, ones, *pad, ones) for kernel, pad in zip(kernels, pads, strict=True)], 1
        )
    return ops.depth_to_space(made, "blocks_first", stride)


def _kernel(weight: Any, part: tuple[Phase, ...]) -> Any:
    """The weights (D, C, ...) of one phase, from those (C, D, ...) of the transposed convolution."""
    import numpy as np
    import openvino.opset8 as ops

    for axis, phase in enumerate(part, start=2):
        weight = ops.gather(weight, np.array(phase.taps, np.int64), np.int64(axis))
    return ops.transpose(weight, np.array([1, 0, *range(2, 2 + len(part))], np.int64))
