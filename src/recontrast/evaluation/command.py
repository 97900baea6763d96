"""`recontrast evaluate`: score synthetic images and controls against acquired references, and do the statistics."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from threading import Thread
from typing import Any

import pandas as pd

from recontrast.atomic import make_folder, write_json
from recontrast.config import to_plain
from recontrast.errors import RecontrastWarning
from recontrast.evaluation.cases import CaseJob, CaseResult, evaluate_case, sample_training_case
from recontrast.evaluation.controls import CONTROLS
from recontrast.evaluation.doubts import mixed_regions, partly_scored, sequences_assumed, undefined_values, warnings_of
from recontrast.evaluation.fidelity import (
    Fidelity,
    FidelitySettings,
    check_segmenters,
    measure_fidelity,
    write_fidelity,
)
from recontrast.evaluation.fitting import VOXELS, FittedControl, Sample, cases_by_words, fingerprint, fit_controls
from recontrast.evaluation.intervals import write_intervals
from recontrast.evaluation.leaks import PASSED, LeakCheck, check_leaks
from recontrast.evaluation.matching import (
    Reference,
    Synthetic,
    read_reference,
    read_synthetic,
    source_labels,
    with_brain_masks,
)
from recontrast.evaluation.paper_table import paper_table, write_paper_table
from recontrast.evaluation.protocols import PROTOCOLS, Protocol
from recontrast.evaluation.ready import get_ready
from recontrast.evaluation.scores import with_every_estimator, with_every_region
from recontrast.evaluation.segmentation import SEGMENTERS
from recontrast.evaluation.settings import EvaluateSettings
from recontrast.evaluation.tables import (
    ScoredCase,
    conclusions,
    describe_interval,
    read_margins,
    scores_table,
    statistics_table,
)
from recontrast.execution.workers import Summary, failures, run_cases, start_workers
from recontrast.io.bids import Case
from recontrast.io.tables import write_table
from recontrast.metrics.perceptual import read_weights
from recontrast.provenance import earlier_result, refuse_other_settings, version, write_provenance

__all__ = ["EvaluateSettings", "evaluate"]

_PARTS = ".parts"
"""Folder of finished cases while a run goes on; a run that was stopped takes them up."""

_NOT_COMPARED = ("workers", "memory_gb", "scheduler", "out", "keep_labels")

Problems = Mapping[str, tuple[str, str]]
"""Case key to status (missing, failed) and reason."""

CASE_COLUMNS = (
    "case", "subject", "session", "status", "message", "synthetic", "reference", "source", "reference_offset",
    "reference_factor", "synthetic_offset", "synthetic_factor", "scaled_by", "regions_taken", "leak_check",
)  # fmt: skip


def evaluate(settings: EvaluateSettings) -> Summary:
    """Score every expected case and write the evaluation folder.

    Raises:
        ConfigError: Unknown protocol or control, subjects of the translator's training set, or an output folder that
            holds an evaluation with other settings.
        LayoutError: No synthetic image or no expected case is found.
        FormatError: The weights of LPIPS cannot be read.

    Example:
        >>> evaluate(EvaluateSettings(synthetic=Path("syn"), reference=Path("prep"), out=Path("ev")))  # doctest: +SKIP
    """
    protocol = PROTOCOLS.get(settings.protocol)
    for name in settings.controls:
        CONTROLS.get(name)
    if settings.lpips_weights is not None:
        read_weights(settings.lpips_weights)
    check_segmenters(_segmentation(settings))
    for metric in read_margins(settings.margins):
        protocol.use(metric)
    refuse_other_settings(settings.out, earlier_result(settings.out, "evaluate"), settings, _NOT_COMPARED)
    synthetic = read_synthetic(settings.synthetic, settings.target)
    reference = read_reference(settings.reference, synthetic.target, settings.split, settings.space)
    if settings.brain_masks is not None:
        reference = with_brain_masks(reference, settings.brain_masks)
    sources = source_labels(synthetic, settings.sources)
    ready, problems = _matched(reference, synthetic)
    start_workers(
        get_ready, workers=min(settings.workers, len(ready)), scheduler=settings.scheduler,
        memory_gb=settings.memory_gb,
    )  # fmt: skip
    leak = check_leaks(ready, settings.synthetic, allow=settings.allow_training_subjects)
    make_folder(settings.out)
    work = _Work(settings, protocol, reference, synthetic, sources, leak)
    controls, not_fitted, voxels = _controls(work, ready)
    Thread(target=import_module, args=("scipy.stats",)).start()  # takes half a second: while the cases are scored
    outcomes = run_cases(
        evaluate_case,
        _jobs(work, ready, controls, voxels),
        workers=settings.workers,
        description="evaluate",
        scheduler=settings.scheduler,
        memory_gb=settings.memory_gb,
    )
    problems |= {key: ("failed", reason) for key, reason in failures(outcomes).items()}
    fidelity = _fidelity(work, ready) if settings.segmenter else Fidelity()
    results = {outcome.case: outcome.value for outcome in outcomes if outcome.error is None}
    described = _describe_controls(settings.controls, controls, not_fitted, results)
    lines = _write(work, results, problems, described)
    if settings.segmenter:
        lines += write_fidelity(settings.out, fidelity, leak.status, settings.seed)
    shutil.rmtree(settings.out / _PARTS, ignore_errors=True)
    failed = {key: f"{status}: {reason}" for key, (status, reason) in problems.items()}
    return Summary(lines, failed | {f"segmentation of {key}": reason for key, reason in fidelity.failed.items()})


@dataclass(frozen=True)
class _Work:
    """What is evaluated, and how."""

    settings: EvaluateSettings
    protocol: Protocol
    reference: Reference
    synthetic: Synthetic
    sources: tuple[str, ...]
    leak: LeakCheck

    @property
    def stored_scales(self) -> bool:
        """Whether the scales stored with the references are those of the protocol."""
        return self.reference.scale_settings == self.protocol.normaliser


def _segmentation(settings: EvaluateSettings) -> FidelitySettings:
    return FidelitySettings(
        settings.segmenter, settings.labels, settings.resample, settings.workers, settings.seed, settings.memory_gb,
        settings.scheduler, settings.keep_labels,
    )  # fmt: skip


def _fidelity(work: _Work, ready: Mapping[Case, Path]) -> Fidelity:
    """Segment the cases that can be scored."""
    expected = {item.case: item for item in work.reference.expected}
    pairs = [(expected[case], path) for case, path in ready.items()]
    return measure_fidelity(pairs, work.synthetic.target, _segmentation(work.settings), work.settings.out / _PARTS)


def _matched(reference: Reference, synthetic: Synthetic) -> tuple[dict[Case, Path], dict[str, tuple[str, str]]]:
    """Cases that can be scored, with their synthetic image; and for the others status and reason."""
    ready: dict[Case, Path] = {}
    problems: dict[str, tuple[str, str]] = {}
    for item in reference.expected:
        found = synthetic.images.get(item.case, ())
        if item.problem:
            problems[item.case.key] = ("failed", item.problem)
        elif not found:
            copy = any(image.name.case == item.case for image in synthetic.copies)
            but = f" but one made from its acquired {synthetic.target}, which is no evidence" if copy else ""
            problems[item.case.key] = ("missing", f"no synthetic {synthetic.target} in {synthetic.folder}{but}")
        elif len(found) > 1:
            names = ", ".join(path.name for path in found)
            problems[item.case.key] = ("failed", f"several synthetic {synthetic.target} images ({names}); keep one")
        else:
            ready[item.case] = found[0]
    return ready, problems


def _controls(work: _Work, ready: Mapping[Case, Path]) -> tuple[dict[str, FittedControl], dict[str, str], str]:
    """Fitted controls, reasons for those that are not, and the fingerprint of the training voxels."""
    settings, training = work.settings, work.reference.training
    if not work.sources:
        reason = "the sources of the synthetic images are not known; name them with --sources"
        return {}, dict.fromkeys(settings.controls, reason), ""
    samples: dict[str, dict[str, Sample]] = {}
    why = "no training subjects to fit it on"
    if training and any(CONTROLS.get(name).learns for name in settings.controls):
        share = max(1, VOXELS // len(training))
        maps = any(CONTROLS.get(name).from_maps for name in settings.controls)
        arguments = {
            case.case.key: (
                case, work.synthetic.target, work.sources, work.protocol.name, work.stored_scales,
                share, (settings.seed, number), maps,
            )
            for number, case in enumerate(training)
        }  # fmt: skip
        outcomes = run_cases(
            sample_training_case,
            arguments,
            workers=settings.workers,
            description="training voxels of the controls",
            scheduler=settings.scheduler,
            memory_gb=settings.memory_gb,
        )
        for key, reason in failures(outcomes).items():
            warnings.warn(f"{key}: not used to fit the controls: {reason}", RecontrastWarning, stacklevel=3)
            why = f"no training subject could be used: {reason}"
        samples = {outcome.case: outcome.value for outcome in outcomes if outcome.error is None}
    scored = [item for item in work.reference.expected if item.case in ready]
    without_brain = any(all(region.name != "brain" for region in item.regions) for item in scored)
    fitted, absent = fit_controls(settings.controls, samples, settings.seed, whole_head=without_brain)
    # Without any training voxels the reason lies before the fit; with some, in the control.
    return fitted, absent if samples else dict.fromkeys(absent, why), fingerprint(samples)


def _jobs(
    work: _Work, ready: Mapping[Case, Path], controls: Mapping[str, FittedControl], voxels: str
) -> dict[str, tuple[CaseJob]]:
    settings = work.settings
    kept = {key: value for key, value in to_plain(settings).items() if key not in _NOT_COMPARED}
    inputs = json.dumps([kept, voxels, work.sources, version()], sort_keys=True)
    expected = {item.case: item for item in work.reference.expected}
    return {
        case.key: (
            CaseJob(
                expected=expected[case],
                synthetic=path,
                target=work.synthetic.target,
                sources=work.sources,
                protocol=work.protocol.name,
                synthetic_scale=settings.synthetic_scale,
                stored_scales=work.stored_scales,
                controls=controls,
                part=settings.out / _PARTS / f"{case.key}.json",
                inputs=hashlib.sha256(inputs.encode()).hexdigest(),
                regions=settings.regions,
                lpips_weights=settings.lpips_weights,
                resample=settings.resample,
                seed=settings.seed,
                tissues_from=settings.tissues_from,
            ),
        )
        for case, path in ready.items()
    }


def _write(
    work: _Work, results: Mapping[str, CaseResult], problems: Problems, controls: Mapping[str, Any]
) -> list[str]:
    """Write the evaluation folder; return the lines to print."""
    settings, protocol, leak, out = work.settings, work.protocol, work.leak, work.settings.out
    records = with_every_estimator(
        with_every_region(
            {key: result.records for key, result in results.items()}, (*protocol.regions, *settings.regions)
        )
    )
    scored = [ScoredCase(result.case, records[key]) for key, result in results.items()]
    statistics = statistics_table(
        scored,
        protocol,
        missing=len(problems),
        leak_check=leak.status,
        seed=settings.seed,
        test=settings.test,
        margins=read_margins(settings.margins),
    )
    scores = scores_table(scored, protocol, leak.status)
    write_table(out / "scores.tsv", scores)
    write_paper_table(out, paper_table(scores, protocol), protocol)
    write_table(out / "statistics.tsv", statistics)
    write_table(out / "cases.tsv", _cases_table(work, results, problems))
    bars = {r.case: r.intervals for r in results.values() if r.intervals is not None}
    told = write_intervals(out, bars, protocol.name, leak.status)
    regions = sorted({record.region for case in scored for values in case.records.values() for record in values})
    primary = protocol.primary_region(regions) if regions else ""
    sentences = conclusions(statistics, protocol, primary)
    expected = {item.case for item in work.reference.expected}
    content = {
        "protocol": to_plain(protocol),
        "primary_region": primary,
        "target": work.synthetic.target,
        "synthetic_scale": settings.synthetic_scale or protocol.synthetic_scale,
        "scaled_by": dict(Counter(result.scaled_by for result in results.values())),
        "resample": settings.resample,
        "sources": list(work.sources),
        "split": work.reference.split,
        "regions": regions,
        "regions_made": _describe_regions(settings),
        "warnings": [
            *warnings_of({key: result.message for key, result in results.items()}, protocol),
            *mixed_regions({key: result.regions_taken for key, result in results.items()}),
        ],
        "undefined": [*undefined_values(records), *partly_scored(controls, len(results))],
        "cases": {"expected": len(expected), "scored": len(results), "not_scored": len(problems)},
        "controls": controls,
        "interval": describe_interval(statistics),
        "conclusions": sentences,
        "error_bars": told,
        "translators": [dict(facts) for facts in leak.translators],
        "leak_check": {
            "status": leak.status,
            "training_subjects_evaluated": list(leak.leaked),
            "validation_subjects_evaluated": list(leak.validated),
            "reasons": list(leak.reasons),
        },
        "made_from_the_target": [image.name.filename for image in work.synthetic.copies],
        "synthetic_not_expected": sorted(case.key for case in work.synthetic.images if case not in expected),
    }
    write_json(out / "evaluation.json", content)
    images = [path for paths in work.synthetic.images.values() for path in paths]
    references = [i.images[work.synthetic.target] for i in work.reference.expected if work.synthetic.target in i.images]
    hashes = {Path(path): digest for result in results.values() for path, digest in result.hashes.items()}
    write_provenance(out, "evaluate", settings, [*images, *references], hashes=hashes)
    return [*_told(work, content), *told, *sentences]


def _told(work: _Work, content: Mapping[str, Any]) -> list[str]:
    """What the screen shows of `evaluation.json`, but for error bars and conclusions."""
    counts, leak = content["cases"], work.leak
    lines = [
        f"{counts['scored']} of {counts['expected']} cases scored by protocol {work.protocol.name}: {work.settings.out}"
    ]
    if content["synthetic_not_expected"]:
        without = content["synthetic_not_expected"]
        images_are = "image without a reference was" if len(without) == 1 else "images without a reference were"
        lines.append(f"{len(without)} synthetic {images_are} left out: {', '.join(without)}")
    if work.synthetic.copies:
        number = len(work.synthetic.copies)
        lines.append(
            f"{number} synthetic {'image' if number == 1 else 'images'} made from acquired {work.synthetic.target} "
            "(translate --harmonise) left out: no evidence against the images they were made from"
        )
    if leak.status != PASSED:
        lines.append("; ".join([f"leak check: {leak.status}", *leak.reasons]))
    lines += sequences_assumed(content["controls"], counts["scored"])
    return [*lines, *content["undefined"], *(f"warning: {text}" for text in content["warnings"])]


def _cases_table(work: _Work, results: Mapping[str, CaseResult], problems: Problems) -> pd.DataFrame:
    target, out = work.synthetic.target, work.settings.out
    rows = []
    for item in work.reference.expected:
        key, result = item.case.key, results.get(item.case.key)
        status, message = problems.get(key, ("ok", result.message if result else ""))
        rows.append(
            {
                "case": key,
                "subject": f"sub-{item.case.subject}",
                "session": item.case.session,
                "status": status,
                "message": " ".join(message.split()) or None,
                "synthetic": _relative(work.synthetic.images.get(item.case, ())[:1], out),
                "reference": _relative([path for label, path in item.images.items() if label == target], out),
                "source": _relative([item.images[label] for label in work.sources if label in item.images], out),
                "reference_offset": result.reference_scale.offset if result else None,
                "reference_factor": result.reference_scale.factor if result else None,
                "synthetic_offset": result.synthetic_scale.offset if result else None,
                "synthetic_factor": result.synthetic_scale.factor if result else None,
                "scaled_by": result.scaled_by if result else None,
                "regions_taken": _in_words(result.regions_taken) if result else None,
                "leak_check": work.leak.status,
            }
        )
    return pd.DataFrame(rows, columns=list(CASE_COLUMNS))


def _in_words(taken: Mapping[str, str]) -> str | None:
    return "; ".join(f"{name} of {choice}" for choice, name in taken.items()) or None


def _relative(paths: Sequence[Path], out: Path) -> str | None:
    return ";".join(Path(os.path.relpath(path, out)).as_posix() for path in paths) or None


def _describe_controls(
    names: Sequence[str],
    fitted: Mapping[str, FittedControl],
    not_fitted: Mapping[str, str],
    results: Mapping[str, CaseResult],
) -> dict[str, Any]:
    described: dict[str, Any] = {}
    for name in names:
        if name in not_fitted:
            described[name] = {"scored": False, "reason": not_fitted[name]}
            continue
        reasons = {key: result.not_scored[name] for key, result in results.items() if name in result.not_scored}
        scored = any(name in result.records for result in results.values())
        described[name] = {"scored": scored, **fitted[name].facts}
        if reasons:
            described[name]["not_scored_in"] = reasons
        assumed = {key: result.assumed[name] for key, result in results.items() if name in result.assumed}
        if assumed:
            described[name]["sequences"] = cases_by_words(assumed)
    return described


def _describe_regions(settings: EvaluateSettings) -> dict[str, str]:
    """Regions that were made here, and how."""
    made = {}
    if settings.brain_masks is not None:
        made["brainUnion"] = f"the reference's brain mask together with that of the case in {settings.brain_masks}"
    if settings.tissues_from:
        number = SEGMENTERS.get("tissue")().version()
        made["GM, WM, CSF"] = (
            f"where no mask is given: segmenter tissue (version {number}) on the {settings.tissues_from}"
        )
    return made
