"""Where is it out of its depth? Distance of each case from the training cases, with a threshold held-out ones set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from recontrast.inspection import BAD, GOOD, QUESTIONS, Answer, Finding, NotAsked, Plate, Question, several
from recontrast.inspection.bench import Bench
from recontrast.reporting.figures import ACCENT_COLOUR, CONTROL_COLOUR, SYNTHETIC_COLOUR, new_figure, style


@QUESTIONS.register("depth")
class Depth(Question):
    """Whether the sources look like those it was trained on."""

    title = "Where is it out of its depth?"
    order = 80
    needs = ("translator", "sources")
    method = (
        "Two dozen axial slices of each source are described by quantiles of the scaled intensity, energy of detail "
        "at three scales and noise, in the whole head, its lower, middle and upper third and its halves; and by the "
        "strength of the features in each level of the network. The distance of a case is the largest deviation from "
        "the training cases, in standard deviations. Threshold: one and a half times the largest distance that one "
        "training subject has from the others. The same numbers lie with the translator, and `recontrast translate` "
        "warns by them."
    )
    source = "our choice; in the spirit of MRIQC (Esteban 2017, PLoS One 12:e0184661)"

    def ask(self, bench: Bench) -> Answer:
        """Hold the cases against the training cases that the translator knows, or those beside them."""
        from recontrast.translation.distance import FEWEST, Distance, describe, fit_distribution

        translator = bench.require_translator()
        about = translator.description
        network = translator.network.eval()
        known = translator.training
        if known is None:
            known = fit_distribution(about, bench.training, network)
        if known is None:
            raise NotAsked(
                "the translator does not know its training scans; the prepared folder has "
                f"{several(len(bench.training), 'training case')}, and {FEWEST} subjects are needed to set a threshold"
            )
        findings = [
            Finding("threshold", known.threshold, "SD", key=True, note=f"from {known.subjects} training subjects")
        ]
        table: dict[str, Distance] = {}
        for case in bench.cases:
            row = describe(about, case.sources, case.spacing, network)
            if not row:
                continue
            table[case.key] = known.distance(row)
            found = table[case.key]
            findings.append(Finding("distance from training", found.value, "SD", case.key, found.what, key=True))
            findings += [Finding(f"distance, {name}", v, "SD", case.key) for name, v in found.regions.items()]
        if not table:
            raise NotAsked("the sources of these cases have no signal")
        out = [f"{key} ({found.what})" for key, found in table.items() if found.beyond]
        if out:
            sentence = f"Outside what was learned: {len(out)} of {several(len(table), 'case')}: {'; '.join(out[:3])}."
        else:
            who = f"All {len(table)} cases lie" if len(table) > 1 else "The case lies"
            sentence = f"{who} within what was learned (threshold {known.threshold:.1f} SD)."
        return Answer(sentence, findings, [_plate(table, known.threshold)], BAD if out else GOOD)


def _plate(table: Mapping[str, Any], threshold: float) -> Plate:
    keys: Sequence[str] = list(table)
    regions = list(next(iter(table.values())).regions)
    with style():
        figure = new_figure(1.0 + 0.2 * len(keys), layout="constrained")
        axes: Any
        where: Any
        axes, where = figure.subplots(1, 2, width_ratios=(1.2, 1))
        values = [table[key].value for key in keys][::-1]
        colours = [ACCENT_COLOUR if v > threshold else SYNTHETIC_COLOUR for v in values]
        axes.barh(keys[::-1], values, color=colours, height=0.6)
        axes.axvline(threshold, color=CONTROL_COLOUR, linewidth=0.8, linestyle="--")
        axes.set_xlabel("largest deviation (SD); dashed: threshold")
        axes.spines[["top", "right"]].set_visible(False)
        grid = np.array([[table[key].regions.get(name, np.nan) for name in regions] for key in keys])
        shown = where.imshow(grid / threshold, cmap="magma", vmin=0, vmax=1.5, aspect="auto")
        where.set_xticks(range(len(regions)), regions, rotation=30, ha="right")
        where.set_yticks(range(len(keys)), [""] * len(keys))
        where.set_title("where, over the threshold", loc="left")
        figure.colorbar(shown, ax=where, shrink=0.8)
    caption = (
        "Distance of each case's sources from the training cases: the largest deviation, and by region of the head."
    )
    return Plate("distances", figure, caption)
