"""Whole images moved by a few voxels: how far a synthetic image lies from its target, and moving it there.

A pair whose images were registered badly lies apart, mostly by one shift. Compared as it lies it teaches blur; compared
after the shift that fits best, it teaches the contrast. Only whole images are moved, by whole shifts: what is learned
cannot hide in a deformation. The idea of registering the synthetic image to its target: L. Kong et al., Breaking the
dilemma of medical image-to-image translation, NeurIPS 2021, there with a second network.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

_FARTHER = 1e-3
"""What a voxel (squared) of shift must gain, in parts of the error without shift: ties stay where they are."""


@torch.no_grad()
def best_shift(reference: Tensor, estimate: Tensor, mask: Tensor | None, reach: int) -> Tensor:
    """By how many voxels each image of a batch must be moved to fit its target best.

    The squared error inside the mask is computed for all shifts of whole voxels at once, by Fourier transforms; between
    voxels a parabola through the smallest error and its neighbours decides, axis by axis.

    Args:
        reference: The targets, (B, 1, I, J[, K]).
        estimate: The synthetic images, same shape; beyond their border they go on as at it.
        mask: Voxels of the target that count, same shape; None: all. Where there are none, nothing is moved.
        reach: Shifts up to this many voxels along each axis are tried.

    Returns:
        (B, axes) float32, as `moved` takes it.

    Example:
        >>> line = torch.arange(8.0).square().expand(1, 1, 8, 8)
        >>> best_shift(line.roll(2, dims=3), line, None, 3).round().abs().tolist()
        [[0.0, 2.0]]
    """
    axes = tuple(range(2, reference.ndim))
    most, reach = reach, reach + 1  # one more, so that a parabola can be laid through the last
    true, judged = reference.double(), functional.pad(estimate.double(), [reach] * 2 * len(axes), mode="replicate")
    weight = torch.ones_like(true) if mask is None else (mask != 0).double().expand_as(true)
    size = judged.shape[2:]

    def correlated(fixed: Tensor, searched: Tensor) -> Tensor:
        """Sum of fixed(y) searched(y - s) for each shift s, from -reach to reach."""
        spectra = [torch.fft.rfftn(image, s=size, dim=axes) for image in (fixed, searched)]
        sums = torch.fft.irfftn(spectra[0].conj() * spectra[1], s=size, dim=axes)
        for axis in axes:  # entry n is the sum with searched(y + n - reach)
            sums = sums.narrow(axis, 0, 2 * reach + 1).flip(axis)
        return sums[:, 0]

    true = torch.where(weight > 0, true, 0.0)
    constant = true.square().sum(dim=(1, *axes)).view(-1, *[1] * len(axes))
    error = constant - 2 * correlated(true, judged) + correlated(weight, judged.square())
    at = torch.arange(-reach, reach + 1, dtype=torch.float64, device=error.device)
    distance = torch.stack(torch.meshgrid(*[at.square()] * len(axes), indexing="ij")).sum(0)
    here = error[(slice(None), *[slice(reach, reach + 1)] * len(axes))]
    score = error + (_FARTHER * here.clamp(min=0) + 1e-9) * distance
    found = _between(score.flatten(1), score.flatten(1).argmin(dim=1), len(at), len(axes)) - reach
    return found.clamp(-most, most).float()


def moved(image: Tensor, shift: Tensor) -> Tensor:
    """Each image of a batch moved by its own shift, between voxels by cubic convolution (R. Keys, 1981).

    Args:
        image: (B, C, I, J[, K]); beyond its border it goes on as at it.
        shift: (B, axes) in voxels: what was at x is then at x + shift.

    Example:
        >>> moved(torch.tensor([[[[1.0, 2.0, 3.0]]]]), torch.tensor([[0.0, 1.0]])).tolist()
        [[[[1.0, 1.0, 2.0]]]]
    """
    result = image.float()
    for axis in range(shift.shape[1]):
        rows = _rows(result.shape[axis + 2], shift[:, axis])
        along = result.movedim(axis + 2, 1)
        result = torch.bmm(rows, along.flatten(2)).view(along.shape).movedim(1, axis + 2)
    return result


def _between(score: Tensor, lowest: Tensor, width: int, axes: int) -> Tensor:
    """Where along each axis the score is lowest, with the part of a voxel by which a parabola there is lower.

    Args:
        score: (B, width ** axes).
        lowest: (B,), which of them is lowest.
        width: Shifts along an axis.
        axes: Number of axes, the last one running fastest.
    """
    found = []
    least = score.gather(1, lowest[:, None])[:, 0]
    for axis in range(axes):
        stride = width ** (axes - 1 - axis)
        place = torch.div(lowest, stride, rounding_mode="floor") % width
        inner = (place > 0) & (place < width - 1)
        below, above = (
            score.gather(1, torch.where(inner, lowest + step, lowest)[:, None])[:, 0] for step in (-stride, stride)
        )
        bend = below - 2 * least + above
        part = torch.where(inner & (bend > 0), 0.5 * (below - above) / bend.clamp(min=1e-30), 0.0)
        found.append(place + part)
    return torch.stack(found, dim=1)


def _rows(size: int, shift: Tensor) -> Tensor:
    """The move along one axis as a matrix for each image, (B, size, size)."""
    position = torch.arange(size, device=shift.device) - shift[:, None]
    first = position.floor()
    matrix = torch.zeros(len(shift), size, size, device=shift.device)
    for tap in (-1, 0, 1, 2):
        weight = _keys((position - first - tap).abs())
        matrix.scatter_add_(2, (first + tap).clamp(0, size - 1).long()[..., None], weight[..., None])
    return matrix


def _keys(distance: Tensor) -> Tensor:
    near = (1.5 * distance - 2.5) * distance.square() + 1
    far = ((-0.5 * distance + 2.5) * distance - 4) * distance + 2
    return torch.where(distance <= 1, near, torch.where(distance < 2, far, 0.0))
