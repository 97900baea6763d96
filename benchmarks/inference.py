"""Translating a whole 1 mm head (182x218x182): every engine as a ratio to eager fp32 PyTorch in the same run.

    python benchmarks/inference.py [--run RUN --source IMAGE] [--steps 120] [--repeats 5] [--monai FOLDER]

Without a run it simulates two heads at 1 mm, and trains the preset osman2022 (2D U-Net, width 16) on one of them for a
few steps: weights that were trained matter for the agreement of bf16 with fp32. Everything is measured twice: with the
allocator of the C library as it is, and with the settings that the command line uses. With MONAI (the folder that holds
it) its sliding windows run the same network as well: windows of the size of the training slices, a fourth of which
overlaps, blended by a Gaussian, eager fp32.
"""

from __future__ import annotations

import argparse
import gzip
import importlib.util
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np

SHAPE = (182, 218, 182)
BATCH = 2
REFERENCE = "torch fp32 (reference)"


def main() -> None:
    """Make a translator when none is given, then measure in two fresh processes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, help="a run whose translator takes one source")
    parser.add_argument("--source", type=Path, help="a 1 mm head for it")
    parser.add_argument("--reference", type=Path, help="the acquired target of that head, on the same grid")
    parser.add_argument("--steps", type=int, default=120, help="training steps when no run is given")
    parser.add_argument("--repeats", type=int, default=5, help="measurements of each engine; the fastest counts")
    parser.add_argument("--keep", type=Path, help="folder in which the translator that is made is kept")
    parser.add_argument("--compiled", action="store_true", help="also torch.compile, which needs a minute first")
    parser.add_argument("--monai", type=Path, help="folder that holds MONAI: its sliding windows are measured, too")
    parser.add_argument("--window", type=int, nargs=2, default=[144, 176], help="size of these windows")
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        measure(given)
        return
    from recontrast.execution.runtime import allocator_environment

    with tempfile.TemporaryDirectory() as scratch:
        arguments = sys.argv[1:]
        if given.run is None:
            run, source, reference = make_translator(given.keep or Path(scratch), given.steps)
            arguments += ["--run", str(run), "--source", str(source), "--reference", str(reference)]
        for title, extra in (("plain allocator", {}), ("tuned allocator", allocator_environment())):
            print(f"\n== {title}: {extra or 'nothing set'}", flush=True)
            command = [sys.executable, __file__, *arguments, "--measure"]
            subprocess.run(command, check=True, env={**os.environ, **extra})


def make_translator(folder: Path, steps: int) -> tuple[Path, Path, Path]:
    """Simulate, prepare and train at 1 mm; return the run, and T1w and T2w of the head that was left out."""
    from recontrast.io.nifti import read_volume, write_volume
    from recontrast.phantom.cohort import SimulateSettings, simulate
    from recontrast.preparation.pipeline import PrepareSettings, prepare
    from recontrast.training.command import TrainSettings, train

    print("simulating and training (not measured) …", flush=True)
    simulate(SimulateSettings(out=folder / "cohort", subjects=2, spacing_mm=1.0, contrasts=("T1w", "T2w"), motion=0.0))
    for path in sorted((folder / "cohort").glob("sub-*/anat/*.nii.gz")):
        volume = read_volume(path)
        write_volume(path, type(volume)(cropped(volume.data), volume.affine))
    prepare(PrepareSettings(bids=folder / "cohort", out=folder / "prepared", align=False, test=("02",)))
    overrides = (f"loop.steps={steps}", "data.batch=8", "loop.minutes=10", "loop.warmup_steps=5")
    settings = TrainSettings(
        prepared=folder / "prepared",
        run=folder / "run",
        source=("T1w",),
        target="T2w",
        preset="osman2022",
        set=overrides,
    )
    train(settings)
    anat = folder / "cohort" / "sub-02" / "anat"
    return folder / "run", anat / "sub-02_T1w.nii.gz", anat / "sub-02_T2w.nii.gz"


def cropped(data: np.ndarray) -> np.ndarray:
    """The middle of an image, cut or filled up with zeros to the benchmark's shape."""
    filled = np.pad(data, [(max(0, -(-(n - have) // 2)),) * 2 for n, have in zip(SHAPE, data.shape, strict=True)])
    starts = [(have - n) // 2 for n, have in zip(SHAPE, filled.shape, strict=True)]
    return filled[tuple(slice(start, start + n) for start, n in zip(starts, SHAPE, strict=True))]


def measure(given: argparse.Namespace) -> None:
    """Print the tables of one process."""
    import torch

    from recontrast.execution.runtime import supports_bf16
    from recontrast.io.nifti import read_volume
    from recontrast.preparation.normalize import fit_scale
    from recontrast.translation.slices import to_ras
    from recontrast.translation.translator import load_translator

    translator = load_translator(given.run)
    about = translator.description
    volume = read_volume(given.source)
    stack = translator.slices_of([fit_scale(volume, about.scale_settings).apply(to_ras(volume))])
    batches = [stack.batch(range(n, min(n + BATCH, len(stack)))) for n in range(0, len(stack), BATCH)]
    print(
        f"{about.preset} after {about.trained_steps} steps, {len(stack)} slices of {stack.batch([0]).shape[2:]}, batch "
        f"{BATCH}; torch {torch.__version__}, {torch.get_num_threads()} threads, bf16 units: {supports_bf16()}"
    )
    engines = ways(translator.network, given.compiled)
    eight = in_integers(translator.network, np.concatenate(batches))
    reference = None
    if given.reference is not None:
        target = read_volume(given.reference)
        reference = fit_scale(target, about.scale_settings).apply(to_ras(target))
        reference = np.moveaxis(reference, stack.axis, 0)
    table_of_engines({**engines, **eight}, batches, given.repeats, about.clip_output, reference)
    by_batch_size(engines, np.concatenate(batches), given.repeats)
    if given.monai:
        sliding_windows(given, translator.network, np.concatenate(batches), list(engines.items())[-1], reference)
    whole_command(given)
    compression(given.source)


def sliding_windows(
    given: argparse.Namespace, network: object, slices: np.ndarray,
    ours_is: tuple[str, Callable[[np.ndarray], np.ndarray]], reference: np.ndarray | None,
) -> None:  # fmt: skip
    """MONAI's windows over the same slices, and an engine of ours, in turns."""
    sys.path.append(str(given.monai))
    import torch
    from monai.inferers import SliceInferer
    from monai.utils import set_determinism

    set_determinism(0)
    inferer = SliceInferer(
        roi_size=tuple(given.window), spatial_dim=2, sw_batch_size=4, overlap=0.25, mode="gaussian", progress=False
    )
    volume = torch.from_numpy(np.ascontiguousarray(np.moveaxis(slices, 0, -1))[None])
    name, engine = ours_is
    theirs, ours = np.inf, np.inf
    for _ in range(given.repeats):
        start = time.perf_counter()
        with torch.inference_mode():
            windows = inferer(volume, network)[0, 0].numpy()
        theirs = min(theirs, time.perf_counter() - start)
        start = time.perf_counter()
        made = [engine(slices[first : first + BATCH])[:, 0] for first in range(0, len(slices), BATCH)]
        ours = min(ours, time.perf_counter() - start)
    images = np.moveaxis(windows, -1, 0), np.concatenate(made)
    rms = float(np.sqrt(np.mean((images[0] - images[1]) ** 2, dtype=np.float64)))
    print(
        f"MONAI, windows of {given.window[0]} x {given.window[1]}: {theirs:.2f} s a head; {name}, whole slices: "
        f"{ours:.2f} s, {theirs / ours:.1f} times faster; they differ by {rms:.4f} rms"
    )
    if reference is not None:
        errors = [np.mean((np.clip(image, 0, 1) - np.clip(reference, 0, 1)) ** 2) for image in images]
        print("PSNR to the scan: MONAI {:.3f} dB, ours {:.3f} dB".format(*(-10 * np.log10(error) for error in errors)))


def ways(network: object, compiled: bool) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    """What is compared; the first is what all others are measured against."""
    import torch
    from torch.nn import functional

    from recontrast.execution.runtime import supports_bf16
    from recontrast.translation.engines import openvino
    from recontrast.translation.engines.pytorch import PyTorchEngine

    def textbook(batch: np.ndarray) -> np.ndarray:
        """The same U-Net written as in textbooks: upsample, concatenate, convolve."""
        unet: object = network
        with torch.inference_mode():
            source = torch.from_numpy(batch)
            missing = [-n % 2**unet.depth for n in source.shape[2:]]
            features = functional.pad(source, (0, missing[1], 0, missing[0]), mode="replicate")
            skipped = []
            for number, level in enumerate(unet.down):
                features = level.first(features if number == 0 else functional.max_pool2d(features, 2)).relu()
                features = level.second(features).relu()
                skipped.append(features)
            for level, skip in zip(unet.up, reversed(skipped[:-1]), strict=True):
                larger = functional.interpolate(features, scale_factor=2.0, mode="nearest")
                features = level.second(level.first(torch.cat([larger, skip], 1)).relu()).relu()
            result = unet.activation(unet.head(features))[..., : source.shape[2], : source.shape[3]]
            return result.numpy()

    found: dict[str, Callable[[np.ndarray], np.ndarray]] = {}
    if hasattr(network, "depth") and hasattr(network, "activation"):
        found["torch eager fp32, textbook U-Net"] = textbook
    found[REFERENCE] = PyTorchEngine(network)
    precisions: tuple[Literal["fp32", "bf16"], ...] = ("fp32", "bf16") if supports_bf16() else ("fp32",)
    if "bf16" in precisions:  # without such units it is emulated, ten times slower, and never chosen
        found["torch bf16 channels-last"] = PyTorchEngine(network, "bf16")
    if compiled:
        found[f"torch compiled {precisions[-1]}"] = PyTorchEngine(network, precisions[-1], compiled=True)
    if openvino.installed():
        for precision in precisions:
            found[f"OpenVINO {precision}"] = openvino.OpenVINOEngine(network, precision)
    return found


def in_integers(network: object, slices: np.ndarray) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    """OpenVINO in integers of eight bits, where the processor has them, adapted to a few slices as by `translate`."""
    from recontrast.execution.runtime import supports_int8
    from recontrast.translation.engines import openvino
    from recontrast.translation.engines.choice import WIDER_SLICES

    if not (openvino.installed() and supports_int8()):
        return {}
    shown = np.flatnonzero(slices.any(axis=(1, 2, 3)))
    engine = openvino.OpenVINOEngine(network, "int8", BATCH)
    engine.adapt(slices[shown[np.linspace(0, len(shown) - 1, WIDER_SLICES).astype(int)]])
    return {"OpenVINO int8": engine}


def table_of_engines(
    engines: dict[str, Callable[[np.ndarray], np.ndarray]],
    batches: list[np.ndarray],
    repeats: int,
    clip: bool,
    reference: np.ndarray | None,
) -> None:
    """Seconds, ratios and agreement.

    The engines take turns at every batch, and the fastest of all repeats counts, batch by batch: other programs on the
    machine then disturb little, and none more than another.
    """
    outputs, first, fastest = {}, {}, {}
    for name, engine in engines.items():
        start = time.perf_counter()
        engine(batches[0])
        engine(batches[-1])
        first[name] = time.perf_counter() - start
        fastest[name] = np.full(len(batches), np.inf)
    for _ in range(repeats):
        pieces: dict[str, list[np.ndarray]] = {name: [] for name in engines}
        for number, batch in enumerate(batches):
            for name, engine in engines.items():
                start = time.perf_counter()
                pieces[name].append(engine(batch))
                fastest[name][number] = min(fastest[name][number], time.perf_counter() - start)
        outputs = {name: np.concatenate(pieces[name])[:, 0] for name in engines}
    best = {name: float(seconds.sum()) for name, seconds in fastest.items()}
    names = list(engines)
    exact = outputs[REFERENCE]
    titles = ("engine", "first", "head", "ratio", "rms/range", "PSNR to fp32", "PSNR to scan")
    print("{:34} {:>6} {:>6} {:>6} {:>10} {:>13} {:>13}".format(*titles))
    for name in names:
        rms = float(np.sqrt(np.mean((outputs[name] - exact) ** 2, dtype=np.float64)))
        agreement = f"{-20 * np.log10(rms):10.1f} dB" if rms else "     equal   "
        score = ""
        if reference is not None:
            image = np.clip(outputs[name], 0, 1) if clip else outputs[name]
            score = f"{-10 * np.log10(np.mean((image - np.clip(reference, 0, 1)) ** 2)):10.4f} dB"
        print(
            f"{name:34} {first[name]:5.1f}s {best[name]:5.2f}s {best[names[0]] / best[name]:5.1f}x {rms:10.1e} "
            f"{agreement} {score}"
        )


def by_batch_size(engines: dict[str, Callable[[np.ndarray], np.ndarray]], slices: np.ndarray, repeats: int) -> None:
    """The plain way with more slices at a time, as it is trained, beside the fastest engine."""
    names = list(engines)
    ways = [(names[0], 32), (names[0], 8), (names[0], BATCH), (names[-1], BATCH)]
    best = dict.fromkeys(ways, np.inf)
    for _ in range(repeats):
        for name, size in ways:
            start = time.perf_counter()
            for first in range(0, len(slices), size):
                engines[name](slices[first : first + size])
            best[name, size] = min(best[name, size], time.perf_counter() - start)
    print("whole head, slices at a time (fastest of all repeats):")
    for (name, size), seconds in best.items():
        print(f"  {name:34} {size:3} slices {seconds:6.2f} s, {seconds / best[ways[-1]]:4.1f}x the time of {names[-1]}")


def whole_command(given: argparse.Namespace) -> None:
    """`translate` from file to file: one head, then four, with what else there is to do."""
    from recontrast.execution.runtime import supports_int8
    from recontrast.io.nifti import read_volume, write_volume
    from recontrast.translation.command import TranslateSettings, translate

    precisions = ("fp32", "auto", "int8") if supports_int8() else ("fp32", "auto")
    volume = read_volume(given.source)
    with tempfile.TemporaryDirectory() as scratch:
        heads = Path(scratch) / "heads"
        for number in range(1, 5):
            write_volume(heads / f"sub-{number:02d}" / "anat" / f"sub-{number:02d}_T1w.nii.gz", volume)
        print("recontrast translate, file to file (engine auto), seconds a head:")
        for precision in precisions:
            for label, source in (("1 head", heads / "sub-01/anat/sub-01_T1w.nii.gz"), ("4 heads", heads)):
                start = time.perf_counter()
                out = Path(scratch) / f"{precision}-{label}"
                done = translate(TranslateSettings(run=given.run, input=source, out=out, precision=precision))
                seconds = (time.perf_counter() - start) / int(label[0])
                how = done.done[0].split("(")[1].split(")")[0]
                print(f"  {label:8} precision {precision:5} {seconds:6.2f} s   {how}")


def compression(source: Path) -> None:
    """Writing and reading .nii.gz through zlib and through isal, where that is installed."""
    from recontrast.io.nifti import read_volume

    data = np.ascontiguousarray(read_volume(source).data, np.float32).tobytes()
    ways = {"zlib level 1": gzip}
    if importlib.util.find_spec("isal") is not None:
        from isal import igzip

        ways["isal level 0"] = igzip
    print(f"compressing {len(data) / 1e6:.0f} MB of float32:")
    for name, library in ways.items():
        level = int(name[-1])
        start = time.perf_counter()
        packed = library.compress(data, compresslevel=level)
        middle = time.perf_counter()
        library.decompress(packed)
        print(
            f"  {name:14} write {middle - start:5.2f} s, read {time.perf_counter() - middle:5.2f} s, "
            f"{len(packed) / 1e6:.1f} MB"
        )


if __name__ == "__main__":
    main()
