"""The synthetic data set: where it may lie, what is already finished, what stands beside each image."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from recontrast import provenance
from recontrast.atomic import leftovers_of, make_folder
from recontrast.config import to_plain
from recontrast.errors import ConfigError, DataError, FormatError
from recontrast.io.bids import read_sidecar, sidecar_path
from recontrast.io.nifti import is_nifti
from recontrast.io.tables import read_table, write_table
from recontrast.translation.cases import SYNTHETIC, TranslationCase, output_name
from recontrast.translation.description import TranslatorDescription
from recontrast.translation.maps import rarity_path, uncertainty_path

if TYPE_CHECKING:
    from recontrast.translation.translator import Translation

STAGE = "translate"
TABLE = "cases.tsv"
COLUMNS = (
    "case", "subject", "session", "status", "message", "synthetic", "sources", "engine", "precision", "weights_sha256",
)  # fmt: skip
"""Columns of `cases.tsv`; status is ok, failed or skipped."""


DISTANCE = "DistanceFromTraining"
"""Entry of a sidecar: how far the sources are from the training scans."""

KEPT = ".kept"
"""Folder for results whose sources cannot be read at the moment."""


@dataclass(frozen=True)
class CaseReport:
    """What became of a case that was translated.

    Attributes:
        hashes: Input file to SHA-256.
        engine: Engine that made the image.
        precision: fp32 or bf16.
        kept: Whether an earlier run had finished it.
        doubts: Warnings that arose in another process, one line each.
    """

    hashes: Mapping[str, str]
    engine: str
    precision: str
    kept: bool
    doubts: tuple[str, ...] = ()


def check_place(source: Path, out: Path, target: str) -> None:
    """Refuse an output that would overwrite an input, or put synthetic images among acquired ones.

    Raises:
        ConfigError: OUT is the input, lies in it or in a raw BIDS data set (but not in its `derivatives`), is a file
            for a folder of inputs, or is a file whose name does not say that it is synthetic.
    """
    if is_nifti(out):
        if source.is_dir():
            raise ConfigError(f"{out}: is one file, the input {source} is a folder; name a folder for the results")
        if SYNTHETIC not in out.name.lower():
            proposal = out.with_name(output_name(source, target))
            raise ConfigError(f"{out}: the name of a synthetic image must say so; for example {proposal}")
        if out.exists() and read_sidecar(out).get("Synthetic") is not True:
            raise ConfigError(f"{out}: exists and was not made by `recontrast translate`; choose another name")
    place, inputs = out.resolve(), source.resolve()
    folder = inputs if source.is_dir() else None
    raw = [folder] if folder is not None else []
    raw += [parent for parent in (place, *place.parents) if _is_raw(parent)]
    for root in raw:
        if place.is_relative_to(root) and place.relative_to(root).parts[:1] != ("derivatives",):
            raise ConfigError(
                f"{out}: lies in {root}, among images that were not made by Recontrast; synthetic images must not be "
                f"mixed with them: choose another folder, or {root / 'derivatives' / 'recontrast'}"
            )


def open_folder(out: Path, deciding: Mapping[str, Any]) -> None:
    """Make or take over an output folder.

    Args:
        out: The folder.
        deciding: Settings that decide the result; they must equal those of an earlier run.

    Raises:
        ConfigError: The folder holds something else, or results of other settings.
        OutputError: It cannot be written.
    """
    make_folder(out)
    if not (out / provenance.FILE_NAME).is_file():
        if any(not item.name.startswith(".") for item in out.iterdir()):
            raise ConfigError(
                f"{out}: holds other files and was not made by `recontrast translate`; name another folder"
            )
        return
    earlier, _ = _recorded(out)
    changed = [
        f"{key} was {_given(earlier, key)}, is now {_given(deciding, key)}"
        for key in {**earlier, **deciding}
        if earlier.get(key) != deciding.get(key)
    ]
    if changed:
        raise ConfigError(
            f"{out}: holds images made with other settings ({'; '.join(changed)}); name another folder, or remove it"
        )


def write_record(out: Path, settings: Any, facts: Mapping[str, Any], hashes: Iterable[Mapping[str, str]] = ()) -> None:
    """Write `provenance.json`, with the hashes of all inputs so far: other runs may write into the folder meanwhile.

    Args:
        out: The folder.
        settings: Of the command.
        facts: What else the file says.
        hashes: Input file to SHA-256, of each case of this run.
    """
    inputs = _recorded(out)[1] if (out / provenance.FILE_NAME).is_file() else {}
    for own in hashes:
        inputs.update(own)
    provenance.write_provenance(out, STAGE, settings, extra={**facts, "inputs": inputs})


def _recorded(out: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """Settings that decided the images of a folder, and the hashes of their inputs."""
    try:
        before = json.loads((out / provenance.FILE_NAME).read_text(encoding="utf-8"))
        return dict(before["deciding"]), dict(before["inputs"])
    except (OSError, ValueError, KeyError, TypeError):
        raise ConfigError(f"{out}: was not made by `recontrast translate`; name another folder") from None


def _given(settings: Mapping[str, Any], key: str) -> str:
    return repr(settings[key]) if settings.get(key) is not None else "left out"


def read_cases(out: Path) -> pd.DataFrame:
    """The table of an earlier run in a folder; without rows where there was none.

    Raises:
        FormatError: It is another table.
    """
    if not (out / TABLE).is_file():
        return pd.DataFrame(columns=list(COLUMNS))
    table = read_table(out / TABLE, text_columns=COLUMNS)
    if not set(COLUMNS) <= set(table.columns):
        raise FormatError(f"{out / TABLE}: is not the table of `recontrast translate`; name another folder")
    return table


def check_leftovers(out: Path, table: pd.DataFrame, cases: Sequence[TranslationCase], weights_sha256: str) -> None:
    """Refuse a folder that would hold images of two translators.

    Args:
        out: The folder.
        table: Its `read_cases`.
        cases: As they are now.
        weights_sha256: Of the translator.

    Raises:
        ConfigError: Images that would not be made again were made by another translator.
    """
    others = _leftovers(table, cases)
    foreign = others[(others["status"] == "ok") & (others["weights_sha256"] != weights_sha256)]
    if len(foreign):
        raise ConfigError(
            f"{out}: holds {len(foreign)} images of another translator that would not be made again "
            f"({', '.join(foreign['case'][:3])}{' …' if len(foreign) > 3 else ''}); name another folder, or remove it"
        )


def _leftovers(table: pd.DataFrame, cases: Sequence[TranslationCase]) -> pd.DataFrame:
    """Rows of other runs' cases that are not among `cases`, which stay in the folder and its table."""
    again = table["case"].isin([case.key for case in cases])
    failed = (table["status"] == "failed") & table["case"].isin([case.case.key for case in cases if case.case])
    return table[~(again | failed)]  # a session without a source failed before, and is harmonised now


def check_single(out: Path, case: TranslationCase) -> None:
    """Refuse a single file whose result would take the place of that of another file.

    The same file may come again with other content, and so may the same content from another place.

    Args:
        out: The folder.
        case: The case of the file, which is the first of its sources.

    Raises:
        ConfigError: The image that is there was made from another file.
    """
    image, source = out / case.output, next(iter(case.sources.values()))
    try:
        content = read_sidecar(image) if image.is_file() else {}
    except DataError:
        return  # damaged: it is made again
    known = content.get("Sources")
    if not isinstance(known, list) or relative(source, out) in known:
        return
    if provenance.sha256_of(source) not in content.get("SourcesSHA256", ()):
        raise ConfigError(
            f"{source}: its result would take the place of {image}, which was made from {', '.join(map(str, known))}; "
            f"name another folder, or a file (NAME_{SYNTHETIC}.nii.gz) for the result"
        )


def made_before(out: Path, table: pd.DataFrame, cases: Sequence[TranslationCase]) -> list[Path]:
    """Results of an earlier run for cases that now have a problem: outdated, and nothing will take their place.

    Args:
        out: The folder.
        table: Its `read_cases`.
        cases: As they are now.
    """
    problems = {case.key for case in cases if case.problem}
    known = table["case"].isin(problems) & (table["status"] == "ok") & table["synthetic"].notna()
    return [out / str(name) for name in table.loc[known, "synthetic"]]


def finished(image: Path, facts: Mapping[str, Any]) -> dict[str, Any] | None:
    """The sidecar of a synthetic image that an earlier run made from the same input in the same way, else None.

    Args:
        image: The synthetic image.
        facts: What its sidecar must say: sources, their hashes, translator, settings.
    """
    if not image.is_file():
        return None
    try:
        content = read_sidecar(image)
    except DataError:
        return None  # damaged: made again
    return content if all(content.get(key) == value for key, value in facts.items()) else None


def set_aside(out: Path, name: Path) -> bool:
    """Put a result aside whose sources cannot be read, and which may not be outdated: nobody shall take it for one.

    Args:
        out: The folder.
        name: Path of the image in it.

    Returns:
        Whether a result is there now.
    """
    image, kept = out / name, out / KEPT / name
    if image.is_file():
        make_folder(kept.parent)
        for path, place in zip(_parts(image), _parts(kept), strict=True):  # the image first: by itself it is unfinished
            if path.is_file():
                path.replace(place)
    return kept.is_file()


def take_back(out: Path, name: Path) -> None:
    """Put a result back that was set aside, where no other has taken its place."""
    image, kept = out / name, out / KEPT / name
    if image.is_file() or not kept.is_file():
        forget(kept)
        return
    make_folder(image.parent)
    for path, place in reversed(list(zip(_parts(kept), _parts(image), strict=True))):
        if path.is_file():
            path.replace(place)


def forget(image: Path) -> None:
    """Remove an outdated result, its sidecar first, its maps, and what a killed run left of it."""
    own, sidecar, *maps = _parts(image)
    for path in (sidecar, own, *maps):
        path.unlink(missing_ok=True)
        for leftover in leftovers_of(path):
            leftover.unlink(missing_ok=True)


def _parts(image: Path) -> list[Path]:
    """The files of a result: the image, its sidecar, and each map after its own."""
    maps = [path for path in (uncertainty_path(image), rarity_path(image)) if path is not None]
    return [image, sidecar_path(image), *(part for one in maps for part in (sidecar_path(one), one))]


def relative(path: Path, base: Path) -> str:
    """Path as seen from a folder, so that both can be moved together."""
    try:
        return Path(os.path.relpath(path.resolve(), base.resolve())).as_posix()
    except ValueError:  # on another drive (Windows)
        return path.resolve().as_posix()


def stored_type(source: np.dtype[Any]) -> np.dtype[Any]:
    """Type for a synthetic image that is to be stored as its source is.

    Whole numbers get a slope over their range. 8 bits would be too coarse for that (steps of 0.4 % of the range) and
    become 16; 64 bits are more than the float32 of a network holds and become 32. Floating-point types stay.

    >>> stored_type(np.dtype(">i2")), stored_type(np.dtype("u1"))
    (dtype('int16'), dtype('uint16'))
    """
    other = {"uint8": "uint16", "int8": "int16", "uint64": "uint32", "int64": "int32"}
    native = source.newbyteorder("=")
    if native.kind == "f" and native.itemsize > 8:
        return np.dtype(np.float64)
    return np.dtype(other.get(native.name, native.name))


def write_cases(
    out: Path,
    cases: Sequence[TranslationCase],
    reports: Mapping[str, CaseReport],
    failed: Mapping[str, str],
    weights_sha256: str,
) -> None:
    """Write `cases.tsv`: every case that was asked for, and those of other runs, which may have ended meanwhile.

    Raises:
        FormatError: Another table has taken its place.
    """
    rows = []
    for case in cases:
        report = reports.get(case.key)
        status = "skipped" if case.skipped else "ok" if report is not None else "failed"
        rows.append(
            {
                "case": case.key,
                "subject": case.case.subject if case.case else None,
                "session": case.case.session if case.case else None,
                "status": status,
                "message": failed.get(case.key, case.problem) or None,
                "synthetic": case.output.as_posix() if report else None,
                "sources": ";".join(relative(path, out) for path in case.sources.values()) or None,
                "engine": report.engine if report else None,
                "precision": report.precision if report else None,
                "weights_sha256": weights_sha256 if report else None,
            }
        )
    table = pd.DataFrame(rows, columns=list(COLUMNS), dtype=object)
    others = _leftovers(read_cases(out), cases)[list(COLUMNS)]
    together = pd.concat([others.astype(object), table]) if len(others) else table
    write_table(out / TABLE, together.sort_values("case", kind="stable"))


def summary_lines(
    cases: Sequence[TranslationCase],
    reports: Mapping[str, CaseReport],
    failed: Mapping[str, str],
    out: Path,
    about: TranslatorDescription,
    *,
    harmonise: bool = False,
) -> list[str]:
    """What `translate` says at its end."""
    made = [report for report in reports.values() if not report.kept]
    how = sorted({f"{report.engine} {report.precision}" for report in reports.values()})
    skipped = sum(case.skipped for case in cases)
    parts = [f"nothing made in {out}"]
    if reports:
        parts = [f"{len(reports)} synthetic {about.target} in {out} ({', '.join(how)})"]
    if harmonise:
        kinds = Counter(case.harmonised or about.sources[0] for case in cases if case.key in reports)
        parts.append(" and ".join(f"{kinds[label]} from {label}" for label in (about.sources[0], about.target)))
    if len(made) < len(reports):
        parts.append(f"{len(reports) - len(made)} were finished before")
    if skipped:
        parts.append(f"{skipped} files skipped, see cases.tsv")
    if failed:
        parts.append(f"{len(failed)} failed")
    return ["; ".join(parts)]


def _is_raw(folder: Path) -> bool:
    """Whether a folder is the root of a BIDS data set of acquired images."""
    try:
        content = json.loads((folder / "dataset_description.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and content.get("DatasetType", "raw") == "raw" and "BIDSVersion" in content


def image_sidecar(made: Translation, about: TranslatorDescription, harmonised: str = "") -> dict[str, Any]:
    """What stands beside an image that a translator made; `harmonised` as in `TranslationCase`."""
    from recontrast.translation.engines.choice import PROBE_SLICES, TOLERANCE

    engine = made.choice.engine
    return {
        "Synthetic": True,
        "SyntheticStatement": about.synthetic_statement,
        "Contrast": about.target,
        "SourceContrasts": [harmonised] if harmonised else list(about.sources),
        **({"Harmonised": True} if harmonised else {}),
        "Scale": about.target_scale.to_dict(),
        "ScaleSettings": to_plain(about.scale_settings),
        "SourceScales": {label: scale.to_dict() for label, scale in made.scales.items()},
        "Engine": engine.name,
        "EngineVersion": engine.version,
        "Precision": engine.precision,
        "DifferenceFromFp32": {
            "rms": round(made.choice.rms, 5),  # further digits hang on the number of threads
            "tolerance": TOLERANCE,
            "slices": min(PROBE_SLICES, made.slices),
        },
        "SlicesTranslated" if about.spatial_dims == 2 else "WindowsTranslated": made.slices,
        **({} if made.outside is None else {"VoxelsOutsideTrainingSignals": round(made.outside, 6)}),
        **({} if made.distance is None else {DISTANCE: made.distance.to_dict()}),
        "RecontrastVersion": provenance.version(),
    }
