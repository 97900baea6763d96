"""Built-in segmenters against simulated truth, beside what libraries offer: Dice, seconds and peak memory.

    python benchmarks/segmentation.py COHORT [COHORT …] [--ants PYTHON] [--subjects 2]

COHORT: folders of `recontrast simulate` with T1w (tissues) and FLAIR with lesions. `--ants` names a Python that has
antspyx; it is not a dependency (it forces other numpy versions). Truth: GM is cortex with deep grey matter and
pallidum; voxels of lesions do not count for tissues. CSF is that inside the brain mask.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import SimpleITK as sitk
from scipy.ndimage import gaussian_filter
from sklearn.mixture import GaussianMixture

from recontrast.evaluation.segmentation import SegmentationInput
from recontrast.evaluation.segmentation.lesion import Lesions
from recontrast.evaluation.segmentation.tissue import Tissue
from recontrast.evaluation.volumetry import count_lesions, match_lesions
from recontrast.io.nifti import read_volume
from recontrast.metrics.overlap import dice
from recontrast.preparation.itk import to_itk
from recontrast.volume import Volume

GREY = ("GM", "deepGM", "pallidum")
TISSUES = ("GM", "WM", "CSF")
N4_SHRINK_MM = 4.0

Labels = np.ndarray


def n4(image: Volume, brain: np.ndarray) -> np.ndarray:
    """The image without its bias field: N4 on a grid of about 4 mm."""
    full = to_itk(image.with_data(np.maximum(image.data, 1e-3)))
    mask = to_itk(image.with_data(brain.astype(np.uint8)))
    shrink = [max(1, round(N4_SHRINK_MM / step)) for step in image.spacing]
    field = sitk.N4BiasFieldCorrectionImageFilter()
    field.Execute(sitk.Shrink(full, shrink), sitk.Shrink(mask, shrink))
    bias = np.exp(sitk.GetArrayFromImage(field.GetLogBiasFieldAsImage(full))).transpose(2, 1, 0)
    return (image.data / bias).astype(np.float32)


def by_brightness(labels: np.ndarray, data: np.ndarray, brain: np.ndarray) -> Labels:
    """Classes renamed from dark to bright as CSF 3, GM 1, WM 2."""
    means = [data[brain & (labels == k)].mean() if (brain & (labels == k)).any() else np.inf for k in range(3)]
    names = np.empty(3, np.uint8)
    names[np.argsort(means)] = (3, 1, 2)
    return np.where(brain, names[labels], 0)


def built_in(image: Volume, brain: np.ndarray) -> Labels:
    """Ours."""
    return Tissue().segment(SegmentationInput(image, "T1w", brain)).labels.data


def mixture(image: Volume, brain: np.ndarray, corrected: np.ndarray | None = None) -> Labels:
    """scikit-learn's gaussian mixture of three classes on intensities."""
    data = image.data if corrected is None else corrected
    values = data[brain][:, None]
    start = np.percentile(values, (5, 40, 85))[:, None]
    sample = values[:: max(1, len(values) // 200_000)]
    model = GaussianMixture(3, means_init=start, random_state=0).fit(sample)
    labels = np.zeros(brain.shape, int)
    labels[brain] = model.predict(values)
    return by_brightness(labels, data, brain)


def mixture_after_n4(image: Volume, brain: np.ndarray) -> Labels:
    """N4, then scikit-learn's mixture."""
    return mixture(image, brain, n4(image, brain))


def itk_markov(image: Volume, brain: np.ndarray) -> Labels:
    """N4, then SimpleITK's k-means with its Bayesian classifier, smoothed posteriors (no Markov filter is wrapped)."""
    data = n4(image, brain)
    kmeans = sitk.ScalarImageKmeans(
        to_itk(image.with_data(np.where(brain, data, 0).astype(np.float32))),
        [0.0, *np.percentile(data[brain], (5, 40, 85))],
    )
    first = sitk.GetArrayFromImage(kmeans).transpose(2, 1, 0).astype(int) - 1
    first = np.clip(first, 0, 2)
    likelihoods = []
    for k in range(3):
        inside = data[brain & (first == k)]
        spread = max(float(inside.std()), 1e-6)
        likelihoods.append(np.exp(-((data - inside.mean()) ** 2) / (2 * spread**2)) / spread)
    posterior = np.array(likelihoods) / (np.sum(likelihoods, axis=0) + 1e-12)
    posterior = np.array([gaussian_filter(np.where(brain, p, 0), 0.6) for p in posterior])
    return by_brightness(posterior.argmax(axis=0), data, brain)


ANTS = """
import sys, time, ants
image, mask = ants.image_read(sys.argv[1]), ants.image_read(sys.argv[2])
start = time.perf_counter()
even = ants.n4_bias_field_correction(image, mask=mask, shrink_factor=int(sys.argv[4]))
found = ants.atropos(a=even, x=mask, i="kmeans[3]", m="[0.2,1x1x1]", c="[10,0]")
ants.image_write(found["segmentation"], sys.argv[3])
print(time.perf_counter() - start)
"""


def atropos(python: str) -> Callable[[Volume, np.ndarray], Labels]:
    """antspyx: N4, then Atropos with k-means start and a Markov prior of 0.2."""

    def run(image: Volume, brain: np.ndarray) -> Labels:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            for file, data in (("i", image.data.astype(np.float32)), ("m", brain.astype(np.uint8))):
                nib.save(nib.Nifti1Image(data, image.affine), folder / f"{file}.nii")
            shrink = str(max(1, round(N4_SHRINK_MM / image.spacing[0])))
            command = [python, "-c", ANTS, *(str(folder / f"{n}.nii") for n in "imo"), shrink]
            subprocess.run(command, check=True, capture_output=True)
            labels = np.asarray(nib.load(folder / "o.nii").dataobj).astype(int)
        return by_brightness(np.clip(labels - 1, 0, 2), image.data, brain)

    return run


def truth_of(cohort: Path, subject: str) -> tuple[np.ndarray, dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """Brain mask, tissues, voxels that count for tissues, lesions."""
    folder = cohort / "derivatives" / "truth" / subject / "anat"
    brain = read_volume(folder / f"{subject}_desc-brain_mask.nii.gz", np.int16).data > 0
    lesions = read_volume(folder / f"{subject}_desc-lesion_mask.nii.gz", np.int16).data > 0
    labels = read_volume(folder / f"{subject}_desc-tissue_dseg.nii.gz", np.int16).data
    rows = (folder / f"{subject}_desc-tissue_dseg.tsv").read_text(encoding="utf-8").splitlines()[1:]
    numbers = {name: int(index) for index, name in (row.split("\t") for row in rows)}
    wanted = {
        "GM": np.isin(labels, [numbers[name] for name in GREY if name in numbers]),
        "WM": labels == numbers["WM"],
        "CSF": labels == numbers["CSF"],
    }
    healthy = np.logical_or.reduce(list(wanted.values())) & brain
    return brain, wanted, healthy, lesions


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cohorts", nargs="+", type=Path)
    parser.add_argument("--ants", default="", help="a Python with antspyx")
    parser.add_argument("--subjects", type=int, default=2)
    given = parser.parse_args()
    methods: dict[str, Callable[[Volume, np.ndarray], Labels]] = {
        "built-in": built_in,
        "scikit-learn mixture": mixture,
        "N4 + scikit-learn mixture": mixture_after_n4,
        "N4 + SimpleITK k-means, smoothed": itk_markov,
    }
    if given.ants:
        methods["antspyx N4 + Atropos"] = atropos(given.ants)
    for cohort in given.cohorts:
        subjects = sorted(path.name for path in cohort.glob("sub-*"))[: given.subjects]
        print(f"\n{cohort.name}: tissues of {len(subjects)} subjects, mean Dice")
        print(f"{'':34}{'GM':>7}{'WM':>7}{'CSF':>7}{'s a head':>10}")
        for name, method in methods.items():
            scores, times = [], []
            for subject in subjects:
                image = read_volume(cohort / subject / "anat" / f"{subject}_T1w.nii.gz")
                brain, wanted, healthy, _ = truth_of(cohort, subject)
                start = time.perf_counter()
                labels = method(image, brain)
                times.append(time.perf_counter() - start)
                scores.append([dice(wanted[t], labels == k, mask=healthy) for k, t in enumerate(TISSUES, start=1)])
            means = np.mean(scores, axis=0)
            print(f"{name:34}{means[0]:7.3f}{means[1]:7.3f}{means[2]:7.3f}{np.mean(times):10.1f}", flush=True)
        lesion_table(cohort, subjects)
    print(f"\npeak memory of this process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB")


def lesion_table(cohort: Path, subjects: list[str]) -> None:
    """Built-in lesion segmentation of FLAIR, alone and with the T1w beside it."""
    print(f"{cohort.name}: lesions   truth ml, found ml, Dice, in both, only truth, only found, s")
    for subject in subjects:
        folder = cohort / subject / "anat"
        if not (folder / f"{subject}_FLAIR.nii.gz").is_file():
            continue
        image, t1w = (read_volume(folder / f"{subject}_{c}.nii.gz") for c in ("FLAIR", "T1w"))
        brain, _, _, lesions = truth_of(cohort, subject)
        for name, context in (("FLAIR alone", {}), ("with T1w", {"T1w": t1w})):
            start = time.perf_counter()
            found = Lesions().segment(SegmentationInput(image, "FLAIR", brain, context)).labels.data > 0
            seconds = time.perf_counter() - start
            counts = count_lesions(match_lesions(lesions, found, image.spacing))
            ml = float(np.prod(image.spacing)) / 1000
            print(
                f"  {subject} {name:12} {lesions.sum() * ml:7.2f} {found.sum() * ml:7.2f} {dice(lesions, found):6.3f}"
                f" {counts.both:4d} {counts.only_reference:4d} {counts.only_synthetic:4d} {seconds:6.1f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
