"""Many small cases: two workers beside one, and a run that is killed three times beside one that is left alone.

    python benchmarks/warehouse.py [--cases 200] [--voxel-mm 4] [--commands prepare translate evaluate]

Everything goes through the command line: starting Python, importing and handing cases over are part of the time.
Killed means SIGKILL to the command and all its workers, when a quarter, half and three quarters of the cases are done.
Results are compared byte by byte, all files but provenance.json, which holds the time of day.
On one core: one worker that is held to one core, as a job of a cluster with one processor is. Two workers on two cores
beside that is what a second core brings; it is the ratio that is wanted. Left free, one worker of `translate` packs one
case while it computes the next and keeps more than one core busy, so that two can gain no more than what is left.
Halves: two commands of one worker each, side by side, that do half of the cases and know nothing of each other. What
they gain over one command is what this machine gives when both its cores are busy. Busy: processor seconds of the whole
machine over seconds, with one worker left free and with two.
Repeats: the command on one core and with two workers, in turn; seconds and ratio are medians, and the least and the
largest ratio are printed. A machine that is shared changes its speed from minute to minute.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil

from recontrast.io.bids import BidsName, Case, write_description
from recontrast.io.nifti import write_volume
from recontrast.volume import Volume

WANTED = 1.8
"""Two workers on two cores must be this much faster than one on one."""

HELD_OUT = 4
"""Cases that are not evaluated: two to test, two to validate; evaluation is asked for those to train on."""

EXTENT_MM = (192, 224, 160)


def make_cohort(root: Path, count: int, voxel_mm: float) -> tuple[int, ...]:
    """Heads of ellipsoids in two contrasts, each with a shape, noise and shift of its own; returns their size."""
    write_description(root, "warehouse", version="0")
    shape = tuple(round(extent / voxel_mm) for extent in EXTENT_MM)
    grid = np.meshgrid(*[np.linspace(-1, 1, n) for n in shape], indexing="ij", sparse=True)
    affine = np.diag([voxel_mm] * 3 + [1.0])
    affine[:3, 3] = -voxel_mm * np.array(shape) / 2
    for number in range(count):
        rng = np.random.default_rng(number)
        radii = rng.uniform(0.9, 1.1, (3, 3))
        centres = rng.uniform(-0.04, 0.04, (3, 3))
        shells = [
            sum(((x - c) / (s * r)) ** 2 for x, c, s, r in zip(grid, centre, size, radius, strict=True)) < 1
            for centre, radius, size in zip(
                centres, radii, ((0.7, 0.85, 0.8), (0.55, 0.7, 0.62), (0.3, 0.42, 0.35)), strict=True
            )
        ]
        tissue = np.select([shells[2], shells[1], shells[0]], [3, 2, 1], 0)
        case = Case(f"{number + 1:04d}")
        for contrast, values in (("T1w", (5, 300, 600, 900)), ("T2w", (5, 350, 500, 300))):
            image = np.abs(np.array(values, np.float32)[tissue] + 12 * rng.standard_normal(shape))
            name = BidsName.of(case, contrast).filename
            write_volume(root / case.folder / "anat" / name, Volume(image.astype(np.float32), affine), np.int16)
    return shape


def make_run(run: Path, voxel_mm: float) -> None:
    """A translator of T1w to T2w that was never trained; its speed is that of a trained one."""
    import torch

    from recontrast.models import MODELS
    from recontrast.preparation.normalize import Scale
    from recontrast.translation.description import Member, TranslatorDescription
    from recontrast.translation.translator import save_translator

    torch.manual_seed(0)
    options = {"in_channels": 1, "out_channels": 1, "spatial_dims": 2, "width": 8, "depth": 3}
    description = TranslatorDescription(
        preset="warehouse",
        sources=("T1w",),
        target="T2w",
        model=Member(name="unet", options=options),
        recipe=Member(name="supervised"),
        target_scale=Scale("percentile", 0.0, 600.0),
        spacing_mm=(voxel_mm,) * 3,
    )
    save_translator(run / "translator", MODELS.build("unet", options), description)


def digest(folder: Path) -> dict[str, str]:
    """Relative path to SHA-256, of all files but the provenance."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "provenance.json"
    }


def start(command: list[str], cores: int = 0) -> subprocess.Popen[bytes]:
    """The command line in a process group of its own, one thread of numerical libraries a process; 0 cores: all."""
    held = ["taskset", "--cpu-list", f"0-{cores - 1}"] if cores else []
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    line = [*held, sys.executable, "-m", "recontrast", *command, "--quiet"]
    return subprocess.Popen(line, env=environment, stdout=subprocess.DEVNULL, start_new_session=True)


def processor_seconds() -> float:
    """Processor time of the machine: workers that are forked from a server are nobody's children here."""
    used = psutil.cpu_times()
    return float(used.user + used.system)


def timed(command: list[str], cores: int = 0) -> tuple[float, float]:
    """Seconds from the start of the command to its end, and how many cores it kept busy."""
    began, before = time.perf_counter(), processor_seconds()
    with start(command, cores) as process:
        status = process.wait()
    if status != 0:
        raise SystemExit(f"{' '.join(command)}: exit status {status}")
    seconds = time.perf_counter() - began
    return seconds, (processor_seconds() - before) / seconds


def side_by_side(commands: list[list[str]]) -> float:
    """Seconds until several commands that were started together have ended."""
    began = time.perf_counter()
    running = [start(command) for command in commands]
    if any(process.wait() for process in running):
        raise SystemExit("a command of the halves failed")
    return time.perf_counter() - began


def killed(command: list[str], done: Callable[[], int], count: int) -> list[int]:
    """Start and kill three times; returns how many cases were finished each time."""
    seen = []
    for share in (0.25, 0.5, 0.75):
        with start(command) as process:
            while process.poll() is None and done() < share * count:
                time.sleep(0.01)
            if process.poll() is not None:
                raise SystemExit(f"{' '.join(command)}: ended before it could be killed")
            os.killpg(process.pid, signal.SIGKILL)
        seen.append(done())
    return seen


def main() -> None:
    """Print one line a command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cases", type=int, default=200)
    parser.add_argument("--voxel-mm", type=float, default=4.0, help="size of a voxel; a head is 192 x 224 x 160 mm")
    parser.add_argument("--commands", nargs="+", default=["prepare", "translate", "evaluate"])
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--kill", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--halves", action=argparse.BooleanOptionalAction, default=True)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        measure(
            Path(name), asked.cases, asked.voxel_mm, asked.commands,
            kill=asked.kill, halves=asked.halves, repeats=asked.repeats,
        )  # fmt: skip


def measure(
    folder: Path, count: int, voxel_mm: float, commands: list[str], *, kill: bool, halves: bool, repeats: int
) -> None:
    """Make the cohort; run each command with one worker (free, on one core), two, two halves and, killed, with two."""
    raw, run = folder / "raw", folder / "run"
    shape = make_cohort(raw, count, voxel_mm)
    make_run(run, voxel_mm)
    names = [f"{number + 1:04d}" for number in range(count)]
    progress: dict[str, Callable[[Path], int]] = {
        "prepare": lambda out: len(list((out / ".recontrast").glob("sub-*.json"))),
        "translate": lambda out: len(list(out.glob("sub-*/anat/sub-*.json"))),
        "evaluate": lambda out: len(list((out / ".parts").glob("sub-*.json"))),
    }
    print(f"{count} cases of {'x'.join(map(str, shape))} voxels, two contrasts")
    print(
        f"{'command':10} {'on 1 core s':>11} {'2 workers s':>11} {'ratio':>6} {'from - to':>9} "
        f"{'1 free s':>9} {'ratio':>6} {'halves s':>9} {'ratio':>6} "
        f"{'busy 1, 2':>10} {'same bytes':>10}  killed at, then same bytes",
        flush=True,
    )
    last = max(("prepare", "translate", "evaluate").index(command) for command in commands)
    for command in ("prepare", "translate", "evaluate")[: last + 1]:
        parts = [line_of(command, folder, f"half{n}", raw, names[n::2]) for n in (0, 1)]
        alone = command in commands  # what is only made for the next command need not be made slowly
        one, busy = timed([*line_of(command, folder, "1", raw, names), "--workers", "1" if alone else "2"])
        apart = side_by_side([[*part, "--workers", "1"] for part in parts]) if halves else float("nan")
        if not alone:
            continue
        on_one, on_two = [], []
        for _ in range(repeats):
            for made in ("held", "2"):
                shutil.rmtree(folder / f"{command}-{made}", ignore_errors=True)
            on_one.append(timed([*line_of(command, folder, "held", raw, names), "--workers", "1"], cores=1)[0])
            on_two.append(timed([*line_of(command, folder, "2", raw, names), "--workers", "2"]))
        ratios = [slow / quick for slow, (quick, _) in zip(on_one, on_two, strict=True)]
        held, ratio = statistics.median(on_one), statistics.median(ratios)
        two, busy_two = (statistics.median(column) for column in zip(*on_two, strict=True))
        whole = digest(folder / f"{command}-1")
        same = whole == digest(folder / f"{command}-2") == digest(folder / f"{command}-held")
        verdict = "not tried"
        if kill:
            out = folder / f"{command}-killed"
            total = sum(1 for line in (folder / f"{command}-1" / "cases.tsv").read_text().splitlines()) - 1
            disturbed = [*line_of(command, folder, "killed", raw, names), "--workers", "2"]
            seen = killed(disturbed, lambda out=out, command=command: progress[command](out), total)
            timed(disturbed)
            verdict = f"{'/'.join(map(str, seen))} of {total}: {'yes' if digest(out) == whole else 'NO'}"
            shutil.rmtree(out)
        print(
            f"{command:10} {held:11.1f} {two:11.1f} {ratio:6.2f} "
            f"{f'{min(ratios):.2f}-{max(ratios):.2f}':>9} "
            f"{one:9.1f} {one / two:6.2f} {apart:9.1f} {one / apart:6.2f} "
            f"{busy:5.2f} {busy_two:4.2f} {'yes' if same else 'NO':>10}  {verdict}",
            flush=True,
        )
    print(f"wanted: a ratio of at least {WANTED}")


def line_of(command: str, folder: Path, out: str, raw: Path, names: list[str]) -> list[str]:
    """Command line for some of the cases; translate and evaluate take up what the command before made of them."""
    made = f"half{out[-1]}" if out.startswith("half") else "1"
    result = str(folder / f"{command}-{out}")
    prepared, synthetic = folder / f"prepare-{made}", folder / f"translate-{made}"
    test, validation = names[: HELD_OUT // 2], names[HELD_OUT // 2 : HELD_OUT]
    if out.startswith("half"):
        test, validation = test[:1], names[1:2]
    if command == "prepare":
        chosen = ["--subjects", *names, "--test", *test, "--validation", *validation]
        return ["prepare", str(raw), result, *chosen]
    if command == "translate":
        return ["translate", str(folder / "run"), str(prepared), result, "--engine", "torch"]
    controls = ["--controls", "identity", "affine", "--split", "train"]
    return ["evaluate", str(synthetic), str(prepared), result, *controls]


if __name__ == "__main__":
    main()
