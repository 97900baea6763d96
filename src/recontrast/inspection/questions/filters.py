"""What does it look for? First filters, activations of each level, and what happens without a part of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recontrast.inspection import QUESTIONS, Answer, Finding, NotAsked, Plate, Question
from recontrast.inspection.bench import Bench, InspectedCase
from recontrast.reporting.figures import ACCENT_COLOUR, SYNTHETIC_COLOUR, new_figure, style

MOST_FILTERS, MOST_LEVELS = 32, 10
PATCHES = 12
"""The occlusion test covers a slice with this many squares a side."""

WHOLE = {2: 256, 3: 64}
"""Least sides of the images on which the resolution of a level is read off, by their number of axes."""

CUBES = 6
"""It covers a volume with this many cubes a side."""


def occlusion(bench: Bench, case: InspectedCase, voxel: Sequence[int], patches: int = PATCHES) -> NDArray[np.float64]:
    """Mean absolute change of the output, outside the square (cube), when a square of the source is without signal.

    Args:
        bench: With a translator.
        case: The case.
        voxel: The slice through it, or the block around it, is covered.
        patches: Squares (cubes) along each side.

    Returns:
        Shape (patches, patches), for volumes (patches, patches, patches).
    """
    import torch

    from recontrast.translation.inside import as_tensor, shown_at

    translator = bench.require_translator()
    network = translator.network.eval()
    given = shown_at(translator.description, case.sources, voxel).given
    zeros = _zero_of_channels(bench, case, given.shape[1])
    size = given.shape[2:]
    edges = [np.linspace(0, n, patches + 1).astype(int) for n in size]
    result = np.zeros([patches] * len(size))
    with torch.no_grad():
        plain = network(as_tensor(network, given))[0, 0].cpu().numpy()
        for index in np.ndindex(result.shape):
            box = tuple(slice(edge[n], edge[n + 1]) for edge, n in zip(edges, index, strict=True))
            changed = given.copy()
            changed[0][(slice(None), *box)] = zeros.reshape(-1, *[1] * len(size))
            if np.array_equal(changed, given):
                continue
            away = np.abs(network(as_tensor(network, changed))[0, 0].cpu().numpy() - plain)
            inside = away[box].size
            away[box] = 0
            result[index] = away.sum() / max(1, away.size - inside)
    return result


def ablation(bench: Bench, case: InspectedCase, voxel: Sequence[int], names: Sequence[str]) -> dict[str, float]:
    """Mean absolute change of the output when the output of a module is its mean over the image.

    Args:
        bench: With a translator.
        case: The case.
        voxel: The slice through it, or the block around it, is translated.
        names: Modules of the network.

    Returns:
        One value a module, in units of the range.
    """
    import torch

    from recontrast.translation.inside import as_tensor, shown_at, without_detail

    translator = bench.require_translator()
    network = translator.network.eval()
    given = as_tensor(network, shown_at(translator.description, case.sources, voxel).given)
    costs = {}
    with torch.no_grad():
        plain = network(given)
        for name in names:
            with without_detail(network, name):
                costs[name] = float((network(given) - plain).abs().mean())
    return costs


@QUESTIONS.register("filters")
class Filters(Question):
    """Pages of first-layer filters, activation maps, skip connections, and occlusion."""

    title = "What does it look for?"
    order = 90
    needs = ("translator", "sources")
    method = (
        "The kernels of the first convolution; the mean absolute activation of each level of the network on the "
        "slice with most brain (a block around its middle, for networks that see volumes); ablation: what a level or "
        "a skip connection hands on is replaced by its mean, so that it carries no detail, and the change of the "
        "output is measured; occlusion: squares of the source lose their signal in turn and the change of the output "
        "elsewhere is mapped."
    )
    source = "asked for by grantjacob2021; occlusion: Zeiler 2014 (ECCV)"

    def ask(self, bench: Bench) -> Answer:
        """Look inside the network on one slice or block of the first case."""
        from torch import nn

        from recontrast.translation.inside import as_tensor, levels_of, shown_at, sizes_of, skips_of

        translator = bench.require_translator()
        bench.require_local()
        network, case = translator.network.eval(), next(case for case in bench.cases if case.sources)
        layers = [(name, m) for name, m in network.named_modules() if isinstance(m, nn.Conv2d | nn.Conv3d)]
        if not layers:
            raise NotAsked("the network has no convolution to look into")
        voxel = bench.middle_of(case)
        shown = shown_at(translator.description, case.sources, voxel)
        levels = levels_of(network, as_tensor(network, shown.given))[:MOST_LEVELS]
        costs = ablation(bench, case, voxel, [level.name for level in levels])
        skips = ablation(bench, case, voxel, skips_of(network))
        far = occlusion(bench, case, voxel, CUBES if bench.sees_volumes else PATCHES)
        # Not the sizes on this case: networks pad what they are shown to a size they can halve.
        dims = shown.given.ndim - 2
        side = max(WHOLE[dims], 2 ** int(np.ceil(np.log2(max(shown.given.shape[2:])))))
        whole = as_tensor(network, np.zeros((1, shown.given.shape[1], *[side] * dims), np.float32))
        sizes = {name: _part_of(size, side) for name, size in sizes_of(network, whole, [*costs, *skips]).items()}
        findings = [
            Finding("change without the detail of a level", 100 * cost, "% of the range", note=f"{name}, {sizes[name]}",
                    key=True)
            for name, cost in costs.items()
        ]  # fmt: skip
        findings += [
            Finding("change without a skip connection", 100 * cost, "% of the range", key=True,
                    note=f"{name}, {sizes[name]}")
            for name, cost in skips.items()
        ]  # fmt: skip
        square = "cube" if bench.sees_volumes else "square"
        findings.append(
            Finding(f"largest change elsewhere by one {square}", 100 * float(far.max()), "% of the range", key=True)
        )
        kernels = layers[0][1].weight.detach().cpu().numpy()[:MOST_FILTERS, 0]
        plate = _plate(kernels, {level.name: level.activation for level in levels}, costs, skips, sizes, far)
        return Answer(_sentence(len(layers), costs, sizes, skips, float(far.max())), findings, [plate])


def _sentence(
    count: int, costs: Mapping[str, float], sizes: Mapping[str, str], skips: Mapping[str, float], far: float
) -> str:
    if not costs:
        return (
            "It works voxel by voxel, without levels; hiding a part of the source changes the output elsewhere by at "
            f"most {100 * far:.1f} % of the range."
        )
    most = max(costs, key=lambda name: costs[name])
    text = f"{count} convolutions in {len(costs)} levels; "
    if not skips:
        return (
            f"{text}no skip connection; without the detail of `{most}` ({sizes[most]}) the output changes by "
            f"{100 * costs[most]:.1f} % of the range."
        )
    strongest, deepest = max(skips, key=lambda name: skips[name]), list(skips)[-1]
    return (
        f"{text}of its {len(skips)} skip connections that at {sizes[strongest]} matters most: without it the output "
        f"changes by {100 * skips[strongest]:.1f} % of the range, without the deepest by {100 * skips[deepest]:.1f} %."
    )


def _part_of(size: Sequence[int], whole: int) -> str:
    factor = round(whole / float(np.median(size)))
    return "full resolution" if factor <= 1 else f"1/{factor} of the resolution"


def _zero_of_channels(bench: Bench, case: InspectedCase, channels: int) -> NDArray[np.float32]:
    labels = bench.source_labels
    return np.repeat([case.zeros.get(label, 0.0) for label in labels], channels // len(labels)).astype(np.float32)


def _flat(image: NDArray[Any]) -> NDArray[Any]:
    """A slice as it is; the middle one of a volume."""
    return image if image.ndim == 2 else image[:, :, image.shape[2] // 2]


def _plate(
    kernels: NDArray[Any], maps: Mapping[str, NDArray[Any]], costs: Mapping[str, float], skips: Mapping[str, float],
    sizes: Mapping[str, str], far: NDArray[np.float64],
) -> Plate:  # fmt: skip
    with style():
        figure = new_figure(6.0, layout="constrained")
        parts: Any = figure.subfigures(3, 1, height_ratios=(0.9, 2.4, 1.6))
        rows = parts[0].subplots(2, 16, squeeze=False).ravel()
        limit = max(float(np.abs(kernels).max()), 1e-9)
        for n, axes in enumerate(rows):
            axes.set_axis_off()
            if n < len(kernels):
                axes.imshow(_flat(kernels[n]), cmap="RdBu_r", vmin=-limit, vmax=limit)
        parts[0].suptitle("filters of the first convolution (first channel); blue below zero, red above", fontsize=8)
        grid = parts[1].subplots(2, 5, squeeze=False).ravel()
        for axes in grid:
            axes.set_axis_off()
        for axes, (name, values) in zip(grid, maps.items(), strict=False):
            axes.imshow(_flat(values).T[::-1, ::-1], cmap="magma")
            axes.set_title(f"{name}: {100 * costs[name]:.1f} %", fontsize=6)
        told = "mean activation of each level, in order; per cent: change without its detail" if maps else "no levels"
        parts[1].suptitle(told, fontsize=8)
        left, right = parts[2].subplots(1, 2, width_ratios=(1, 1.3))
        shown = left.imshow(100 * _flat(far).T[::-1, ::-1], cmap="magma", vmin=0)
        left.set_title("occlusion: change elsewhere (% of the range)")
        left.set_axis_off()
        parts[2].colorbar(shown, ax=left)
        names = [f"{n + 1}: {sizes[name]}" for n, name in enumerate(skips)][::-1]
        shares = [100 * cost for cost in skips.values()][::-1]
        right.barh(names, shares, color=SYNTHETIC_COLOUR if names else ACCENT_COLOUR, height=0.6)
        right.set_title("without a skip connection" if names else "no skip connections")
        right.set_xlabel("change of the output (% of the range)")
        right.spines[["top", "right"]].set_visible(False)
        right.set_visible(bool(names))
    return Plate(
        "inside", figure, "Filters, activations, occlusion and skip connections, on the slice with most brain of the "
        "first case.",
    )  # fmt: skip
