"""How evaluation speeds up with workers: `python benchmarks/cohort_evaluation.py`, 200 heads on one and two.

Eight heads are made, random ellipsoids with brain and lesion masks; the others are the same files under other names.
The synthetic image is the truth with noise. Times are of `recontrast.evaluate` from files to tables, the better of two
rounds. A busy machine spoils the ratio: run it alone.

First the ceiling of the machine is measured: the same cases scored by one process alone, and by two processes that know
nothing of each other (started, imported and waiting for the gun; no tables, no statistics). Cores share caches and
memory, so two processes rarely do twice the work; no way of sharing out cases can be better than that.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from recontrast.evaluation.cases import CaseJob, evaluate_case
from recontrast.evaluation.command import EvaluateSettings, evaluate
from recontrast.evaluation.fitting import fit_controls
from recontrast.evaluation.matching import read_reference, read_synthetic
from recontrast.execution.processes import end_processes
from recontrast.io.bids import write_sidecar
from recontrast.io.nifti import write_volume
from recontrast.io.tables import write_table
from recontrast.preparation.normalize import fit_scale
from recontrast.volume import Volume

DISTINCT = 8
AFFINE = np.diag([2.0, 2.0, 2.0, 1.0])


def link_as(folder: Path, known: int, other: int) -> None:
    """The files of one subject under the name of another."""
    old, new = f"sub-{known:03d}", f"sub-{other:03d}"
    for path in [*(folder / "prepared" / old).rglob(f"{old}_*"), *(folder / "synthetic").glob(f"{old}_*")]:
        target = Path(str(path).replace(old, new))
        target.parent.mkdir(parents=True, exist_ok=True)
        os.link(path, target)


def write_cohort(folder: Path, heads: int, size: int) -> None:
    """A prepared folder with one training head and the others as test, and a synthetic image of each of those."""
    i, j, k = np.meshgrid(*[np.linspace(-1, 1, size)] * 3, indexing="ij")
    radius = np.sqrt((i / 0.8) ** 2 + (j / 0.9) ** 2 + (k / 0.85) ** 2)
    masks = {"head": radius < 1, "brain": radius < 0.8, "lesion": (i - 0.2) ** 2 + j**2 + k**2 < 0.02}
    splits = []
    for number in range(heads + 1):
        splits.append((f"sub-{number:03d}", "train" if number == 0 else "test"))
        if number > DISTINCT:
            link_as(folder, 1 + number % DISTINCT, number)
            continue
        rng, subject = np.random.default_rng(number), f"{number:03d}"
        anat = folder / "prepared" / f"sub-{subject}" / "anat"
        for label, brain in (("T1w", 700.0), ("T2w", 400.0)):
            image = np.where(masks["brain"], brain, np.where(masks["head"], 300.0, 0.0))
            image = np.where(masks["head"], image + 20 * rng.standard_normal(radius.shape), 0).astype(np.float32)
            path = anat / f"sub-{subject}_desc-prepared_{label}.nii.gz"
            write_volume(path, Volume(image, AFFINE))
            scale = fit_scale(Volume(image, AFFINE)).to_dict()
            write_sidecar(path, {"Scale": scale, "Contrast": label})
        for name, mask in masks.items():
            path = anat / f"sub-{subject}_desc-{name}_mask.nii.gz"
            write_volume(path, Volume(mask.astype(np.uint8), AFFINE), np.uint8)
        if number:
            made = folder / "synthetic" / f"sub-{subject}_desc-synthetic_T2w.nii.gz"
            noisy = np.where(masks["head"], image + 15 * rng.standard_normal(radius.shape), 0)
            write_volume(made, Volume(noisy.astype(np.float32), AFFINE))
            write_sidecar(made, {"Scale": scale, "Sources": [f"sub-{subject}_desc-prepared_T1w.nii.gz"]})
    prepared = folder / "prepared"
    write_table(prepared / "splits.tsv", pd.DataFrame(splits, columns=["subject", "split"]))
    cases = pd.DataFrame([(subject, "ok", None) for subject, _ in splits], columns=["case", "status", "message"])
    write_table(prepared / "cases.tsv", cases)
    (prepared / "provenance.json").write_text('{"stage": "prepare", "settings": {"scale": {"name": "percentile"}}}')


def score(jobs: list[CaseJob], start: Any) -> None:
    """Score the cases when all are ready."""
    evaluate_case(jobs[0])  # everything imported, libraries warm
    jobs[0].part.unlink()
    start.wait()
    for job in jobs:
        evaluate_case(job)


def seconds_of(parts: list[list[CaseJob]]) -> float:
    """Time from the gun to the end of the last of as many processes as there are parts."""
    context = multiprocessing.get_context("spawn")
    start = context.Barrier(len(parts) + 1)
    processes = [context.Process(target=score, args=(part, start)) for part in parts]
    for process in processes:
        process.start()
    start.wait()
    began = time.perf_counter()
    for process in processes:
        process.join()
    if any(process.exitcode for process in processes):
        raise SystemExit("a process of the ceiling failed")
    return time.perf_counter() - began


def ceiling(folder: Path, cases: int, rounds: int) -> float:
    """How many times the work of one process two processes do that know nothing of each other."""
    reference = read_reference(folder / "prepared", "T2w", "test")
    images = read_synthetic(folder / "synthetic").images
    controls, _ = fit_controls(("identity",), {}, 0)
    alone: list[float] = []
    both: list[float] = []
    for number in range(rounds):
        jobs = [
            CaseJob(
                expected=item, synthetic=images[item.case][0], target="T2w", sources=("T1w",), protocol="recontrast",
                synthetic_scale="", stored_scales=True, controls=controls,
                part=folder / f"ceiling-{number}-{way}-{item.case.key}.json", inputs="",
            )
            for way in ("alone", "both")
            for item in reference.expected[:cases]
        ]  # fmt: skip
        alone.append(seconds_of([jobs[:cases]]))
        both.append(seconds_of([jobs[cases::2], jobs[cases + 1 :: 2]]))
        print(f"ceiling, {cases} cases: one process {alone[-1]:.1f} s, two {both[-1]:.1f} s", flush=True)
    return min(alone) / min(both)


def processor_seconds() -> tuple[float, float]:
    """Processor time of this process, and of its processes that have ended."""
    return tuple(  # type: ignore[return-value]
        used.ru_utime + used.ru_stime
        for used in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


def main() -> None:
    """Write the cohort, evaluate it on one and on two workers, print times and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--heads", type=int, default=200)
    parser.add_argument("--size", type=int, default=112, help="voxels along each axis")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--ceiling", type=int, default=40, help="heads the ceiling is measured on")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        write_cohort(folder, arguments.heads, arguments.size)
        most = ceiling(folder, min(arguments.heads, arguments.ceiling), arguments.rounds)
        times: dict[int, list[float]] = {1: [], 2: []}
        processor: dict[int, tuple[float, float]] = {}
        for number in range(arguments.rounds):
            for workers, found in times.items():
                start, before = time.perf_counter(), processor_seconds()
                summary = evaluate(
                    EvaluateSettings(
                        synthetic=folder / "synthetic", reference=folder / "prepared",
                        out=folder / f"out-{workers}-{number}", controls=("identity",), workers=workers,
                    )
                )  # fmt: skip
                found.append(time.perf_counter() - start)
                end_processes()  # two workers start anew in every round
                own, others = (now - then for now, then in zip(processor_seconds(), before, strict=True))
                processor[workers] = (own, others)
                print(
                    f"{workers} worker(s): {found[-1]:.1f} s, processor {own:.1f} s here, {others:.1f} s in workers; "
                    f"{summary.done[0].split(':')[0]}",
                    flush=True,
                )
        ratio = min(times[1]) / min(times[2])
        here, elsewhere = processor[2]
        free = sum(processor[1]) / (here + elsewhere / 2)
        print(
            f"{arguments.heads} heads of {arguments.size}^3 voxels: {ratio:.2f} times as fast on two; "
            f"two processes that know nothing of each other: {most:.2f} times, the ceiling of this machine; "
            f"by processor seconds, were both cores free: {free:.2f} times"
        )


if __name__ == "__main__":
    main()
