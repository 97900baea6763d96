"""Speed and agreement of SSIM, time and memory of whole protocols on one head: `python benchmarks/metrics.py`.

`--all` times every protocol, not only the default. `--peers FOLDER` also times MONAI's and torchmetrics' 3D SSIM, from
a folder that holds them: `pip install --no-deps --target FOLDER monai torchmetrics lightning-utilities`.

Ratios are of one run on one machine; repeat it when the machine is quiet.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import sys
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter
from skimage.metrics import structural_similarity

from recontrast.evaluation.protocols import PROTOCOLS
from recontrast.evaluation.scores import CaseScorer
from recontrast.metrics.structure import ssim_map

SHAPE = (182, 218, 182)


def seconds(work: Callable[[], Any], repeats: int) -> float:
    """Median time of several calls, after one to warm up."""
    work()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def peak_megabytes(work: Callable[[], Any]) -> float:
    """Most memory allocated during a call."""
    tracemalloc.start()
    work()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / 1e6


def head() -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """A smooth random head in an empty background, a noisy estimate of it, and six regions."""
    rng = np.random.default_rng(0)
    grids = np.meshgrid(*[np.linspace(-1, 1, n) for n in SHAPE], indexing="ij")
    radius = np.sqrt(sum(grid**2 for grid in grids))
    texture = gaussian_filter(rng.standard_normal(SHAPE), 2.0)
    reference = np.where(radius < 0.95, np.clip(0.5 + 2.0 * texture, 0, 1), 0).astype(np.float32)
    estimate = np.clip(reference + 0.05 * rng.standard_normal(SHAPE), 0, 1).astype(np.float32)
    brain = radius < 0.75
    regions = {
        "head": radius < 0.95, "brain": brain, "GM": brain & (reference < 0.4), "WM": brain & (reference > 0.6),
        "CSF": radius < 0.2, "lesion": radius < 0.05,
    }  # fmt: skip
    return reference, estimate, regions


def compare_ssim(reference: np.ndarray, estimate: np.ndarray) -> None:
    """SSIM maps of both windows beside scikit-image."""
    exact = [image.astype(np.float64) for image in (reference, estimate)]
    options: dict[str, dict[str, Any]] = {
        "gaussian11": {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False},
        "uniform7": {"win_size": 7, "use_sample_covariance": False},
    }
    print(f"SSIM map of a {'x'.join(map(str, SHAPE))} pair")
    for window, published in options.items():

        def theirs(published: dict[str, Any] = published) -> Any:
            return structural_similarity(*exact, data_range=1.0, full=True, **published)[1]

        expected, base = theirs(), seconds(theirs, 3)
        print(f"  {window:<10} scikit-image float64 {base:6.2f} s, peak {peak_megabytes(theirs):5.0f} MB")
        for precision in ("float32", "float64"):

            def ours(window: Any = window, precision: Any = precision) -> Any:
                return ssim_map(reference, estimate, data_range=1.0, window=window, precision=precision)

            took, made = seconds(ours, 5), ours()
            difference = np.abs(made - expected)
            mean = abs(float(made.mean(dtype=np.float64)) - float(expected.mean()))
            print(
                f"  {window:<10} ours {precision}         {took:6.2f} s, peak {peak_megabytes(ours):5.0f} MB, "
                f"{base / took:4.1f}x; SSIM differs by {mean:.1e}, a voxel by {difference.max():.1e} at most"
            )


def compare_peers(reference: np.ndarray, estimate: np.ndarray) -> None:
    """Mean 3D SSIM of the gaussian window by MONAI and torchmetrics, float32 on the processor, beside ours."""
    import torch
    from monai.metrics import SSIMMetric
    from torchmetrics.functional.image import structural_similarity_index_measure

    ours = seconds(lambda: ssim_map(reference, estimate, data_range=1.0, window="gaussian11"), 5)
    pair = [torch.from_numpy(image)[None, None] for image in (estimate, reference)]
    peers: dict[str, Callable[[], Any]] = {
        "MONAI": lambda: SSIMMetric(spatial_dims=3, data_range=1.0)(*pair),
        "torchmetrics": lambda: structural_similarity_index_measure(*pair, data_range=1.0),
    }
    print(f"gaussian window, torch with {torch.get_num_threads()} threads, ours {ours:.2f} s on one")
    for name, theirs in peers.items():
        with torch.no_grad():
            took = seconds(theirs, 1)
            print(f"  {name:<13} {took:6.2f} s: ours is {took / ours:.1f}x as fast; theirs says {float(theirs()):.5f}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--all", action="store_true", help="time every protocol")
    parser.add_argument("--peers", type=Path, default=None, help="folder that holds MONAI and torchmetrics")
    arguments = parser.parse_args()
    reference, estimate, regions = head()
    protocol = PROTOCOLS.get("recontrast")
    took = seconds(lambda: CaseScorer(protocol, reference, regions).score(estimate), 3)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    print(
        f"protocol {protocol.name}: {len(protocol.metrics)} metrics in {len(regions)} regions: {took:.2f} s on one "
        f"core, peak of the whole process {memory:.0f} MB"
    )
    compare_ssim(reference, estimate)
    if arguments.peers is not None:
        sys.path.append(str(arguments.peers))
        compare_peers(reference, estimate)
    for name in PROTOCOLS.names() if arguments.all else ():
        start = time.perf_counter()
        records = CaseScorer(PROTOCOLS.get(name), reference, regions).score(estimate)
        print(f"protocol {name:<18} {len(records):3d} values in {time.perf_counter() - start:6.2f} s")


if __name__ == "__main__":
    main()
