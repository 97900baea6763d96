"""Relaxometry and the pixel-wise translator: how true, how fast. `python benchmarks/relaxometry.py [--only NAME]`.

exact: maps against simulated truth without noise, and at SNR 50 (white matter in the brightest image).
speed: eight complex images of 182 x 218 x 30, all voxels fitted.
inference: a whole 512 x 512 x 30 volume of eight channels through the pixel-wise generator, beside the time the same
bytes need to be read and written once.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import pandas as pd

from recontrast.phantom.tissues import Relaxation, tissues_at
from recontrast.relaxometry.design import synthetic_mri_sequences
from recontrast.relaxometry.fitting import fit_maps

SERIES = synthetic_mri_sequences()
TISSUES = ("GM", "WM", "CSF", "lesion", "deepGM")
GRID = (182, 218, 30)
VOLUME = (512, 512, 30)


def signals(relaxation: Relaxation) -> np.ndarray:
    """The eight images of some tissues, (tissues, 8)."""
    return np.stack([sequence.signal(relaxation) for sequence in SERIES], axis=-1)


def exact() -> None:
    """Errors in percent, without noise and at SNR 50."""
    tissue = Relaxation.of([tissues_at(3.0)[name] for name in TISSUES])
    clean = signals(tissue) * np.exp(0.7j)
    sigma = np.abs(clean[TISSUES.index("WM")]).max() / 50
    rng = np.random.default_rng(0)
    rows = []
    for number, name in enumerate(TISSUES):
        truth = {"T1": tissue.t1_s[number], "T2": tissue.t2_s[number], "PD": tissue.pd[number]}
        noisy = np.repeat(clean[number][None], 20000, axis=0)
        noisy = noisy + sigma * (rng.standard_normal(noisy.shape) + 1j * rng.standard_normal(noisy.shape))
        for label, images in (("complex", clean[number][None]), ("magnitude", np.abs(clean[number])[None]),
                              ("complex, SNR 50", noisy), ("magnitude, SNR 50", np.abs(noisy))):  # fmt: skip
            maps = fit_maps(images, SERIES)
            found = {"T1": maps.t1_s, "T2": maps.t2_s, "PD": maps.pd}
            row = {"tissue": name, "images": label}
            row |= {f"{k} median %": f"{100 * (np.median(v) / truth[k] - 1):+.2f}" for k, v in found.items()}
            row |= {f"{k} mean %": f"{100 * (np.mean(v, dtype=float) / truth[k] - 1):+.2f}" for k, v in found.items()}
            rows.append(row)
    print(pd.DataFrame(rows).to_string(index=False))


def speed() -> None:
    """Seconds for a whole data set."""
    rng = np.random.default_rng(1)
    tissue = Relaxation.of([tissues_at(3.0)[name] for name in TISSUES])
    labels = rng.integers(0, len(TISSUES), GRID)
    images = (signals(tissue)[labels] * np.exp(0.5j)).astype(np.complex64)
    for part in (images.real, images.imag):
        part += 0.01 * rng.standard_normal(images.shape, dtype=np.float32)
    for label, options in (("complex", {}), ("magnitude", {}), ("complex, B1 map given", {"b1": np.full(GRID, 0.95)})):
        start = time.perf_counter()
        fit_maps(np.abs(images) if label == "magnitude" else images, SERIES, **options)
        seconds = time.perf_counter() - start
        print(
            f"fit {'x'.join(map(str, GRID))} x 8 {label}: {seconds:.1f} s, {1e6 * seconds / labels.size:.1f} us a voxel"
        )


def inference() -> None:
    """Seconds for the network on a whole volume, by engine."""
    import torch

    from recontrast.models.pixelwise import Pixelwise
    from recontrast.translation.engines.openvino import OpenVINOEngine, installed
    from recontrast.translation.engines.pytorch import PyTorchEngine

    torch.manual_seed(0)
    network = Pixelwise(in_channels=8).eval()
    slices = np.random.default_rng(0).random((VOLUME[2], 8, *VOLUME[:2]), dtype=np.float32)
    result = np.empty((VOLUME[2], 1, *VOLUME[:2]), np.float32)

    def best(run, repeats: int = 3) -> float:
        times = []
        for _ in range(repeats):
            start = time.perf_counter()
            run()
            times.append(time.perf_counter() - start)
        return min(times)

    bound = best(lambda: np.sum(slices, axis=1, out=result[:, 0]))
    moved = slices.nbytes + result.nbytes
    print(
        f"memory: {moved / 1e6:.0f} MB read and written once in {bound:.3f} s ({moved / bound / 1e9:.1f} GB/s, numpy)"
    )
    engines = {"torch fp32": PyTorchEngine(network)}
    if installed():
        engines |= {f"openvino {p}": OpenVINOEngine(network, p) for p in ("fp32", "bf16")}
    exact_values = engines["torch fp32"](slices[:2])
    for name, engine in engines.items():
        engine(slices[:2])
        seconds = best(lambda engine=engine: [engine(slices[n : n + 2]) for n in range(0, len(slices), 2)], 2)
        apart = np.sqrt(np.mean((engine(slices[:2]) - exact_values) ** 2)) / exact_values.std()
        print(
            f"{name}: {seconds:.2f} s, {seconds / bound:.0f} times the memory bound; off fp32 by {apart:.1e} (rms/std)"
        )


def main() -> None:
    """Run the parts asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", choices=["", "exact", "speed", "inference"])
    options = parser.parse_args()
    for part in (exact, speed, inference):
        if options.only in ("", part.__name__):
            print(f"\n{part.__name__}: {part.__doc__}")
            part()


if __name__ == "__main__":
    main()
