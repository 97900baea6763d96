"""What does it look for? First filters, activations of each level, and what happens without a part of the source."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from recontrast.inspection import QUESTIONS, Answer, Finding, NotAsked, Plate, Question
from recontrast.inspection.bench import Bench, InspectedCase
from recontrast.reporting.figures import new_figure, style

MOST_FILTERS, MOST_LAYERS = 32, 8
PATCHES = 12
"""The occlusion test covers the slice with this many squares a side."""


def occlusion(bench: Bench, case: InspectedCase, index: int, patches: int = PATCHES) -> NDArray[np.float64]:
    """Mean absolute change of a slice's output, outside the square, when a square of its source is zero.

    Args:
        bench: With a translator.
        case: The case.
        index: Slice along the normal of its plane.
        patches: Squares along each side.

    Returns:
        Shape (patches, patches).
    """
    axis = bench.normal
    reach = bench.require_translator().description.neighbours
    last = case.shape[axis] - 1
    thick = np.clip(np.arange(index - reach, index + reach + 1), 0, last)
    plain = {k: np.moveaxis(np.take(v, thick, axis), axis, 2) for k, v in case.sources.items()}
    height, width = next(iter(plain.values())).shape[:2]
    rows, columns = (np.linspace(0, n, patches + 1).astype(int) for n in (height, width))
    boxes = [
        (slice(rows[r], rows[r + 1]), slice(columns[c], columns[c + 1])) for r in range(patches) for c in range(patches)
    ]
    stacks: dict[str, Any] = {}
    for name, part in plain.items():
        copies = [part]
        for box in boxes:
            changed = part.copy()
            changed[box] = 0
            copies.append(changed)
        stacks[name] = np.ascontiguousarray(np.moveaxis(np.concatenate(copies, axis=2), 2, axis))
    made = np.moveaxis(bench.predict(stacks), axis, 0)[reach :: 2 * reach + 1]
    result = np.zeros(len(boxes))
    for n, box in enumerate(boxes):
        change = np.abs(made[n + 1] - made[0])
        change[box] = 0
        result[n] = change.sum() / max(1, change.size - change[box].size)
    return result.reshape(patches, patches)


@QUESTIONS.register("filters")
class Filters(Question):
    """Pages of first-layer filters, activation maps, and occlusion."""

    title = "What does it look for?"
    order = 90
    needs = ("translator",)
    method = (
        "The kernels of the first convolution; the mean absolute activation of up to eight convolutions spread "
        "over the network, on the axial slice with most brain; the ablation of each recorded convolution (its "
        "output set to its mean) and what it costs; and occlusion: squares of the source are set to zero in turn "
        "and the change of the output elsewhere in the slice is mapped."
    )
    source = "asked for by grantjacob2021; occlusion: Zeiler 2014 (ECCV)"

    def ask(self, bench: Bench) -> Answer:
        """Look inside the network on one slice of the first case."""
        import torch
        from torch import nn

        translator = bench.require_translator()
        bench.require_local()
        about, network, case = translator.description, translator.network.eval(), bench.cases[0]
        layers = [(name, module) for name, module in network.named_modules() if isinstance(module, nn.Conv2d)]
        if not layers:
            raise NotAsked("the network has no two-dimensional convolution to look into")
        others = tuple(a for a in range(3) if a != bench.normal)
        index = int(np.argmax(np.count_nonzero(case.inside, axis=others)))
        stack = translator.slices_of([case.sources[label] for label in about.sources])
        given = torch.from_numpy(stack.batch([index]))
        chosen = [layers[n] for n in np.unique(np.linspace(0, len(layers) - 1, MOST_LAYERS).astype(int))]
        maps: dict[str, NDArray[np.float64]] = {}
        with torch.no_grad():
            plain = network(given)
            costs = {}
            for name, module in chosen:

                def keep(_: Any, __: Any, output: Any, name: str = name) -> Any:
                    maps[name] = output[0].abs().mean(0).cpu().numpy().astype(np.float64)
                    return output.mean(dim=(-2, -1), keepdim=True).expand_as(output).contiguous()

                handle = module.register_forward_hook(keep)
                costs[name] = float((network(given) - plain).abs().mean())
                handle.remove()
        findings = [Finding("change without the detail of a convolution", cost, "of the range", note=name)
                    for name, cost in costs.items()]  # fmt: skip
        far = occlusion(bench, case, index)
        findings.append(Finding("largest change elsewhere by one square", float(far.max()), "of the range", key=True))
        needed = max(costs, key=lambda name: costs[name])
        findings.insert(
            0, Finding("convolution it depends on most", costs[needed], "of the range", key=True, note=needed)
        )
        first: Any = layers[0][1]
        kernels = first.weight.detach().cpu().numpy()[:MOST_FILTERS, 0]
        sentence = (
            f"{len(layers)} convolutions; it depends most on the detail of `{needed}` (output changes by "
            f"{100 * costs[needed]:.1f} % of the range without it)."
        )
        return Answer(sentence, findings, [_plate(kernels, maps, costs, far)])


def _plate(kernels: Any, maps: dict[str, NDArray[np.float64]], costs: dict[str, float], far: Any) -> Plate:
    with style():
        figure = new_figure(5.2, layout="constrained")
        parts: Any = figure.subfigures(3, 1, height_ratios=(1, 2, 1.2))
        rows = parts[0].subplots(2, 16, squeeze=False).ravel()
        limit = max(float(np.abs(kernels).max()), 1e-9)
        for n, axes in enumerate(rows):
            axes.set_axis_off()
            if n < len(kernels):
                axes.imshow(kernels[n].reshape(kernels[n].shape[0], -1), cmap="RdBu_r", vmin=-limit, vmax=limit)
        parts[0].suptitle("filters of the first convolution (first channel)", fontsize=8)
        grid = parts[1].subplots(2, 4, squeeze=False).ravel()
        for axes in grid:
            axes.set_axis_off()
        for axes, (name, values) in zip(grid, maps.items(), strict=False):
            axes.imshow(values.T[::-1, ::-1], cmap="magma")
            axes.set_title(f"{name}: {100 * costs[name]:.1f} %", fontsize=6)
        parts[1].suptitle("mean activation; per cent: change of the output without its detail", fontsize=8)
        axes = parts[2].subplots()
        shown = axes.imshow(np.asarray(far).T[::-1, ::-1], cmap="magma", vmin=0)
        axes.set_title("occlusion: change elsewhere in the slice when this square is zero")
        axes.set_axis_off()
        parts[2].colorbar(shown, ax=axes)
    return Plate(
        "inside", figure, "Filters, activations and occlusion, on the slice with most brain of the first case."
    )
