"""One case from files to scores: read, put on the protocol's scale, make the controls, score, all in one process."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recontrast.atomic import write_json
from recontrast.errors import GeometryError, IntensityError, LayoutError, MissingContrastError, RecontrastError
from recontrast.evaluation.bloch import NEEDED, bloch_signal, target_sequence
from recontrast.evaluation.doubts import OWN_SCALE, RESAMPLED, intensity_doubts
from recontrast.evaluation.fitting import FittedControl, Sample, compartments, sample_case
from recontrast.evaluation.intervals import Intervals, case_intervals
from recontrast.evaluation.matching import ExpectedCase
from recontrast.evaluation.protocols import PROTOCOLS, Protocol, SyntheticScale
from recontrast.evaluation.scales import declared_scale
from recontrast.evaluation.scores import SYNTHETIC, Blocks, CaseScorer, Record
from recontrast.evaluation.segmentation import SegmentationInput
from recontrast.evaluation.stages import regions_taken
from recontrast.execution.attempts import without_case
from recontrast.io.bids import Case, read_sidecar
from recontrast.io.nifti import read_volume
from recontrast.preparation.mask import head_mask
from recontrast.preparation.normalize import Scale, fit_scale
from recontrast.preparation.regions import read_regions
from recontrast.preparation.resample import resample
from recontrast.provenance import sha256_of
from recontrast.relaxometry.files import times_of
from recontrast.translation.maps import uncertainty_path
from recontrast.volume import Volume, require_same_grid, same_grid

TISSUES = ("GM", "WM", "CSF")
"""Regions that `tissues_from` makes."""


@dataclass(frozen=True)
class CaseJob:
    """What is needed to score one case in any process.

    Attributes:
        expected: Files of the reference, the sources and the regions.
        synthetic: The synthetic image.
        target: Label of the target contrast.
        sources: Labels of the sources; empty when unknown.
        protocol: Name of the protocol.
        synthetic_scale: How the synthetic image is scaled; "" as the protocol says.
        stored_scales: Whether the scales stored with the case are the protocol's; otherwise they are fitted.
        controls: Controls to score beside.
        part: File that keeps the result for a run that was stopped.
        inputs: What else the result depends on (settings, training voxels), as one hash.
        regions: Further regions to score, as `steps.find_region` names them.
        lpips_weights: Weights file of LPIPS; None for none.
        resample: Put a synthetic image that lies on another grid onto the reference's.
        seed: Seed of oracles.
        tissues_from: Contrast in which GM, WM and CSF are found where no masks are given; "" for not at all.
    """

    expected: ExpectedCase
    synthetic: Path
    target: str
    sources: tuple[str, ...]
    protocol: str
    synthetic_scale: SyntheticScale | str
    stored_scales: bool
    controls: Mapping[str, FittedControl]
    part: Path
    inputs: str
    regions: tuple[str, ...] = ()
    lpips_weights: Path | None = None
    resample: bool = False
    seed: int = 0
    tissues_from: str = ""


@dataclass(frozen=True)
class CaseResult:
    """Scores of one case.

    Attributes:
        case: Subject and session.
        records: Estimator to its values.
        reference_scale: Scale the reference was put on.
        synthetic_scale: Scale the synthetic image was put on.
        message: What is worth knowing; "" when nothing.
        not_scored: Control to the reason it could not be scored in this case.
        hashes: File that was read to its SHA-256.
        intervals: How the error bars beside the synthetic image did; None where there are none.
        scaled_by: The scale by which the synthetic image was judged in the end: `declared`, `converted` (declared,
            brought to other percentiles), `reference`, or `own`, which forgives a wrong brightness.
        regions_taken: See `stages.regions_taken`.
        assumed: Control from maps to the sequence whose signal was computed, in words.
    """

    case: Case
    records: Mapping[str, Sequence[Record]]
    reference_scale: Scale
    synthetic_scale: Scale
    message: str = ""
    not_scored: Mapping[str, str] = field(default_factory=dict)
    hashes: Mapping[str, str] = field(default_factory=dict)
    intervals: Intervals | None = None
    scaled_by: str = ""
    regions_taken: Mapping[str, str] = field(default_factory=dict)
    assumed: Mapping[str, str] = field(default_factory=dict)


def evaluate_case(job: CaseJob) -> CaseResult:
    """Score the synthetic image and the controls of one case; a result of a stopped run is taken when it still fits.

    Raises:
        GeometryError: Synthetic image and reference are on different grids.
        IntensityError: An image is empty, constant or not finite.
        FormatError: A file cannot be read.
    """
    hashes = _hashes(job)
    print_of_inputs = _fingerprint(job, hashes)
    kept = _read_part(job.part, print_of_inputs)
    if kept is not None:
        return kept
    result = dataclasses.replace(_scored(job), hashes=hashes)
    write_json(job.part, {"fingerprint": print_of_inputs, **_to_json(result)})
    return result


def sample_training_case(
    expected: ExpectedCase, target: str, sources: tuple[str, ...], protocol: str, stored_scales: bool,
    voxels: int, seed: tuple[int, ...], maps: bool = False,
) -> dict[str, Sample]:  # fmt: skip
    """Training voxels of one case, on the protocol's scale.

    Args:
        expected: Files of the case.
        target: Label of the target contrast.
        sources: Labels of the sources.
        protocol: Name of the protocol.
        stored_scales: Whether the scales stored with the case are the protocol's.
        voxels: At most this many in each compartment.
        seed: Seed; must differ between cases.
        maps: Compute the target's signal from maps as well; where that cannot be done, the samples say why.

    Raises:
        MissingContrastError: A source or the target is not there.
    """
    found = PROTOCOLS.get(protocol)
    _require(expected, (target, *sources))
    reference = _read(expected.images[target])
    scaled = [_scaled_source(expected, label, reference, found, stored_scales) for label in sources]
    wanted = _reference_scale(expected, target, reference, found, stored_scales).apply(reference.data)
    regions = case_regions(expected, reference)
    masks = compartments(regions["head"], regions.get("brain"))
    signal, about = None, ""
    if maps:
        try:
            signal, about = _signal_of_maps(expected, target, reference)
        except RecontrastError as reason:
            about = f"{expected.case.key}: {without_case(str(reason), expected.case.key)}"
    return sample_case(scaled, wanted, masks, voxels, seed, signal, about)


def case_regions(expected: ExpectedCase, reference: Volume) -> dict[str, NDArray[np.bool_]]:
    """All regions of a case as boolean arrays on the reference's grid; the head is found where no mask is given."""
    volumes = read_regions(expected.regions, reference, expected.case.key)
    regions = {name: np.asarray(volume.data, dtype=bool) for name, volume in volumes.items()}
    if "head" not in regions:
        regions["head"] = np.asarray(head_mask(reference).data, dtype=bool)
    if expected.other_brain and "brain" in regions:
        other = read_regions(expected.other_brain, reference, expected.case.key)["brain"]
        regions["brainUnion"] = regions["brain"] | np.asarray(other.data, dtype=bool)
    return regions


def _scored(job: CaseJob) -> CaseResult:
    expected, protocol = job.expected, PROTOCOLS.get(job.protocol)
    reference, synthetic = _read(expected.images[job.target]), _read(job.synthetic)
    if float(np.ptp(reference.data)) == 0:
        raise IntensityError(
            f"{expected.images[job.target]}: all voxels have the value {float(reference.data.flat[0]):g}; nothing can "
            "be compared with it: convert the scan again, or leave the case out of both folders"
        )
    notes = []
    if job.resample and not same_grid(reference, synthetic):
        synthetic = resample(synthetic, reference)
        notes.append(RESAMPLED)
    try:
        require_same_grid(reference, synthetic, f"{expected.case.key}: reference and synthetic {job.target}")
    except GeometryError as error:
        raise GeometryError(f"{error}, or ask for --resample") from None
    scale = _reference_scale(expected, job.target, reference, protocol, job.stored_scales)
    synthetic_scale, scaled_by, message = _scale_of_synthetic(job, synthetic, (reference, scale), protocol)
    regions = case_regions(expected, reference)
    if job.tissues_from and not set(TISSUES) <= set(regions):
        regions, note = _with_tissues(job, reference, regions)
        notes.append(note)
    scaled, judged = scale.apply(reference.data), synthetic_scale.apply(synthetic.data)
    scorer = CaseScorer(protocol, scaled, regions, reference.spacing, job.regions, job.lpips_weights)
    notes += intensity_doubts(protocol, scaled, judged)
    records: dict[str, Sequence[Record]] = {SYNTHETIC: scorer.score(judged)}
    not_scored: dict[str, str] = {}
    assumed: dict[str, str] = {}
    masks = compartments(regions["head"], regions.get("brain"))
    for names, sources, sequence in _sources_of_controls(job, reference, protocol, not_scored):
        assumed |= dict.fromkeys(names, sequence) if sequence else {}
        for name in names:
            try:
                records[name] = scorer.score(job.controls[name].predict(sources, masks, scaled, job.seed))
            except RecontrastError as reason:
                not_scored[name] = str(reason)
    intervals = None
    if RESAMPLED not in notes:  # error bars are of the grid they were made for
        intervals = case_intervals(job.synthetic, (reference, scaled, judged), synthetic_scale, regions)
    message = "; ".join([*notes, *([message] if message else [])])
    return CaseResult(
        expected.case, records, scale, synthetic_scale, message, not_scored,
        intervals=intervals, scaled_by=scaled_by, regions_taken=regions_taken(protocol, regions), assumed=assumed,
    )  # fmt: skip


def _with_tissues(
    job: CaseJob, reference: Volume, regions: dict[str, NDArray[np.bool_]]
) -> tuple[dict[str, NDArray[np.bool_]], str]:
    """Regions with the tissues of an acquired image of the case; without them, and why, where that cannot be done."""
    from recontrast.evaluation.segmentation.tissue import Tissue

    try:
        _require(job.expected, (job.tissues_from,))
        image = _read(job.expected.images[job.tissues_from])
        require_same_grid(reference, image, f"{job.expected.case.key}: reference and {job.tissues_from}")
        what = f"{job.expected.case.key}: {job.tissues_from}"
        given = SegmentationInput(image, job.tissues_from, regions.get("brain"), what=what)
        segmenter = Tissue()
        found = segmenter.segment(given)
    except RecontrastError as reason:
        return regions, f"no tissue regions: {reason}"
    tissues = {name: found.mask(name) for name in TISSUES if name not in regions}
    made = f"{', '.join(tissues)} from the {job.tissues_from} by segmenter tissue, version {segmenter.version()}"
    return {**regions, **tissues}, made


def _sources_of_controls(
    job: CaseJob, reference: Volume, protocol: Protocol, not_scored: dict[str, str]
) -> Iterator[tuple[list[str], list[NDArray[np.float32]], str]]:
    """Names of controls with the volumes they start from, and the sequence where these were computed from maps.

    Controls without such volumes get a reason in `not_scored`.
    """
    expected = job.expected
    for from_maps in (False, True):
        names = [name for name, control in job.controls.items() if control.from_maps is from_maps]
        if not names:
            continue
        sequence = ""
        try:
            if from_maps:
                signal, sequence = _signal_of_maps(expected, job.target, reference)
                sources = [signal]
            else:
                _require(expected, job.sources)
                labels = job.sources
                sources = [_scaled_source(expected, label, reference, protocol, job.stored_scales) for label in labels]
        except RecontrastError as reason:
            not_scored.update(dict.fromkeys(names, str(reason)))
            continue
        yield names, sources, sequence


def _signal_of_maps(expected: ExpectedCase, target: str, reference: Volume) -> tuple[NDArray[np.float32], str]:
    """Signal of the target's sequence on the case's maps, and in words which sequence that is."""
    _require(expected, NEEDED)
    maps: dict[str, NDArray[Any]] = {}
    guessed = []
    for label in (*NEEDED, "T2starmap"):
        if label not in expected.images:
            continue
        volume = _read(expected.images[label])
        require_same_grid(reference, volume, f"{expected.case.key}: reference and {label}")
        maps[label] = volume.data
        if label != "PDmap":
            maps[label], in_ms = times_of(volume.data, expected.images[label], label[:2])
            guessed += [label] if in_ms else []
    sequence, words = target_sequence(read_sidecar(expected.images[target]), target)
    units = f" on maps without Units ({', '.join(guessed)} taken as ms for their size)" if guessed else ""
    return bloch_signal(maps, sequence), words + units


def _read(path: Path) -> Volume:
    volume = read_volume(path).reoriented("RAS")
    bad = int(volume.data.size - np.count_nonzero(np.isfinite(volume.data)))
    if bad:
        raise IntensityError(f"{path}: {bad} voxels are NaN or infinite; mend the image, no metric can use it")
    return volume


def _require(expected: ExpectedCase, labels: Sequence[str]) -> None:
    missing = [label for label in labels if label not in expected.images]
    if missing:
        there = ", ".join(expected.images) or "no image"
        raise MissingContrastError(f"{expected.case.key}: no {', '.join(missing)} beside the reference ({there})")


def _reference_scale(
    expected: ExpectedCase, label: str, volume: Volume, protocol: Protocol, stored_scales: bool
) -> Scale:
    if stored_scales and label in expected.scales:
        return expected.scales[label]
    try:
        return fit_scale(volume, protocol.normaliser)
    except IntensityError as error:
        raise IntensityError(f"{expected.images[label]}: {error}") from error


def _scaled_source(
    expected: ExpectedCase, label: str, reference: Volume, protocol: Protocol, stored_scales: bool
) -> NDArray[np.float32]:
    volume = _read(expected.images[label])
    require_same_grid(reference, volume, f"{expected.case.key}: reference and source {label}")
    return _reference_scale(expected, label, volume, protocol, stored_scales).apply(volume.data)


def _scale_of_synthetic(
    job: CaseJob, synthetic: Volume, reference: tuple[Volume, Scale], protocol: Protocol
) -> tuple[Scale, str, str]:
    """The scale of the synthetic image, which way it is (`CaseResult.scaled_by`), and a message where that is odd."""
    way = job.synthetic_scale or protocol.synthetic_scale
    if way == "reference":
        return reference[1], way, ""
    if way == "declared":
        try:
            found = declared_scale(read_sidecar(job.synthetic), protocol.normaliser, reference, job.target)
        except IntensityError as error:
            raise IntensityError(f"{job.expected.images[job.target]}: {error}") from error
        if found.scale is not None:
            return found.scale, "converted" if found.converted else way, found.remark
        message = f"{found.remark}: {OWN_SCALE}"
    elif way == "own":
        message = "synthetic image scaled by its own intensities" if job.synthetic_scale else ""
    else:
        raise LayoutError(f"there is no synthetic scale '{way}'; there is: declared, reference, own")
    try:
        return fit_scale(synthetic, protocol.normaliser), "own", message
    except IntensityError as error:
        raise IntensityError(f"{job.synthetic}: {error}") from error


def _hashes(job: CaseJob) -> dict[str, str]:
    expected = job.expected
    regions = [region.path for region in (*expected.regions, *expected.other_brain)]
    bars = uncertainty_path(job.synthetic)
    files = [job.synthetic, *([bars] if bars.is_file() else []), *expected.images.values(), *regions]
    return {str(path): sha256_of(path) for path in files}


def _fingerprint(job: CaseJob, hashes: Mapping[str, str]) -> str:
    content = {
        "inputs": job.inputs,
        "holds": [each.name for each in dataclasses.fields(CaseResult)],
        "files": list(hashes.values()),
        "sidecar": read_sidecar(job.synthetic),
        "error_bars": read_sidecar(uncertainty_path(job.synthetic)),
    }
    content["scales"] = {label: scale.to_dict() for label, scale in job.expected.scales.items()}
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


def _to_json(result: CaseResult) -> dict[str, Any]:
    plain = dataclasses.asdict(result)
    for records in plain["records"].values():
        for record in records:
            record["value"] = None if math.isnan(record["value"]) else record["value"]
    plain["intervals"] = None if result.intervals is None else result.intervals.to_json()
    return plain


def _read_part(path: Path, fingerprint: str) -> CaseResult | None:
    """The result a stopped run left, when nothing it depends on has changed."""
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if content.pop("fingerprint", None) != fingerprint:
        return None
    return CaseResult(
        Case(**content["case"]),
        {name: [_record(record) for record in records] for name, records in content["records"].items()},
        Scale(**content["reference_scale"]),
        Scale(**content["synthetic_scale"]),
        content["message"],
        content["not_scored"],
        content["hashes"],
        None if content["intervals"] is None else Intervals.from_json(content["intervals"]),
        content["scaled_by"],
        content["regions_taken"],
        content["assumed"],
    )


def _record(content: dict[str, Any]) -> Record:
    blocks = content.pop("blocks")
    value = content.pop("value")
    kept = None if blocks is None else Blocks(tuple(blocks["sums"]), tuple(blocks["counts"]), blocks["constant"])
    return Record(**content, value=math.nan if value is None else value, blocks=kept)
