"""What the software of a synthetic-MRI scanner makes of raw images, put beside them: maps and synthetic contrasts.

The first training stage of Hagiwara 2019 (AJNR Am J Neuroradiol 40:224) learns towards the synthetic FLAIR with its CSF
suppressed, and the paper judges by the synthetic FLAIR: both must be there when cases are prepared.
"""

from __future__ import annotations

import functools
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recontrast.contrasts import Contrast
from recontrast.errors import IntensityError
from recontrast.execution.workers import Summary, failures, run_cases
from recontrast.io.bids import BidsName, Case, read_sidecar, write_sidecar
from recontrast.io.nifti import write_volume
from recontrast.preparation.mask import head_mask
from recontrast.relaxometry.channels import check_order
from recontrast.relaxometry.files import RawSeries, find_series, read_series
from recontrast.relaxometry.fitting import fit_maps, without_stray_signs
from recontrast.relaxometry.suppression import suppress_csf
from recontrast.relaxometry.synthesis import spin_echo_sequence, synthesize
from recontrast.relaxometry.transmit import transmit_field
from recontrast.volume import Volume

MAPS = ("T1map", "T2map", "PDmap")
SYNTHETIC, SUPPRESSED, SYNTHETIC_T1W = "acq-synthetic_FLAIR", "acq-suppressed_FLAIR", "acq-synthetic_T1w"

_RULES = {False: "corrected", True: "as printed"}
"""How the sidecar of the suppressed FLAIR names the rule, by `literal`."""


def add_synthetic(raw: Path, workers: int = 2, *, literal: bool = False, parts: bool = False) -> Summary:
    """Write maps (T1, T2 in s, proton density in units of the images) and synthetic contrasts beside raw images.

    The contrasts are the FLAIR 15000/100/3000 ms as it is and with suppressed CSF, and a T1w 500/10 ms. Their names
    say synthetic or suppressed, their sidecars that nobody acquired them. The transmit field is fitted as well. What
    is there is kept. A case that cannot be fitted is listed, and nothing is written for it.

    Args:
        raw: BIDS data set with series of eight raw images (two echoes of four delays).
        workers: Cases at the same time.
        literal: Suppress CSF by the rule as printed in the paper, which finds none.
        parts: Also write real and imaginary parts of the raw images (`acq-delay146echo1real_MESE`, `…imag_MESE`).

    Raises:
        LayoutError: There is no raw series.

    Example:
        >>> add_synthetic(Path("cohort")).done  # doctest: +SKIP
        ['maps and synthetic contrasts of 4 cases in cohort']
    """
    found = {series.case.key: (series,) for series in find_series(raw)}
    todo = {key: each for key, each in found.items() if not _is_there(raw, each[0], literal, parts)}
    job = functools.partial(_one_case, raw=raw, literal=literal, parts=parts)
    outcomes = run_cases(job, todo, workers=workers, description="maps and contrasts")
    failed = failures(outcomes)
    return Summary([f"maps and synthetic contrasts of {len(found) - len(failed)} cases in {raw}"], failed)


def _is_there(raw: Path, series: RawSeries, literal: bool, parts: bool) -> bool:
    """Whether a case is finished, and CSF was suppressed in it by the rule that is asked for."""
    suppressed = _path(raw, series.case, SUPPRESSED)
    if (
        series.problem
        or not suppressed.is_file()
        or read_sidecar(suppressed).get("CsfRule", _RULES[False]) != _RULES[literal]
    ):
        return False
    return not parts or all(path.is_file() for pair in _parts(series) for path in pair)


def _one_case(series: RawSeries, *, raw: Path, literal: bool, parts: bool) -> None:
    if series.gradient_echoes:
        raise IntensityError("gradient echoes tell T2*, synthetic contrasts of spin echoes need T2; leave out --beside")
    images, grid = read_series(series)
    if parts and not np.iscomplexobj(images):
        raise IntensityError("real and imaginary parts need phase images, and there are none; leave out --parts")
    head = head_mask(grid.with_data(np.abs(images).max(axis=-1))).data
    images = without_stray_signs(images, head)
    check_order(images, series.sequences, mask=head)
    b1 = transmit_field(images, series.sequences, head, grid.spacing)
    maps = fit_maps(images, series.sequences, mask=head, b1=b1)
    flair = synthesize(maps, spin_echo_sequence("FLAIR"))
    made: dict[str, tuple[NDArray[Any], str]] = {
        "T1map": (maps.t1_s, "s"),
        "T2map": (maps.t2_s, "s"),
        "PDmap": (maps.pd, "arbitrary"),
        SYNTHETIC: (flair, "those of the raw images"),
        SYNTHETIC_T1W: (synthesize(maps, spin_echo_sequence("T1w")), "those of the raw images"),
        # Last: when it is there, the case is finished.
        SUPPRESSED: (suppress_csf(flair, images, literal=literal), "those of the raw images"),
    }
    if parts:
        _write_parts(series, images, grid)
    # One by the other rule would stand beside the new sidecar, and count as finished, where this is killed.
    _path(raw, series.case, SUPPRESSED).unlink(missing_ok=True)
    sources = [path.relative_to(raw).as_posix() for path in (*series.magnitudes, *series.phases)]
    for label, (values, units) in made.items():
        path = _path(raw, series.case, label)
        rule = {"CsfRule": _RULES[literal]} if label == SUPPRESSED else {}
        write_sidecar(path, {"Synthetic": label not in MAPS, "Sources": sources, "Units": units, **rule})
        described = "fitted to raw images" if label in MAPS else "SYNTHETIC, from parameter maps"
        write_volume(path, grid.with_data(values), np.float32, like=series.magnitudes[0], description=described)


def _parts(series: RawSeries) -> list[tuple[Path, Path]]:
    """Files of the real and imaginary part of each image, named like their magnitude."""
    found = []
    for magnitude in series.magnitudes:
        name = BidsName.parse(magnitude.name)
        acquisition = name.entities.get("acq", "")
        pair = [
            replace(name, entities={**name.entities, "acq": f"{acquisition}{part}", "part": part}).filename
            for part in ("real", "imag")
        ]
        found.append((magnitude.with_name(pair[0]), magnitude.with_name(pair[1])))
    return found


def _write_parts(series: RawSeries, images: NDArray[Any], grid: Volume) -> None:
    for number, (magnitude, pair) in enumerate(zip(series.magnitudes, _parts(series), strict=True)):
        for path, values in zip(pair, (images[..., number].real, images[..., number].imag), strict=True):
            write_sidecar(path, {**read_sidecar(magnitude), "Synthetic": False})
            write_volume(path, grid.with_data(values), np.float32, like=magnitude)


def _path(raw: Path, case: Case, label: str) -> Path:
    return raw / case.folder / "anat" / BidsName.of(case, Contrast.parse(label)).filename
