"""Where is it out of its depth? Distance of each case from the training cases, with a threshold held-out ones set."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from recontrast.errors import RecontrastError
from recontrast.inspection import BAD, GOOD, QUESTIONS, Answer, Finding, NotAsked, Plate, Question
from recontrast.inspection.bench import Array, Bench, Mask
from recontrast.io.nifti import read_volume
from recontrast.preparation.cohort import PreparedCase
from recontrast.reporting.figures import ACCENT_COLOUR, CONTROL_COLOUR, SYNTHETIC_COLOUR, new_figure, style

MOST_TRAINING = 16
"""Training and validation cases that are read."""

FEWEST_TRAINING = 4
"""With fewer there is no threshold."""

MARGIN = 1.5
"""A case is out of its depth when its distance is this many times the largest of the held-out training cases."""

NAMES = (
    *(f"{q} % quantile" for q in (5, 25, 50, 75, 95)), "detail finer than 2 mm", "detail of 2 to 4 mm",
    "detail of 4 to 8 mm", "noise", "share of head",
)  # fmt: skip


def describe_image(image: Array, inside: Mask, spacing: tuple[float, ...]) -> NDArray[np.float64]:
    """What is looked at: quantiles of intensity, energy of detail at three scales, noise, size; one value a name."""
    values = image[inside].astype(np.float64)
    if not values.size:
        return np.full(len(NAMES), np.nan)
    blurred = [image, *(gaussian_filter(image, [w / s for s in spacing]) for w in (1.0, 2.0, 4.0))]
    bands = [np.log10(float(np.mean(np.square((a - b)[inside]))) + 1e-9) for a, b in itertools.pairwise(blurred)]
    second = (image[1:-1] - 0.5 * (image[:-2] + image[2:]))[inside[1:-1]]
    noise = np.log10(float(np.median(np.abs(second))) + 1e-6)
    return np.array([*np.quantile(values, (0.05, 0.25, 0.5, 0.75, 0.95)), *bands, noise, inside.mean()])


def distances(training: NDArray[np.float64], rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far each row is from the training rows: largest robust z over the columns.

    The spread of a column is the larger of its deviation and a twentieth of its size, so that a constant one does not
    shout.
    """
    middle = np.median(training, axis=0)
    spread = np.maximum(training.std(axis=0, ddof=1), 0.05 * np.abs(middle) + 0.01)
    return np.asarray(np.abs((rows - middle) / spread))


def held_out_threshold(training: NDArray[np.float64]) -> float:
    """`MARGIN` times the largest distance a training case has from the others."""
    count = len(training)
    largest = [float(distances(np.delete(training, n, axis=0), training[n]).max()) for n in range(count)]
    return MARGIN * max(largest)


@QUESTIONS.register("depth")
class Depth(Question):
    """Whether the sources look like those it was trained on."""

    title = "Where is it out of its depth?"
    order = 80
    needs = ("translator", "sources")
    method = (
        "Each source is described by quantiles of its scaled intensity inside the brain (else the head), energy "
        "of detail at three scales, noise and size. The distance of a case is the largest deviation from the "
        "training cases of the prepared folder, in standard deviations. Threshold: one and a half times the "
        "largest distance that a training case has from the others. Network features are not part of it."
    )
    source = "our choice; in the spirit of MRIQC (Esteban 2017, PLoS One 12:e0184661)"

    def ask(self, bench: Bench) -> Answer:
        """Compare the cases with the training cases beside them."""
        labels = bench.source_labels
        rows = [row for row in (_row_of(case, labels) for case in bench.training[:MOST_TRAINING]) if row is not None]
        if len(rows) < FEWEST_TRAINING:
            raise NotAsked(
                f"{len(rows)} training cases in the prepared folder, {FEWEST_TRAINING} are needed to set a threshold"
            )
        training = np.stack(rows)
        threshold = held_out_threshold(training)
        findings = [Finding("threshold", threshold, "SD", key=True, note=f"from {len(rows)} training cases")]
        out, table = [], []
        for case in bench.cases:
            row = np.concatenate([describe_image(case.sources[n], case.inside, case.spacing) for n in labels])
            away = distances(training, row)
            worst = int(np.argmax(away))
            name = f"{labels[worst // len(NAMES)]}: {NAMES[worst % len(NAMES)]}"
            findings.append(Finding("distance from training", float(away[worst]), "SD", case.key, name, key=True))
            table.append((case.key, float(away[worst])))
            if away[worst] > threshold:
                out.append(f"{case.key} ({name})")
        if out:
            sentence = f"{len(out)} of {len(bench.cases)} cases lie outside what was learned: {', '.join(out[:3])}."
        else:
            sentence = f"All {len(bench.cases)} cases lie within what was learned (threshold {threshold:.1f} SD)."
        return Answer(sentence, findings, [_plate(table, threshold)], BAD if out else GOOD)


def _row_of(case: PreparedCase, labels: tuple[str, ...]) -> NDArray[np.float64] | None:
    if any(label not in case.images for label in labels):
        return None
    try:
        masks = [
            read_volume(case.regions[n]).reoriented("RAS").data > 0 for n in ("brain", "head") if n in case.regions
        ]
        inside = next((mask for mask in masks if mask.any()), masks[-1])
        rows = []
        for label in labels:
            volume = read_volume(case.images[label]).reoriented("RAS")
            rows.append(describe_image(case.scales[label].apply(volume.data), inside, volume.spacing))
    except RecontrastError:
        return None
    return np.concatenate(rows)


def _plate(table: list[tuple[str, float]], threshold: float) -> Plate:
    with style():
        figure = new_figure(0.7 + 0.2 * len(table), layout="constrained")
        axes: Any = figure.add_subplot()
        names, values = [n for n, _ in table][::-1], [v for _, v in table][::-1]
        colours = [ACCENT_COLOUR if v > threshold else SYNTHETIC_COLOUR for v in values]
        axes.barh(names, values, color=colours, height=0.6)
        axes.axvline(threshold, color=CONTROL_COLOUR, linewidth=0.8, linestyle="--")
        axes.set_xlabel("distance from the training cases (SD); dashed: threshold")
        axes.spines[["top", "right"]].set_visible(False)
    return Plate("distances", figure, "Distance of each case's sources from the training cases.")
