"""The study of Hagiwara 2019 on simulated raw data, by one command: `python benchmarks/hagiwara2019.py [OUT]`.

It runs `recontrast study hagiwara2019` where that has not been done, and measures what the study's page does not show:
the learned FLAIR beside the synthetic FLAIR of the vendor's times as it is (the paper's opponent), with one gain fitted
to the training heads, and with the acquired FLAIR's own times and a gain (the strictest); after each stage; Dice of
lesions, granularity of CSF and width of sulci.
"""

from __future__ import annotations

import argparse
import functools
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import shapiro, wilcoxon

from recontrast.evaluation.bloch import bloch_signal
from recontrast.evaluation.protocols import PROTOCOLS
from recontrast.evaluation.scores import CaseScorer
from recontrast.evaluation.segmentation import SegmentationInput
from recontrast.evaluation.segmentation.lesion import Lesions
from recontrast.execution.workers import run_cases
from recontrast.io.nifti import read_volume
from recontrast.io.tables import write_table
from recontrast.metrics.granularity import apparent_width, granularity
from recontrast.metrics.overlap import dice
from recontrast.phantom.acquisition import FULL_SCALE
from recontrast.phantom.protocols import scans_of
from recontrast.preparation.cohort import PreparedCase, read_cohort
from recontrast.relaxometry.synthesis import spin_echo_sequence
from recontrast.study.command import StudySettings, study_paper
from recontrast.translation.command import TranslateSettings, translate

FLAIR, VENDOR = "FLAIR", "acq-synthetic_FLAIR"
OWN = "own times"
FOLDER = Path("raw-FLAIR")
JUDGED = {"second stage": "two-stages", "absolute error alone": "direct"}
"""Names here to methods of the study."""
REGIONS = ("GM", "WM", "CSF", "brain")
PAPER = {
    "GM": (27.16, 34.03, 0.47, 0.33), "WM": (29.51, 35.45, 0.37, 0.27), "CSF": (34.83, 40.47, 0.29, 0.21),
    "brain": (29.79, 35.90, 0.38, 0.27),
}  # fmt: skip
"""PSNR of synthetic and learned FLAIR in dB, NRMSE of both; its `brain` is all inside the skull."""


def score(out: Path) -> pd.DataFrame:
    """Every measure of every estimate of every test head."""
    cohort, study = read_cohort(out / "prepared"), out / "study"
    translate(
        TranslateSettings(
            run=study / "runs" / FOLDER / "stage-one",
            input=cohort.folder,
            out=out / "first",
            split="test",
            rarity=False,
        )
    )
    tested = study / "test" / FOLDER
    images = {"first": out / "first", **{k: tested / v / "synthetic" for k, v in JUDGED.items()}}
    gains = {label: _gain(cohort.split("train"), label) for label in (VENDOR, OWN)}
    print(f"gains fitted to the training heads: {', '.join(f'{k} {v:.3f}' for k, v in gains.items())}")
    job = functools.partial(_score_case, images=images, gains=gains)
    outcomes = run_cases(job, {case.key: (case,) for case in cohort.split("test")}, workers=2, description="score")
    table = pd.DataFrame([row for outcome in outcomes if outcome.value for row in outcome.value])
    write_table(out / "scores.tsv", table)
    return table


def _computed(case: PreparedCase, label: str) -> np.ndarray:
    """An image computed from the fitted maps."""
    if label == VENDOR:
        return read_volume(case.images[VENDOR]).data
    maps = {name: read_volume(case.images[name]).data for name in ("T1map", "T2map", "PDmap")}
    return bloch_signal(maps, scans_of(FLAIR)[0].sequence if label == OWN else spin_echo_sequence(label))


def _gain(cases: tuple[PreparedCase, ...], label: str) -> float:
    """Least squares through zero over the brains of training heads."""
    products, squares = 0.0, 0.0
    for case in cases:
        brain = read_volume(case.regions["brain"], np.uint8).data > 0
        made = _computed(case, label)[brain].astype(float)
        wanted = read_volume(case.images[FLAIR]).data[brain].astype(float)
        products, squares = products + float(made @ wanted), squares + float(made @ made)
    return products / squares


def _score_case(case: PreparedCase, *, images: Mapping[str, Path], gains: Mapping[str, float]) -> list[dict[str, Any]]:
    reference = read_volume(case.images[FLAIR])
    masks = {name: read_volume(case.regions[name], np.uint8).data > 0 for name in (*REGIONS, "lesion")}
    masks |= {name: masks[name] & masks["brain"] for name in ("GM", "WM", "CSF")}
    vendor = _computed(case, VENDOR)
    found = {name: next((folder / case.key).rglob("*desc-synthetic*.nii.gz")) for name, folder in images.items()}
    estimates = {
        "acquired": reference.data,
        "Bloch": vendor,
        "Bloch, gain": gains[VENDOR] * vendor,
        "Bloch, own times, gain": gains[OWN] * _computed(case, OWN),
        # Stage one learns the brightness of the synthetic FLAIR, so it gets the same gain.
        "learned, first stage, gain": gains[VENDOR] * read_volume(found["first"]).data,
        **{f"learned, {name}": read_volume(found[name]).data for name in JUDGED},
    }
    protocol = replace(PROTOCOLS.get("hagiwara2019"), data_range=float(FULL_SCALE), regions=(*REGIONS, "lesion"))
    scorer = CaseScorer(protocol, reference.data, masks, reference.spacing)
    context = {"T1w": reference.with_data(_computed(case, "T1w"))}

    def lesions(image: np.ndarray) -> np.ndarray:
        given = SegmentationInput(reference.with_data(image), FLAIR, masks["brain"], context, what=case.key)
        return Lesions().segment(given).labels.data > 0

    wanted, near = lesions(reference.data), masks["GM"] | masks["CSF"]
    rows = []
    for name, image in estimates.items():
        segmented = lesions(image)
        values = {
            ("CSF", "granularity"): granularity(image, masks["CSF"], axis=2),
            ("GM and CSF", "sulcal width, mm"): apparent_width(image, near, spacing=reference.spacing),
            ("lesion", "contrast to WM"): image[masks["lesion"]].mean() / image[masks["WM"]].mean(),
            ("lesion", "dice with truth"): dice(masks["lesion"], segmented),
        }
        if name != "acquired":
            values["lesion", "dice"] = dice(wanted, segmented)
            values |= {(r.region, r.metric): r.value for r in scorer.score(image, ("psnr", "nrmse", "nrmse_ref"))}
        rows += [
            {"case": case.key, "estimate": name, "region": region, "metric": metric, "value": value}
            for (region, metric), value in values.items()
        ]
    return rows


def show(table: pd.DataFrame) -> None:
    """The paper's table beside ours, and what the paper had readers grade."""
    wide = table.pivot_table(index="case", columns=["metric", "region", "estimate"], values="value")
    learned = [f"learned, {name}" for name in JUDGED]
    for final in learned:
        for baseline in ("Bloch", "Bloch, gain", "Bloch, own times, gain"):
            print(f"\n{baseline} -> {final} ({len(wide)} test heads; mean ± SD; paper: synthetic -> learned)")
            print(_beside(wide, baseline, final).to_string(index=False))
    columns = [(m, r) for m, r in dict.fromkeys((c[0], c[1]) for c in wide.columns) if m not in ("psnr", "nrmse")]
    for metric, region in columns:
        part = wide[metric, region]
        print(f"\n{metric} ({region}), and p against each learned one:")
        for name in part.columns:
            tests = [
                f"{wilcoxon(part[final], part[name]).pvalue:.4f}"
                for final in learned
                if (part[name] != part[final]).any()
            ]
            print(f"  {name:30s} {part[name].mean():8.3f} ± {part[name].std():.3f}   {' '.join(tests)}")
    print("\nPSNR of all (dB):")
    print(wide["psnr"].mean().unstack().round(2).to_string())


def _beside(wide: pd.DataFrame, baseline: str, final: str) -> pd.DataFrame:
    rows = []
    for region in REGIONS:
        for metric, place in (("psnr", 0), ("nrmse", 2)):
            before, after = wide[metric, region, baseline], wide[metric, region, final]
            old, new = PAPER[region][place : place + 2]
            ours = f"{before.mean():.2f}±{before.std():.2f} -> {after.mean():.2f}±{after.std():.2f}"
            rows.append({
                "region": region, "metric": metric, "paper": f"{old} -> {new} ({100 * (new / old - 1):+.1f} %)",
                "ours": f"{ours} ({100 * (after.mean() / before.mean() - 1):+.1f} %)",
                "p": f"{wilcoxon(after, before).pvalue:.4f}", "normal": f"{shapiro(after - before).pvalue:.3f}",
            })  # fmt: skip
    return pd.DataFrame(rows)


def main() -> None:
    """Run what is not done yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", nargs="?", type=Path, default=Path("out/hagiwara2019"))
    out = parser.parse_args().out
    settings = StudySettings(study=Path("hagiwara2019"), prepared=out / "prepared", out=out / "study")
    print("\n".join(study_paper(settings).done))
    show(score(out))


if __name__ == "__main__":
    main()
