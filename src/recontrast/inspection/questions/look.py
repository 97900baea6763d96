"""How does it look as a volume? Eight slices and a rendering, before and after."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter

from recontrast.inspection import BAD, GOOD, PLAIN, QUESTIONS, Answer, Finding, NotAsked, Plate, Question, several
from recontrast.inspection.bench import Array, Bench, InspectedCase, Mask
from recontrast.reporting.figures import new_figure, style
from recontrast.reporting.rendering import render_volume

SLICES = 8

FLICKER = 1.5
"""From this ratio on slices change visibly more than they should; below its inverse they are too alike."""


def slice_change(image: Array, inside: Mask, axis: int) -> float:
    """Mean absolute difference of neighbouring slices, over voxels inside in both; NaN where there are none."""
    moved, where = np.moveaxis(image, axis, 0), np.moveaxis(inside, axis, 0)
    both = where[:-1] & where[1:]
    return float(np.abs(np.diff(moved, axis=0))[both].mean()) if both.any() else float("nan")


def opened(case: InspectedCase) -> Array:
    """Opacity of the brain (else the head) with the upper front right part cut away, so that one can look inside."""
    opacity = gaussian_filter(case.inside.astype(np.float32), 0.7)
    i, j, k = (int(v) for v in np.argwhere(case.inside).mean(axis=0))
    opacity[i:, j:, k:] = 0
    return np.asarray(opacity, np.float32)


@QUESTIONS.register("look")
class Look(Question):
    """Slices and renderings of source, synthetic and acquired image."""

    title = "How does it look as a volume?"
    order = 95
    method = (
        "Eight slices, evenly over the brain (else the head), and a volume rendering of it with the upper front right "
        "part cut away, with the same light, window and opacity for all. Change from slice to slice: mean absolute "
        "difference of neighbouring slices of the plane it works in, over that of the acquired image (without one: of "
        "the first source)."
    )
    source = "grantjacob2021, stacked translations as slices and renderings; rendering: Max 1995 (IEEE TVCG 1:99)"

    def ask(self, bench: Bench) -> Answer:
        """Draw the first case; count in all."""
        findings, ratios = [], []
        for case in bench.references or bench.cases:
            beside = case.reference if case.reference is not None else next(iter(case.sources.values()), None)
            if beside is None or not case.inside.any():
                continue
            own, other = (slice_change(image, case.inside, bench.normal) for image in (case.synthetic, beside))
            ratios.append(own / other if other > 0 else float("nan"))
            findings.append(Finding("change from slice to slice over that beside it", ratios[-1], case=case.key))
        if not bench.cases[0].inside.any():
            raise NotAsked(f"{bench.cases[0].key}: its head mask is empty")
        word = f"acquired {bench.target}" if bench.references else "source"
        known = [ratio for ratio in ratios if np.isfinite(ratio)]
        if not known:
            sentence = "Slices and rendering of the synthetic image; there is nothing to hold them against."
            return Answer(sentence, findings, _plates(bench, bench.cases[0]), PLAIN)
        ratio = float(np.median(known))
        note = f"median of {several(len(known), 'case')}, over the {word}"
        findings.insert(0, Finding("change from slice to slice", ratio, key=True, note=note))
        sentence = f"From slice to slice the synthetic {bench.target} changes {ratio:.2f} times as much as the {word}."
        tone = BAD if ratio > FLICKER else GOOD if ratio > 1 / FLICKER else PLAIN
        return Answer(sentence, findings, _plates(bench, bench.cases[0]), tone)


def _plates(bench: Bench, case: InspectedCase) -> list[Plate]:
    images = dict(list(case.sources.items())[:1])
    images[f"synthetic {bench.target}"] = case.synthetic
    if case.reference is not None:
        images[f"acquired {bench.target}"] = case.reference
    return [_slices(bench, case, images), _renderings(case, images)]


def _slices(bench: Bench, case: InspectedCase, images: Mapping[str, Array]) -> Plate:
    axis = bench.normal
    others = [a for a in range(3) if a != axis]
    filled = np.flatnonzero(case.inside.any(axis=tuple(others)))
    chosen = filled[((np.arange(SLICES) + 0.5) / SLICES * len(filled)).astype(int)]
    aspect = case.spacing[others[1]] / case.spacing[others[0]]
    rows, columns = (case.shape[others[1]] * case.spacing[others[1]], case.shape[others[0]] * case.spacing[others[0]])
    with style():
        figure = new_figure(0.15 + 0.92 * len(images) * rows / columns, layout="constrained")
        figure.get_layout_engine().set(w_pad=0.01, h_pad=0.01, wspace=0, hspace=0)  # type: ignore[union-attr, call-arg]
        grid: Any = figure.subplots(len(images), SLICES, squeeze=False)
        for line, (name, image) in zip(grid, images.items(), strict=True):
            for axes, index in zip(line, chosen, strict=True):
                shown = np.take(image, int(index), axis).T[::-1, ::-1]
                axes.imshow(shown, cmap="gray", vmin=0, vmax=1, aspect=aspect)
                axes.set(xticks=[], yticks=[])
                axes.spines[:].set_visible(False)
            line[0].set_ylabel(name, fontsize=7)
    plane = {0: "sagittal", 1: "coronal", 2: "axial"}[axis]
    return Plate("slices", figure, f"{case.key}: eight {plane} slices, before and after, one window (0 to 1).")


def _renderings(case: InspectedCase, images: Mapping[str, Array]) -> Plate:
    opacity = opened(case)
    where = [slice(int(v.min()), int(v.max()) + 1) for v in np.nonzero(case.inside)]
    box = (where[0], where[1], where[2])
    with style():
        figure = new_figure(2.6, layout="constrained")
        row: Any = figure.subplots(1, len(images), squeeze=False)[0]
        for axes, (name, image) in zip(row, images.items(), strict=True):
            axes.imshow(render_volume(image[box], opacity[box], case.spacing), cmap="gray", vmin=0, vmax=1)
            axes.set_title(name)
            axes.set_axis_off()
    caption = (
        f"{case.key}: volume renderings from the right front and above, the upper front right part cut away. The "
        "patient's right is on the left."
    )
    return Plate("renderings", figure, caption)
