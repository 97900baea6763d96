"""Make the pictures of docs/concepts/virtual-scanner.md: `python docs/pictures/make_virtual_scanner.py`."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from PIL import Image

from recontrast.io.nifti import read_volume
from recontrast.phantom.cohort import SimulateSettings, simulate
from recontrast.volume import Volume

HERE = Path(__file__).parent


def slice_at(volume: Volume, axis: int, world_mm: float) -> np.ndarray:
    """A slice through a RAS volume, turned so that up is up; axial and coronal slices show the left side left."""
    index = round((world_mm - volume.origin[axis]) / volume.spacing[axis])
    return np.take(volume.data, index, axis=axis).T


def draw(rows: list[tuple[str, Volume, float]], cuts: list[tuple[int, float]], path: Path) -> None:
    """Draw one row of slices for each (name, volume, top of the window)."""
    first = rows[0][1]
    sizes = [slice_at(first, *cut).shape for cut in cuts]
    widths = [columns / lines for lines, columns in sizes]
    height = 1.3
    figure, axes = plt.subplots(
        len(rows), len(cuts), figsize=(height * sum(widths), height * len(rows)), facecolor="black", squeeze=False,
        gridspec_kw={"width_ratios": widths, "wspace": 0.02, "hspace": 0.02},
    )  # fmt: skip
    for line, (name, volume, top) in zip(axes, rows, strict=True):
        for place, (axis, world) in zip(line, cuts, strict=True):
            place.imshow(slice_at(volume, axis, world), cmap="gray", origin="lower", vmin=0, vmax=top, aspect="auto")
            place.axis("off")
        line[0].text(0.03, 0.97, name, color="white", fontsize=7, va="top", transform=line[0].transAxes)
    for place, (axis, _) in zip(axes[0], cuts, strict=True):
        if axis != 0:
            for x, letter in ((0.02, "L"), (0.98, "R")):
                place.text(x, 0.5, letter, color="yellow", fontsize=6, ha="left" if x < 0.5 else "right",
                           va="center", transform=place.transAxes)  # fmt: skip
    figure.subplots_adjust(0, 0, 1, 1)
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=100)
    # Noise compresses badly: 40 greys are enough to look at.
    Image.open(drawn).convert("RGB").quantize(40, dither=Image.Dither.NONE).save(path, optimize=True)
    plt.close(figure)


def window(volume: Volume) -> float:
    """Top of the grey window: most of the head below, a little fat above."""
    return float(np.percentile(volume.data, 99.3))


def main() -> None:
    """Simulate four subjects and draw three pictures."""
    contrasts = ("T1w", "T2w", "PDw", "FLAIR", "ce-gadolinium_T1w", "acq-localizer_T1w")
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "bids"
        simulate(SimulateSettings(out=out, subjects=4, spacing_mm=1.5, snr=80.0, contrasts=contrasts, workers=2))

        def image(subject: int, name: str) -> Volume:
            return read_volume(out / f"sub-{subject:02d}" / "anat" / f"sub-{subject:02d}_{name}.nii.gz")

        def truth(subject: int, name: str) -> Volume:
            folder = out / "derivatives" / "truth" / f"sub-{subject:02d}" / "anat"
            return read_volume(folder / f"sub-{subject:02d}_{name}.nii.gz")

        kinds = (out / "participants.tsv").read_text(encoding="utf-8").splitlines()[1:]
        subject = {line.split("\t")[3]: number for number, line in enumerate(kinds, start=1)}
        cuts = [(2, -36.0), (2, -6.0), (2, 22.0), (0, 3.0), (1, -14.0)]
        rows = [(name, image(subject["none"], name), window(image(subject["none"], name))) for name in contrasts[:4]]
        draw(rows, cuts, HERE / "virtual-scanner-contrasts.png")
        rows, tumour = [], subject["tumour"]
        for name in ("T1w", "ce-gadolinium_T1w", "FLAIR", "acq-localizer_T1w"):
            rows.append((name, image(tumour, name), window(image(tumour, name))))
        mask = truth(tumour, "desc-lesion_mask")
        rows.append(("lesion mask", mask, 1.0))
        middle = np.argwhere(mask.data > 0).mean(axis=0) * mask.spacing + mask.origin
        draw(rows, [(2, middle[2]), (0, middle[0]), (1, middle[1])], HERE / "virtual-scanner-tumour.png")
        rows = []
        for kind in ("ms", "infarct"):
            for name in ("T2w", "FLAIR"):
                rows.append((f"{kind}, {name}", image(subject[kind], name), window(image(subject[kind], name))))
        rows += [
            ("T1 map, 0 to 3 s", truth(subject["ms"], "T1map"), 3.0),
            ("T2 map, 0 to 0.3 s", truth(subject["ms"], "T2map"), 0.3),
        ]
        draw(rows, [(2, 10.0), (2, 24.0), (2, 36.0), (1, -14.0)], HERE / "virtual-scanner-lesions.png")


if __name__ == "__main__":
    main()
