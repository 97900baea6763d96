"""How far does it look? The window test and the gradient's receptive field."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recontrast.inspection import QUESTIONS, Answer, Finding, NotAsked, Plate, Question, several
from recontrast.inspection.bench import Array, Bench, InspectedCase
from recontrast.reporting.figures import ACCENT_COLOUR, CONTROL_COLOUR, SYNTHETIC_COLOUR, new_figure, style

POINTS, VOLUME_POINTS = 16, 4
"""Points at which the output is followed: of translators that see slices, and volumes (a block around each point)."""

GRADIENT_POINTS = 8
"""Points at which the gradient is taken."""

NEAR, EXACT = 0.02, 1e-4
"""How close to the full output counts as converged: in practice, and as good as exactly. Unit: network range."""

Predict = Callable[[Mapping[str, Array]], Array]


@dataclass(frozen=True)
class Point:
    """A voxel of a case."""

    case: int
    voxel: tuple[int, int, int]


def widths_up_to(longest: int) -> list[int]:
    """Odd widths from 1 to beyond `longest`, each about a quarter wider than the one before.

    >>> widths_up_to(20)
    [1, 3, 5, 7, 9, 11, 13, 17, 21]
    """
    widths = [1]
    while widths[-1] < longest:
        widths.append(max(widths[-1] + 2, int(widths[-1] * 1.27) // 2 * 2 + 1))
    return widths


def window_outputs(
    predict: Predict,
    sources: Mapping[str, Array],
    voxel: tuple[int, int, int],
    widths: Sequence[int],
    axes: Sequence[int],
    slab: tuple[int, int] | None = None,
) -> NDArray[np.float64]:
    """Output at a voxel when only a window around it is kept and the rest of the source is zero.

    Args:
        predict: Scaled sources to scaled target.
        sources: Label to array (I, J, K).
        voxel: Where the output is read.
        widths: Odd widths of the window, voxels.
        axes: Axes along which the window is cut; one: the strip of grantjacob2021; two: a square; three: a cube.
        slab: Axis along which slices are independent, and how many neighbours the network sees: then all widths go
            through it as slices of one volume. None: one volume a width.

    Returns:
        One value a width, and the value of the whole source last.
    """
    windows = []
    for width in [*widths, 0]:
        kept = {}
        for label, source in sources.items():
            window = np.zeros_like(source)
            box = [slice(None)] * 3
            for axis in axes if width else ():
                box[axis] = slice(max(0, voxel[axis] - width // 2), voxel[axis] + width // 2 + 1)
            window[tuple(box)] = source[tuple(box)]
            kept[label] = window
        windows.append(kept)
    if slab is None:
        return np.array([predict(kept)[voxel] for kept in windows], dtype=np.float64)
    axis, reach = slab
    thick = np.clip(
        np.arange(voxel[axis] - reach, voxel[axis] + reach + 1), 0, next(iter(sources.values())).shape[axis] - 1
    )
    stacked = {
        label: np.concatenate([np.take(kept[label], thick, axis) for kept in windows], axis) for label in sources
    }
    made = np.moveaxis(predict(stacked), axis, 0)[reach :: 2 * reach + 1]
    rest = tuple(v for a, v in enumerate(voxel) if a != axis)
    return np.array([part[rest] for part in made], dtype=np.float64)


def converged_width(widths: Sequence[int], outputs: NDArray[np.float64], tolerance: float) -> float:
    """Smallest width from which on the output stays within `tolerance` of that of the whole source.

    Args:
        widths: Widths, rising.
        outputs: From `window_outputs`.
        tolerance: In units of the output.

    Returns:
        The width; infinity when not even the widest is enough.

    >>> converged_width([1, 3, 5, 7], np.array([0.0, 0.5, 1.0, 1.0, 1.0]), 1e-6)
    5.0
    """
    near = np.abs(outputs[:-1] - outputs[-1]) <= tolerance
    wrong = np.flatnonzero(~near)
    first = int(wrong[-1]) + 1 if wrong.size else 0
    return float(widths[first]) if first < len(widths) else float("inf")


@QUESTIONS.register("window")
class Window(Question):
    """The window test of grantjacob2021, at many points, with the gradient beside it."""

    title = "How far does it look?"
    order = 10
    needs = ("translator",)
    method = (
        "Only a window around a voxel is kept, the rest of the source is set to zero, and the output at the voxel "
        "is followed as the window grows: a strip along each in-plane axis as in the paper, and a square; for networks "
        "that see volumes a strip along each axis and a cube, within a block of 64 voxels. It has "
        f"converged at the width from which on it stays within {NEAR:g} of the network range of its final value. "
        "Beside it: the share of the output's gradient with respect to the source that lies within a distance of "
        "the voxel."
    )
    source = "grantjacob2021, window test; effective receptive field: Luo 2016 (NeurIPS, arXiv:1701.04128)"

    def ask(self, bench: Bench) -> Answer:
        """Follow outputs at points spread over the cases."""
        from recontrast.translation.inside import BLOCK

        about = bench.require_translator().description
        bench.require_local()
        across, whole = list(bench.seen_axes), "cube" if bench.sees_volumes else "square"
        points = draw_points(bench, VOLUME_POINTS if bench.sees_volumes else POINTS)
        longest = max(bench.cases[0].shape[a] for a in across)
        widths = widths_up_to(2 * (min(longest, BLOCK) if bench.sees_volumes else longest))
        shapes = {f"strip along {'RAS'[axis]}": [axis] for axis in across} | {whole: across}
        slab = None if bench.sees_volumes else (bench.normal, about.neighbours)
        curves = {name: np.stack([_at(bench, p, widths, axes, slab) for p in points]) for name, axes in shapes.items()}
        longest_mm = {name: max(bench.cases[0].spacing[axis] for axis in axes) for name, axes in shapes.items()}
        findings, medians = [], {}
        for name, outputs in curves.items():
            for tolerance, word in ((NEAR, "in practice"), (EXACT, "fully")):
                found = np.array([converged_width(widths, row, tolerance) for row in outputs])
                median = float(np.median(found))
                medians[name, word] = median
                note = f"{word}, to within {tolerance:g}; median of {len(points)} points"
                findings.append(
                    Finding(f"window that decides ({name})", median, "voxels", note=note, key=word != "fully")
                )
                findings.append(Finding(f"window that decides ({name})", median * longest_mm[name], "mm", note=note))
        energy = gradient_reach(bench, points[:GRADIENT_POINTS])
        for share in (0.5, 0.95):
            findings.append(Finding(
                f"radius that holds {100 * share:.0f} % of the gradient", _radius(energy, share), "voxels", key=True,
                note="effective receptive field",
            ))  # fmt: skip
        last = float(np.flatnonzero(energy > 0)[-1]) if energy.any() else 0.0
        findings.append(Finding("furthest voxel with any gradient", last, "voxels", key=True))
        width = medians[whole, "in practice"]
        half = int(_radius(energy, 0.5))
        within = "nowhere (it is zero)" if not energy.any() else f"within {several(half, 'voxel')}" if half else "in it"
        sentence = f"{_decides(whole, width, longest_mm[whole])}; half of its gradient lies {within}."
        return Answer(sentence, findings, [_plate(bench, points, widths, curves, energy, width)])


def draw_points(bench: Bench, count: int) -> list[Point]:
    """Voxels of the brain (else the head), spread evenly over the cases."""
    rng = bench.rng("points of the window test")
    points = []
    for n in range(count):
        number = n % len(bench.cases)
        voxels = np.argwhere(bench.cases[number].inside)
        if not len(voxels):
            raise NotAsked(f"{bench.cases[number].key}: no voxel inside the head")
        i, j, k = (int(v) for v in voxels[rng.integers(len(voxels))])
        points.append(Point(number, (i, j, k)))
    return points


def gradient_reach(bench: Bench, points: Sequence[Point]) -> NDArray[np.float64]:
    """Mean absolute gradient of the output, summed over all source voxels at each (Chebyshev) distance from its voxel.

    Returns:
        One value a distance in voxels, summing to 1.
    """
    import torch

    from recontrast.translation.inside import as_tensor, shown_at

    translator = bench.require_translator()
    network = translator.network.eval()
    total = np.zeros(2 * max(max(case.shape) for case in bench.cases))
    for point in points:
        shown = shown_at(translator.description, bench.cases[point.case].sources, point.voxel)
        given = as_tensor(network, shown.given).requires_grad_()
        output = network(given)[(0, 0, *shown.place)]
        if not output.requires_grad:
            raise NotAsked("the network gives no gradient")
        (gradient,) = torch.autograd.grad(output, given)
        size = gradient[0].abs().sum(0).cpu().numpy().astype(np.float64)
        away = [np.abs(np.arange(n) - v) for n, v in zip(size.shape, shown.place, strict=True)]
        distance = np.max(np.meshgrid(*away, indexing="ij"), axis=0)
        if size.sum() > 0:
            total += np.bincount(distance.ravel(), size.ravel() / size.sum(), minlength=len(total))[: len(total)]
    return total / max(total.sum(), 1e-30)


def _at(
    bench: Bench, point: Point, widths: list[int], axes: list[int], slab: tuple[int, int] | None
) -> NDArray[np.float64]:
    sources, voxel = bench.cases[point.case].sources, point.voxel
    if slab is None:
        from recontrast.translation.inside import shown_at

        shown = shown_at(bench.require_translator().description, sources, voxel)
        sources = {label: np.ascontiguousarray(image[shown.box]) for label, image in sources.items()}
        voxel = (shown.place[0], shown.place[1], shown.place[2])
    return window_outputs(bench.network_output, sources, voxel, widths, axes, slab)


def _decides(shape: str, width: float, spacing_mm: float) -> str:
    if not np.isfinite(width):
        return f"No {shape} within the image decides the value of the voxel in its middle"
    if width == 1:
        return "The voxel of the source alone decides the value of a voxel"
    return f"A {shape} of {width:.0f} voxels ({width * spacing_mm:.0f} mm) around a voxel decides its value"


def _radius(energy: NDArray[np.float64], share: float) -> float:
    return float(np.searchsorted(np.cumsum(energy), share - 1e-12))


def _plate(
    bench: Bench,
    points: Sequence[Point],
    widths: Sequence[int],
    curves: Mapping[str, NDArray[np.float64]],
    energy: NDArray[np.float64],
    width: float,
) -> Plate:
    with style():
        figure = new_figure(2.5, layout="constrained")
        left, middle, right = figure.subplots(1, 3)
        whole = list(curves)[-1]
        colours = (SYNTHETIC_COLOUR, ACCENT_COLOUR, CONTROL_COLOUR, "#009E73")
        for n, colour in zip(range(min(3, len(points))), colours, strict=False):
            outputs, case = curves[whole][n], bench.cases[points[n].case]
            left.plot(widths, outputs[:-1], color=colour, linewidth=1.1)
            actual = _actual(case, points[n])
            if actual is not None:
                left.axhline(actual, color=colour, linewidth=0.8, linestyle="--")
        left.set(xscale="log", xlabel=f"width of the {whole} (voxels)", ylabel="output (network range)")
        left.set_title("three points; dashed: acquired", loc="left")
        for name, colour in zip(curves, colours, strict=False):
            away = np.abs(curves[name][:, :-1] - curves[name][:, -1:])
            middle.plot(widths, np.median(away, axis=0), color=colour, linewidth=1.1, label=name)
        middle.axhline(NEAR, color="black", linewidth=0.7, linestyle=":")
        middle.set(xscale="log", xlabel="width kept (voxels)", ylabel="distance from the final value")
        middle.set_title(f"median of {len(points)} points", loc="left")
        middle.legend(frameon=False, loc="lower left")
        right.plot(np.cumsum(energy)[: int(_radius(energy, 0.9999)) + 2], color=SYNTHETIC_COLOUR, linewidth=1.1)
        if np.isfinite(width):
            right.axvline(width / 2, color="black", linewidth=0.7, linestyle=":")
        right.set(xlabel="distance from the voxel (voxels)", ylabel="share of the gradient", ylim=(0, 1.02))
        right.set_title("receptive field by gradient", loc="left")
        for axes in (left, middle, right):
            axes.spines[["top", "right"]].set_visible(False)
    caption = (
        "Left: output at three points against the width of the part of the source that is kept. Middle: how far the "
        "output still is from its final value. Right: share of the gradient within a distance; dotted: half the width "
        "at which the output has converged."
    )
    return Plate("curves", figure, caption)


def _actual(case: InspectedCase, point: Point) -> float | None:
    return None if case.reference is None else float(case.reference[point.voxel])
