"""Relaxometry and the safe translator on real scans, by one command: `python benchmarks/pixelwise_real.py [OUT]`.

prostate: T1 and proton density from the four flip angles of sub-P0218, beside the maps that come with the data; its
T1w (12 degrees, no agent) synthesised from the fitted maps, beside the acquired one.
brain: T1w+T2w -> FLAIR learned on sub-C07, tested on sub-C26: the pixel-wise translator, its mixture for partial
volumes, and the U-Net of osman2022: scores by region, contrast of the lesions, and whether the signals of the test
subject lie among those of the training subject.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from real_heads import DATA, FEW_SUBJECTS
from scipy import ndimage

from recontrast.evaluation.command import EvaluateSettings, evaluate
from recontrast.io.nifti import read_volume
from recontrast.io.tables import read_table, write_table
from recontrast.phantom.sequences import SpoiledGradientEcho
from recontrast.preparation.cohort import PreparedCase, read_cohort
from recontrast.preparation.pipeline import PrepareSettings, prepare
from recontrast.relaxometry.coverage import RARE, check_coverage, fit_coverage
from recontrast.relaxometry.fitting import fit_maps
from recontrast.relaxometry.synthesis import synthesize
from recontrast.training.command import TrainSettings, train
from recontrast.translation.command import TranslateSettings, translate

ANGLES = (2, 5, 10, 20)
REPETITION_S, T1W_ANGLE = 0.00385, 12.0
SOURCES, TARGET = ("T1w", "T2w"), "FLAIR"
MINUTES = 3.0
TRANSLATORS = {
    "pixel-wise": ("hagiwara2019", ("data.batch=12", "data.augment.shift_voxels=64", "loop.steps=1200")),
    "pixel-wise, 4 functions": (
        "hagiwara2019",
        ("data.batch=12", "data.augment.shift_voxels=64", "loop.steps=1200", "model.options.functions=4"),
    ),
    "U-Net": ("osman2022", ("loop.steps=1200",)),
}


def prostate() -> None:
    """Fit the flip angles, compare maps, synthesise the T1w."""
    folder = DATA / "qmri_prostate"
    names = (*(f"flip-{angle:02d}_VFA" for angle in ANGLES), "desc-VFAlinear_T1map", "desc-VFAlinear_PDmap", "T1w")
    read = {name: read_volume(folder / f"sub-P0218_{name}.nii.gz").data for name in names}
    images = np.stack([read[f"flip-{angle:02d}_VFA"] for angle in ANGLES], axis=-1)
    given_t1, given_pd = read["desc-VFAlinear_T1map"] / 1000, read["desc-VFAlinear_PDmap"]
    mask = (given_t1 > 0) & (given_t1 < 6) & (images.min(axis=-1) > 0)  # given maps are clipped at 6 s
    series = [SpoiledGradientEcho(REPETITION_S, 0.0, float(angle)) for angle in ANGLES]
    maps = fit_maps(images, series, mask=mask)
    bright = mask & (images.max(axis=-1) > np.percentile(images, 70))
    print(
        f"voxels: {mask.sum()} fitted, {bright.sum()} of them with clear signal (the rest is muscle edge, gas, noise)"
    )
    for name, ours, given in (("T1", maps.t1_s, given_t1), ("PD", maps.pd, given_pd)):
        for where, region in (("all fitted", mask), ("clear signal", bright)):
            ratio = ours[region] / given[region]
            low, middle, high = np.percentile(ratio, (5, 50, 95))
            related = np.corrcoef(np.log(ours[region]), np.log(given[region]))[0, 1]
            print(
                f"{name}, {where}: ours / given median {middle:.3f} (5-95 %: {low:.2f} to {high:.2f}), "
                f"r of logs {related:.3f}"
            )
    fits = {}
    for label, t1, pd_ in (("least squares (ours)", maps.t1_s, maps.pd), ("linear (given)", given_t1, given_pd)):
        e1 = np.exp(-REPETITION_S / np.where(mask, t1, 1.0))
        turn = np.deg2rad(ANGLES)
        signal = (pd_ * (1 - e1))[..., None] * np.sin(turn) / (1 - np.cos(turn) * e1[..., None])
        gain = (signal[bright] * images[bright]).sum() / (signal[bright] ** 2).sum()
        fits[label] = np.sqrt(np.mean((gain * signal - images)[bright] ** 2)) / np.sqrt(np.mean(images[bright] ** 2))
    print("misfit to the four images: " + ", ".join(f"{label} {100 * value:.2f} %" for label, value in fits.items()))
    made, acquired = synthesize(maps, SpoiledGradientEcho(REPETITION_S, 0.0, T1W_ANGLE)), read["T1w"]
    gain = float((made[mask] * acquired[mask]).sum() / (made[mask] ** 2).sum())
    error = np.sqrt(np.mean((gain * made[mask] - acquired[mask]) ** 2)) / acquired[mask].mean()
    related = np.corrcoef(made[mask], acquired[mask])[0, 1]
    nearest = images[..., ANGLES.index(10)]
    like = np.corrcoef(nearest[mask], acquired[mask])[0, 1]
    scale = float((nearest[mask] * acquired[mask]).sum() / (nearest[mask] ** 2).sum())
    plain = np.sqrt(np.mean((scale * nearest[mask] - acquired[mask]) ** 2)) / acquired[mask].mean()
    print(f"T1w 12 degrees synthesised: r {related:.4f}, NRMSE (mean of the acquired) {error:.3f} after one gain "
          f"{gain:.3f}; the acquired 10-degree image in its place: {plain:.3f} (r {like:.4f})")  # fmt: skip


def prepare_brains(out: Path) -> Path:
    """The two brains, one to learn from and one to test."""
    write_table(
        out / "splits.tsv", pd.DataFrame([("sub-C07", "train"), ("sub-C26", "test")], columns=["subject", "split"])
    )
    prepared = out / "prepared"
    prepare(
        PrepareSettings(
            bids=DATA, out=prepared, contrasts=(*SOURCES, TARGET), space="MNI", subjects=("C07", "C26"),
            splits=out / "splits.tsv", workers=1,
        )
    )  # fmt: skip
    return prepared


def learn(out: Path, name: str, minutes: float) -> Path:
    """Train one translator, or find it trained."""
    preset, changes = TRANSLATORS[name]
    run = out / name.replace(" ", "-").replace(",", "") / "run"
    if not (run / "translator" / "translator.json").is_file():
        few = tuple(
            entry for entry in FEW_SUBJECTS["osman2022"] if not any(entry.split("=")[0] in change for change in changes)
        )
        train(
            TrainSettings(
                prepared=out / "prepared", run=run, source=SOURCES, target=TARGET, preset=preset,
                set=(*few, *changes, f"loop.minutes={minutes}"),
            )
        )  # fmt: skip
    return run


def score(out: Path) -> None:
    """Translate the test subject with every translator, evaluate, print."""
    rows = []
    for number, name in enumerate(TRANSLATORS):
        run = learn(out, name, MINUTES)
        folder = run.parent
        translate(TranslateSettings(run=run, input=out / "prepared", out=folder / "synthetic", split="test"))
        controls = ("ridge", "boosting") if number == 0 else ()
        evaluate(
            EvaluateSettings(
                synthetic=folder / "synthetic", reference=out / "prepared", out=folder / "evaluation", workers=1,
                controls=controls,
            )
        )  # fmt: skip
        scores = read_table(folder / "evaluation" / "scores.tsv")
        for estimator in ("synthetic", *controls):
            row = {"estimator": name if estimator == "synthetic" else f"{estimator} (control)"}
            for region in ("brain", "lesion"):
                cell = scores[(scores["estimator"] == estimator) & (scores["region"] == region)].set_index("metric")
                row |= {
                    f"{region} {m}": f"{cell.loc[m, 'value']:.3f}" for m in ("psnr", "ssim", "mae") if m in cell.index
                }
            rows.append(row)
    print(pd.DataFrame(rows).fillna("").to_string(index=False))
    lesions(out)
    coverage(out)


def lesions(out: Path) -> None:
    """Brightness of each lesion over its surroundings, acquired and synthetic."""
    case = read_cohort(out / "prepared").split("test")[0]
    region = {name: read_volume(case.regions[name], np.uint8).data > 0 for name in ("brain", "lesion")}
    labels, count = ndimage.label(region["lesion"], np.ones((3, 3, 3)))
    chosen = [n for n in range(1, count + 1) if (labels == n).sum() >= 10]
    images = {"acquired": read_volume(case.images[TARGET]).data}
    for name in TRANSLATORS:
        folder = learn(out, name, MINUTES).parent / "synthetic"
        images[name] = read_volume(next(folder.rglob(f"*desc-synthetic_{TARGET}.nii.gz"))).data
    boxes = ndimage.find_objects(labels)
    contrasts: dict[str, list[float]] = {name: [] for name in images}
    for number in chosen:
        box = tuple(slice(max(0, side.start - 5), side.stop + 5) for side in boxes[number - 1])
        inside = labels[box] == number
        ring = ndimage.binary_dilation(inside, iterations=4) & ~ndimage.binary_dilation(inside, iterations=1)
        ring &= region["brain"][box] & ~region["lesion"][box]
        for name, image in images.items():
            contrasts[name].append(float(image[box][inside].mean() / image[box][ring].mean()))
    true = np.array(contrasts["acquired"])
    print(f"\n{len(chosen)} lesions of 10 voxels and more; mean inside over mean of the shell 2 to 4 voxels away:")
    for name, values in contrasts.items():
        bright = np.mean(np.array(values)[true > 1.1] > 1.0 + 0.5 * (true[true > 1.1] - 1.0))
        related = np.corrcoef(values, true)[0, 1]
        print(f"  {name}: median {np.median(values):.3f}, r with acquired {related:.3f}, "
              f"lesions that keep half of their contrast {100 * bright:.0f} %")  # fmt: skip


def coverage(out: Path) -> None:
    """Whether the test subject's signals lie among those of the training subject."""
    cohort = read_cohort(out / "prepared")

    def channels(case: PreparedCase) -> tuple[np.ndarray, np.ndarray]:
        images = [case.scales[label].apply(read_volume(case.images[label]).data) for label in SOURCES]
        return np.stack(images), read_volume(case.regions["brain"], np.uint8).data > 0

    learned, inside = channels(cohort.split("train")[0])
    known = fit_coverage(learned[:, inside].T)
    print(f"\nvoxels with signals rarer than {100 * RARE:g} % of the training voxels:")
    for label, case in (("training subject", cohort.split("train")[0]), ("test subject", cohort.split("test")[0])):
        values, mask = channels(case)
        rarity = check_coverage(known, values, mask, case.key)
        lesion = read_volume(case.regions["lesion"], np.uint8).data > 0
        print(f"  {label} {case.key}: brain {100 * (rarity[mask] < RARE).mean():.2f} %, "
              f"lesions {100 * (rarity[lesion & mask] < RARE).mean():.2f} %")  # fmt: skip
        swapped = known.rarity(values[::-1][:, mask].T)
        print(f"    its two channels exchanged: {100 * (swapped < RARE).mean():.1f} %")


def main() -> None:
    """Run the parts asked for; trained translators are kept."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", nargs="?", type=Path, default=Path("out/pixelwise-real"))
    parser.add_argument("--only", default="", choices=["", "prostate", "prepare", "brain", *TRANSLATORS])
    parser.add_argument("--minutes", type=float, default=MINUTES, help="longest training time of each translator")
    options = parser.parse_args()
    if not (DATA / "participants.tsv").is_file():
        print(f"real scans not found at {DATA}; set RECONTRAST_REALDATA to their folder", file=sys.stderr)
        return
    if options.only in ("", "prostate"):
        prostate()
    if options.only in ("", "prepare", "brain"):
        prepare_brains(options.out)
    for name in TRANSLATORS:
        if options.only in ("", name):
            learn(options.out, name, options.minutes)
    if options.only in ("", "brain"):
        score(options.out)


if __name__ == "__main__":
    main()
