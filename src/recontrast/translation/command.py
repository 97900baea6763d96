"""`recontrast translate`: files, folders or data sets in, the missing contrast out, on the same grid."""

from __future__ import annotations

import dataclasses
import functools
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from recontrast import provenance
from recontrast.atomic import write_text
from recontrast.config import to_plain
from recontrast.errors import CheckpointError, ConfigError, RecontrastWarning, UnknownNameError
from recontrast.execution.attempts import collected_warnings
from recontrast.execution.workers import Summary, failures, run_cases, start_workers
from recontrast.io.bids import write_description
from recontrast.io.nifti import is_nifti
from recontrast.translation.cases import Selection, TranslationCase, find_cases, synthetic_label
from recontrast.translation.description import TranslatorDescription, read_description
from recontrast.translation.dicom import reads_dicom, translate_dicom
from recontrast.translation.maps import UNCERTAINTY, error_bar_words
from recontrast.translation.nifti import Job, translate_case, windows_asked_for
from recontrast.translation.output import (
    KEPT,
    CaseReport,
    check_leftovers,
    check_place,
    check_single,
    forget,
    made_before,
    open_folder,
    read_cases,
    relative,
    summary_lines,
    write_cases,
    write_record,
)
from recontrast.translation.settings import DType, TranslateSettings

if TYPE_CHECKING:
    from recontrast.translation.translator import Translator

__all__ = ["TranslateSettings", "get_ready", "translate", "translate_there"]

_NO_MEMORY = ("DefaultCPUAllocator", "could not create a memory object", "bad_alloc")
"""How PyTorch, oneDNN and OpenVINO say that memory ran out."""

_NOT_BIDS = ("cases.tsv", provenance.FILE_NAME, f"*_{UNCERTAINTY}.*", f"{KEPT}/")
"""Files of ours beside the images, which the BIDS validator shall pass over."""


def translate(settings: TranslateSettings) -> Summary:
    """Make the target contrast of one file or of every case of a folder.

    A case that cannot be translated is listed and the rest goes on. Started again, finished cases are kept when their
    sources, the translator and the settings are the same, else they are made again. Inputs are never changed.

    Raises:
        CheckpointError: The translator cannot be used.
        ConfigError: A setting is wrong, or OUT must not be written to.
        LayoutError: The input holds nothing to translate.
        RecontrastError: For a single file, whatever is wrong with it.
        OutputError: OUT cannot be written.

    Example:
        >>> translate(TranslateSettings(run=Path("run"), input=Path("cohort"), out=Path("synthetic")))  # doctest: +SKIP
    """
    _check(settings)
    about = read_description(settings.run).making(settings.target, settings.source)
    check_place(settings.input, settings.out, about.target)
    if reads_dicom(settings.input):
        translator = _load(settings)
        return translate_dicom(settings, translator, _deciding(settings, translator))
    selection = Selection(
        split=settings.split,
        subjects=settings.subjects,
        space=settings.space,
        prefer=settings.prefer,
        also=settings.also,
        harmonise=settings.harmonise,
    )
    cases = find_cases(settings.input, about, selection)
    for case in cases:
        _require_apart(case, settings.out)
    if _in_slices_here(settings, about):
        workers = min(settings.workers, sum(not case.problem for case in cases))
        start_workers(get_ready, settings, about.weights_sha256, workers=workers, memory_gb=settings.memory_gb)
    translator = _load(settings)
    if is_nifti(settings.out):
        return _translate_file(cases[0], translator, settings)
    job = Job(translator, settings.out, settings)
    deciding = _deciding(settings, translator)
    open_folder(settings.out, deciding)
    before = read_cases(settings.out)
    check_leftovers(settings.out, before, cases, about.weights_sha256)
    if settings.input.is_file():
        check_single(settings.out, cases[0])
    for outdated in made_before(settings.out, before, cases):
        forget(outdated)
    facts = {"deciding": deciding, "translator": job.facts_of(job.translator)["Translator"]}
    write_record(settings.out, settings, facts)
    write_description(
        settings.out,
        f"Synthetic {about.target} images",
        version=provenance.version(),
        derivative=True,
        sources=[str(settings.input.resolve())],
    )
    write_text(settings.out / ".bidsignore", "".join(f"{name}\n" for name in _NOT_BIDS))
    if settings.input.is_file():
        report = translate_case(cases[0], job)  # a single file: its error is the command's error
        reports, failed = {cases[0].key: report}, dict[str, str]()
    else:
        reports, failed = _translate_all(cases, job)
    write_cases(settings.out, cases, reports, failed, about.weights_sha256)
    write_record(settings.out, settings, facts, [report.hashes for report in reports.values()])
    lines = summary_lines(cases, reports, failed, settings.out, about, harmonise=settings.harmonise)
    made = [about.given(case.sources) for case in cases if case.key in reports] or [about]
    return Summary([*lines, *error_bar_words(made, settings.uncertainty)], failed)


def _check(settings: TranslateSettings) -> None:
    if settings.dtype not in get_args(DType):
        raise UnknownNameError.among("dtype", settings.dtype, get_args(DType))
    if settings.workers < 1:
        raise ConfigError(f"workers is {settings.workers}; at least 1 is needed")


def _load(settings: TranslateSettings) -> Translator:
    from recontrast.translation.engines.choice import EngineSettings
    from recontrast.translation.translator import load_translator

    engine = EngineSettings(
        engine=settings.engine, precision=settings.precision, device=settings.device, batch=settings.batch,
        memory_gb=settings.memory_gb, window=settings.window, overlap=settings.overlap,
    )  # fmt: skip
    translator = load_translator(settings.run, engine, settings.target)
    if not settings.rarity:
        translator.signals = None
    if not settings.distance:
        translator.training = None
    if not settings.uncertainty:
        translator = translator.with_error_bars({})
    return translator


def _deciding(settings: TranslateSettings, translator: Translator) -> dict[str, Any]:
    """Settings that must be the same for all images of a folder; single files may come one after the other."""
    names, about = ("space", "prefer", "dtype", "precision", "engine", "device", "volume"), translator.description
    return {
        "input": relative(settings.input, settings.out) if settings.input.is_dir() else "single files",
        "run": relative(translator.folder or settings.run, settings.out),
        **{name: value for name, value in to_plain(settings).items() if name in names},
        **(windows_asked_for(settings) if translator.description.spatial_dims == 3 else {}),
        **({} if about.bank is None else {"target": about.target, "source": list(settings.source)}),
    }


def _require_apart(case: TranslationCase, out: Path) -> None:
    results = {(out if is_nifti(out) else out / case.output).resolve()}
    for path in case.sources.values():
        if path.resolve() in results:
            raise ConfigError(f"{path}: is an input and would be overwritten; choose another OUT")


def _translate_file(case: TranslationCase, translator: Translator, settings: TranslateSettings) -> Summary:
    """One file in, one file with the name that was asked for out."""
    out = settings.out
    if case.harmonised and synthetic_label(case.harmonised) not in out.name:
        raise ConfigError(
            f"{out}: the name must say that the image was made from an acquired {case.harmonised}; for example "
            f"{out.with_name(case.output.name)}"
        )
    report = translate_case(
        TranslationCase(key=case.key, sources=case.sources, output=Path(out.name), harmonised=case.harmonised),
        Job(translator, out.parent, settings),
    )
    about = translator.given(case.sources).description
    words = error_bar_words([about], settings.uncertainty and not case.harmonised)
    return Summary([f"{'kept' if report.kept else 'wrote'} {out} ({report.engine}, {report.precision})", *words])


def _translate_all(cases: Sequence[TranslationCase], job: Job) -> tuple[dict[str, CaseReport], dict[str, str]]:
    """Reports of the cases that went well, and why the others did not."""
    failed = {case.key: case.problem for case in cases if case.problem and not case.skipped}
    ready = {case.key: (case,) for case in cases if not case.problem}
    settings = job.settings
    if settings.scheduler or (len(ready) > 1 and _goes_apart(job)):
        weights = job.translator.description.weights_sha256
        there = {key: (case, settings, weights) for key, (case,) in ready.items()}
        outcomes = run_cases(
            translate_there, there, workers=settings.workers, description="translate", scheduler=settings.scheduler,
            memory_gb=0.0 if settings.scheduler or _in_volumes(job) else settings.memory_gb,
        )  # fmt: skip
    else:
        here = {key: (case, job) for key, (case,) in ready.items()}
        outcomes = run_cases(translate_case, here, workers=settings.workers + 1, description="translate", threads=True)
    failed.update(failures(outcomes))
    reports: dict[str, CaseReport] = {outcome.case: outcome.value for outcome in outcomes if outcome.error is None}
    for report in reports.values():
        for message in report.doubts:
            warnings.warn(message, RecontrastWarning, stacklevel=3)
    return reports, failed


def _in_volumes(job: Job) -> bool:
    return job.translator.description.spatial_dims == 3


def _in_slices_here(settings: TranslateSettings, about: TranslatorDescription) -> bool:
    """What is known of `_goes_apart` before PyTorch is imported: whether a GPU will be used is guessed."""
    here = not settings.scheduler and settings.input.is_dir() and settings.engine != "compiled"
    on_cpu = settings.device == "cpu" or (settings.device == "auto" and not Path("/dev/nvidiactl").exists())
    return here and on_cpu and about.spatial_dims == 2


def get_ready(settings: TranslateSettings, weights_sha256: str) -> None:
    """Load the translator in a worker before its first case."""
    _loaded(settings, weights_sha256)


def _goes_apart(job: Job) -> bool:
    """Whether cases go through networks in processes of their own: slices on a processor gain little from many cores.

    A volume takes as much memory as is there, and a compiled network a minute to start.
    """
    settings = job.settings
    return (
        settings.workers > 1
        and not _in_volumes(job)
        and settings.engine != "compiled"
        and job.translator.device == "cpu"
    )


def translate_there(case: TranslationCase, settings: TranslateSettings, weights_sha256: str) -> CaseReport:
    """Translate one case in another process, here or on a cluster, which loads the translator once."""
    with collected_warnings() as doubts:
        try:
            report = translate_case(case, Job(_loaded(settings, weights_sha256), settings.out, settings))
        except RuntimeError as error:
            if any(sign in str(error) for sign in _NO_MEMORY):
                raise MemoryError from error
            raise
    return dataclasses.replace(report, doubts=tuple(doubts))


@functools.lru_cache(maxsize=1)
def _loaded(settings: TranslateSettings, weights_sha256: str) -> Translator:
    """The translator with these weights: the workers of a cluster outlive a command, and a run may be trained anew."""
    translator = _load(settings)
    if translator.description.weights_sha256 != weights_sha256:
        raise CheckpointError(f"{settings.run}: this worker finds another translator there; wait until it is copied")
    return translator
