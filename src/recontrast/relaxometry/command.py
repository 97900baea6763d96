"""The command `synthesize`: parameter maps in, images of any spin-echo sequence out."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recontrast.atomic import PARTIAL, make_folder, remove_partial_files
from recontrast.config import to_plain
from recontrast.errors import ConfigError, UnknownNameError
from recontrast.execution.workers import Summary, failures, run_cases
from recontrast.io.bids import BidsName, Case, write_description, write_sidecar
from recontrast.io.nifti import write_volume
from recontrast.phantom.sequences import TurboSpinEcho
from recontrast.preparation.normalize import ScaleSettings, fit_scale
from recontrast.provenance import FILE_NAME, version, write_provenance
from recontrast.relaxometry.files import MapFiles, find_map_files, read_maps
from recontrast.relaxometry.results import forget, read_failed, write_cases
from recontrast.relaxometry.synthesis import required_maps, spin_echo_sequence
from recontrast.relaxometry.synthesis import synthesize as synthetic_image
from recontrast.volume import Volume

STATEMENT = (
    "Synthetic image computed from parameter maps by a signal equation that assumes one tissue a voxel. It was not "
    "acquired with this sequence and must not be used for diagnosis as if it were."
)


@dataclass(frozen=True, kw_only=True)
class SynthesizeSettings:
    """What to synthesize."""

    maps: Path
    """BIDS data set or folder with T1map (or R1map), T2map (or R2map) and PDmap of each case."""
    out: Path
    """Folder of the data set to make."""
    sequence: str = "FLAIR"
    """Contrast: FLAIR, T1w, T2w or PDw; it gives the name and the times that are not given."""
    tr: float | None = None
    """Repetition time in ms; left out: the usual one of the contrast."""
    te: float | None = None
    """Echo time in ms; left out: the usual one of the contrast."""
    ti: float | None = None
    """Inversion time in ms, 0 for none; left out: the usual one of the contrast."""
    subjects: tuple[str, ...] = ()
    """Only these subjects; left out: all."""
    workers: int = 2
    """Cases at the same time."""


def synthesize(settings: SynthesizeSettings) -> Summary:
    """Make images from parameter maps by the signal equation of a spin echo, with or without inversion.

    Names and sidecars say that the images are synthetic and with which times. Cases of which a map is missing or not
    physical fail by themselves; nothing is written for them.

    Args:
        settings: What to make of what.

    Raises:
        ConfigError: A time is impossible, or the folder holds something else.
        LayoutError: There are no maps.
        OutputError: The folder cannot be written.

    Example:
        >>> synthesize(SynthesizeSettings(maps=Path("cohort/derivatives/truth"), out=Path("bloch"))).done
        ... # doctest: +SKIP
        ['synthesized FLAIR TR/TE/TI 15000/100/3000 ms of 4 cases in bloch']
    """
    sequence = spin_echo_sequence(settings.sequence, settings.tr, settings.te, settings.ti)
    found = _chosen(find_map_files(settings.maps), settings)
    lost = _lost(found, settings)
    require_place(settings.out, settings.maps, "synthesize", _deciding(settings))
    out = make_folder(settings.out)
    remove_partial_files(out)
    # First, so that a killed run is known as this one and can be started again.
    write_provenance(out, "synthesize", settings, extra={"deciding": _deciding(settings)})
    write_description(
        out, f"Synthetic {settings.sequence} from parameter maps", version=version(), derivative=True,
        sources=(str(settings.maps),),
    )  # fmt: skip
    job = functools.partial(_one_case, sequence=sequence, settings=settings)
    cases = {files.case.key: (files,) for files in found}
    outcomes = run_cases(job, cases, workers=settings.workers, description="synthesize")
    forget(_path(settings, case) for case in lost)
    failed = {**failures(outcomes), **{case.key: f"has no maps: {reason}" for case, reason in lost.items()}}
    write_cases(out, [*(files.case for files in found), *lost], failed)
    inputs = [path for files in found if files.case.key not in failed for path in files.paths.values()]
    write_provenance(out, "synthesize", settings, inputs, {"deciding": _deciding(settings)})
    made = sum(files.case.key not in failed for files in found)
    return Summary([f"synthesized {_times(settings.sequence, sequence)} of {made} cases in {out}"], failed)


def _one_case(files: MapFiles, *, sequence: TurboSpinEcho, settings: SynthesizeSettings) -> None:
    path = _path(settings, files.case)
    forget([path])  # it must not stand for a case that fails now
    needed = required_maps(sequence)
    maps, grid = read_maps(files, needed)
    volume = Volume(synthetic_image(maps, sequence), grid.affine)
    fitting = ScaleSettings()
    scale = fit_scale(volume, fitting)
    write_volume(path, volume, like=files.paths["PD"], description="SYNTHETIC, from parameter maps")
    write_sidecar(
        path,
        {
            **{key: value for key, value in sequence.sidecar().items() if key not in ("EchoTrainLength", "FlipAngle")},
            "PulseSequenceType": f"Synthetic {_times(settings.sequence, sequence)}",
            "Synthetic": True,
            "SyntheticStatement": STATEMENT,
            "Sources": [_relative(files.paths[name], settings.maps) for name in needed],
            "Scale": scale.to_dict(),
            "ScaleSettings": to_plain(fitting),
            "Units": "proton density",
        },
    )


def _path(settings: SynthesizeSettings, case: Case) -> Path:
    return settings.out / case.folder / "anat" / BidsName.of(case, settings.sequence, desc="synthetic").filename


def _lost(found: list[MapFiles], settings: SynthesizeSettings) -> dict[Case, str]:
    """Cases without maps because `quantify` could not fit them, and why."""
    there = {files.case for files in found}
    wanted = [subject.removeprefix("sub-") for subject in settings.subjects]
    return {
        case: reason
        for case, reason in read_failed(settings.maps).items()
        if case not in there and (not wanted or case.subject in wanted)
    }


def require_place(out: Path, source: Path, stage: str, deciding: dict[str, Any]) -> None:
    """Refuse an output folder that is the input, lies in it, or holds something else.

    Args:
        out: Where results go.
        source: Where the input is.
        stage: The command.
        deciding: Settings that decide the result; they must equal those of an earlier run in the folder.

    Raises:
        ConfigError: As said.
    """
    place, inputs = out.resolve(), source.resolve()
    if place.is_relative_to(inputs) and place.relative_to(inputs).parts[:1] != ("derivatives",):
        raise ConfigError(f"{out}: lies in the input {source}; name another folder, or one in {source / 'derivatives'}")
    if not out.is_dir() or all(path.name.startswith(PARTIAL) for path in out.iterdir()):
        return
    try:
        former = json.loads((out / FILE_NAME).read_text(encoding="utf-8"))
        same = former["stage"] == stage and former["deciding"] == deciding
    except (OSError, ValueError, KeyError, TypeError):
        raise ConfigError(f"{out}: holds other files; name another folder") from None
    if not same:
        raise ConfigError(f"{out}: was made by another command or with other settings; name another folder")


def _deciding(settings: SynthesizeSettings) -> dict[str, Any]:
    plain = to_plain(settings)
    return {key: value for key, value in plain.items() if key in ("maps", "sequence", "tr", "te", "ti")}


def _chosen(found: list[MapFiles], settings: SynthesizeSettings) -> list[MapFiles]:
    subjects = {files.case.subject for files in found}
    wanted = [subject.removeprefix("sub-") for subject in settings.subjects]
    for subject in wanted:
        if subject not in subjects:
            raise UnknownNameError.among("subject with parameter maps:", subject, subjects)
    return [files for files in found if not wanted or files.case.subject in wanted]


def _times(name: str, sequence: TurboSpinEcho) -> str:
    times = [sequence.repetition_time_s, sequence.echo_time_s]
    times += [sequence.inversion_time_s] if sequence.inversion_time_s else []
    return f"{name} {'TR/TE/TI' if len(times) == 3 else 'TR/TE'} {'/'.join(f'{1000 * t:g}' for t in times)} ms"


def _relative(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()
