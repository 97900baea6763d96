"""One case of NIfTI files: read, translated and written with what it was made of, or kept from an earlier run."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from recontrast import provenance
from recontrast.errors import DataError, FormatError
from recontrast.io.bids import read_sidecar, write_sidecar
from recontrast.io.nifti import read_header, read_volume, write_volume
from recontrast.preparation.acquisition import acquisition_of
from recontrast.preparation.mask import find_head, require_signal
from recontrast.preparation.normalize import Scale, fit_scale
from recontrast.translation.cases import TranslationCase
from recontrast.translation.maps import rarity_path, uncertainty_path, write_rarity, write_uncertainty
from recontrast.translation.output import (
    DISTANCE,
    KEPT,
    CaseReport,
    finished,
    forget,
    image_sidecar,
    relative,
    set_aside,
    stored_type,
    take_back,
)
from recontrast.translation.raw import needs_preparing, translate_raw
from recontrast.volume import Volume

if TYPE_CHECKING:
    from recontrast.translation.settings import TranslateSettings
    from recontrast.translation.translator import Translator


@dataclass(frozen=True)
class Job:
    """What every case of a command needs.

    Attributes:
        translator: The translator.
        out: Folder for the images.
        settings: Of the command.
    """

    translator: Translator
    out: Path
    settings: TranslateSettings

    def facts_of(self, translator: Translator) -> dict[str, Any]:
        """What decides the result of a case besides its sources, with the translator as it is for that case."""
        about, settings, bars = translator.description, self.settings, translator.error_bars
        folder = translator.folder or settings.run
        return {
            "Translator": {
                "folder": relative(folder, self.out),
                "weights_sha256": about.weights_sha256,
                "preset": about.preset,
            },
            "Settings": {
                "dtype": settings.dtype,
                "precision": settings.precision,
                "engine": settings.engine,
                "device": settings.device,
                "batch": settings.batch,
                **({} if settings.volume is None else {"volume": settings.volume}),
                **({} if about.bank is None else {"target": about.target}),
                **({} if about.acquisition is None else {"acquisition": translator.acquired}),
                **(windows_asked_for(settings) if about.spatial_dims == 3 else {}),
                **({} if bars is None else {"uncertainty": [bars.calibration.spread_sha256, bars.calibration.factor]}),
            },
        }


def translate_case(case: TranslationCase, job: Job) -> CaseReport:
    """Translate one case and write it, or keep what an earlier run finished.

    Raises:
        RecontrastError: Whatever is wrong with the case.
    """
    image = job.out / case.output
    translator = job.translator.given(case.sources, _acquired(case, job))
    hashes = _hashes(case, job, job.facts_of(translator))
    facts = {"Sources": list(hashes), "SourcesSHA256": list(hashes.values()), **job.facts_of(translator)}
    take_back(job.out, case.output)
    before = finished(image, facts)
    if before is not None and _has_everything(image, before, translator, case):
        return CaseReport(hashes, str(before.get("Engine")), str(before.get("Precision")), kept=True)
    forget(image)  # outdated: it must not be taken for the new one when the new one cannot be made
    volumes = {label: read_volume(path, index=job.settings.volume) for label, path in case.sources.items()}
    for label, volume in volumes.items():
        require_signal(volume, str(case.sources[label]))
    first = next(iter(translator.description.sources))
    if _is_raw(case, translator):
        stripped = _declared(case, first)
        stripped = find_head(volumes[first])[1] if stripped is None else stripped
        trusted = bool(job.settings.space)
        made = translate_raw(translator, volumes, case.key, trusted=trusted, harmonised=case.harmonised)
    else:
        scales, stripped = _scales(case, volumes, translator)
        made = translator.run(volumes, scales=scales, where=case.key)
    like = case.sources[first]
    stored = np.float32 if job.settings.dtype == "float32" else stored_type(read_header(like).dtype)
    words = f"synthetic {translator.description.target}, recontrast, not for diagnosis"
    with ThreadPoolExecutor(2) as pool:  # most of the time is zlib's, which lets other threads run
        writing = [pool.submit(write_volume, image, made.volume, stored, like=like, description=words)]
        if not case.harmonised:  # the error bars are of another kind of input
            writing.append(pool.submit(write_uncertainty, image, made, translator.description, like))
        writing.append(pool.submit(write_rarity, image, made, like))
    for written in writing:
        written.result()
    stated = image_sidecar(made, translator.description, case.harmonised)
    if translator.training is not None:
        stated.setdefault(DISTANCE, None)  # nothing in it can be measured: it need not be tried again
    write_sidecar(image, {**stated, "SkullStripped": stripped, **facts})
    engine = made.choice.engine
    return CaseReport(hashes, engine.name, engine.precision, kept=False)


def _acquired(case: TranslationCase, job: Job) -> dict[str, dict[str, float]]:
    """How each source was acquired, where the network is told; with a damaged sidecar an earlier image is outdated."""
    if job.translator.description.acquisition is None:
        return {}
    try:
        return {label: acquisition_of(read_sidecar(path)) for label, path in case.sources.items()}
    except DataError:
        forget(job.out / case.output)
        raise


def _has_everything(image: Path, sidecar: Mapping[str, Any], translator: Translator, case: TranslationCase) -> bool:
    """Whether all that is wanted beside an image is there: an earlier run may have been asked for less."""
    barred, rarity = translator.error_bars is not None and not case.harmonised, rarity_path(image)
    return (
        (not barred or uncertainty_path(image).is_file())
        and (translator.signals is None or rarity is None or rarity.is_file())
        and (translator.training is None or DISTANCE in sidecar)
    )


def _hashes(case: TranslationCase, job: Job, facts: Mapping[str, Any]) -> dict[str, str]:
    """SHA-256 of each source. Where one cannot be read, nobody knows whether an earlier image is outdated: it may be
    a drive that is away for a moment. Then the image is set aside, but one that another translator made is not.
    """
    try:
        return {relative(path, job.out): provenance.sha256_of(path) for path in case.sources.values()}
    except FormatError as error:
        image = job.out / case.output
        sources = [relative(path, job.out) for path in case.sources.values()]
        before = finished(image, {"Sources": sources, "Translator": facts["Translator"]})
        if before is None or _settings(before) != _settings(facts):
            forget(image)
        if set_aside(job.out, case.output):
            raise FormatError(f"{error}; the image made from it before waits in {KEPT} until it can be read") from error
        raise


def _settings(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Settings without how the sources were acquired: the sidecars that say it are away with their images."""
    settings = facts.get("Settings")
    return {name: value for name, value in dict(settings or {}).items() if name != "acquisition"}


def _is_raw(case: TranslationCase, translator: Translator) -> bool:
    """Whether the images of a case must be prepared before the network sees them; by another recipe is not prepared."""
    learned = translator.description.preparation
    if case.prepared or learned is None or not needs_preparing(translator.description):
        return False
    sidecars = [read_sidecar(path) for path in case.sources.values()]
    return not all("SourceGrid" in one and one.get("Recipe", learned.recipe) == learned.recipe for one in sidecars)


def _declared(case: TranslationCase, label: str) -> bool | None:
    declared = read_sidecar(case.sources[label]).get("SkullStripped")
    return declared if isinstance(declared, bool) else None


def _scales(
    case: TranslationCase, volumes: Mapping[str, Volume], translator: Translator
) -> tuple[dict[str, Scale], bool]:
    """Scale of each source, stored by preparation or fitted now, and whether the first source is skull-stripped."""
    scales: dict[str, Scale] = {}
    stripped: bool | None = None
    for label in translator.description.sources:
        stripped = _declared(case, label) if stripped is None else stripped
        if label in case.scales and stripped is not None:
            scales[label] = case.scales[label]
            continue
        head, bare = find_head(volumes[label])
        stripped = bare if stripped is None else stripped
        settings = translator.description.scale_settings
        scales[label] = case.scales.get(label) or fit_scale(volumes[label], settings, head, label)
    return scales, bool(stripped)


def windows_asked_for(settings: TranslateSettings) -> dict[str, float]:
    """How volumes are cut, where that was asked for."""
    plain = {"memory_gb": settings.memory_gb, "window": settings.window, "overlap": settings.overlap}
    return {name: value for name, value in plain.items() if value != getattr(type(settings), name)}
