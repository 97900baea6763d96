"""The command `quantify`: raw images in, maps of T1, T2 and proton density out."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from recontrast.atomic import make_folder, remove_partial_files
from recontrast.config import to_plain
from recontrast.errors import ConfigError
from recontrast.execution.workers import Summary, failures, run_cases
from recontrast.io.bids import BidsName, Case, write_description, write_sidecar
from recontrast.io.nifti import write_volume
from recontrast.preparation.mask import head_mask
from recontrast.provenance import version, write_provenance
from recontrast.relaxometry.channels import check_order
from recontrast.relaxometry.command import require_place
from recontrast.relaxometry.derived import add_synthetic
from recontrast.relaxometry.files import RawSeries, find_series, read_series
from recontrast.relaxometry.fitting import fit_maps, without_stray_signs
from recontrast.relaxometry.maps import Array, ParameterMaps
from recontrast.relaxometry.results import forget, write_cases
from recontrast.relaxometry.transmit import transmit_field
from recontrast.volume import Volume

_ERRORS = {"r1": "R1map", "r2": "R2map", "pd": "PDmap"}
_STAR = {"T2map": "T2starmap", "R2map": "R2starmap"}
"""What maps of the decay are called where gradient echoes tell it."""
_ALL = ("T1map", "R1map", "T2map", "R2map", *_STAR.values(), "PDmap", "TB1map")
"""Whatever this or an earlier version has made of a case; of each there may be an error, too."""


@dataclass(frozen=True, kw_only=True)
class QuantifySettings:
    """What to fit."""

    raw: Path
    """BIDS data set with raw series (MESE, VFA, IRT1, MEGRE) whose sidecars give the sequence parameters."""
    out: Path
    """Folder of the data set of maps to make."""
    fit_b1: bool = False
    """Also fit the transmit field, smooth it, and fit again with it."""
    beside: bool = False
    """For the eight images of synthetic MRI: also put BESIDE the raw images, in their own folder, what the study
    hagiwara2019 prepares and learns from: maps, synthetic FLAIR as it is and with suppressed CSF, synthetic T1w."""
    literal: bool = False
    """With --beside: the rule of CSF as it is printed in the paper, which finds none."""
    parts: bool = False
    """With --beside: also real and imaginary parts of the raw images, as channels for networks that see the sign."""
    check: bool = True
    """Check the order of the images against physics first; a case that fails the check is not fitted."""
    workers: int = 2
    """Cases at the same time."""


def quantify(settings: QuantifySettings) -> Summary:
    """Fit maps of relaxation times and proton density, with the standard error of each.

    Written are T1map and T2map (s), R1map and R2map (1/s), PDmap (units of the images), `desc-error` maps of R1, R2
    and PD, and TB1map (percent) when it is fitted. Gradient echoes tell T2* in place of T2: T2starmap and R2starmap.

    Args:
        settings: What to fit.

    Raises:
        LayoutError: There is no raw series.
        ConfigError: The output folder holds something else.

    Example:
        >>> quantify(QuantifySettings(raw=Path("cohort"), out=Path("maps"))).done  # doctest: +SKIP
        ['fitted maps of 4 cases in maps: T1, T2, PD']
    """
    if (settings.literal or settings.parts) and not settings.beside:
        raise ConfigError("--literal and --parts belong to what --beside writes; give --beside as well")
    found = find_series(settings.raw)
    deciding = {key: value for key, value in to_plain(settings).items() if key not in ("out", "workers")}
    require_place(settings.out, settings.raw, "quantify", deciding)
    out = make_folder(settings.out)
    remove_partial_files(out)
    # First, so that a killed run is known as this one and can be started again.
    write_provenance(out, "quantify", settings, extra={"deciding": deciding})
    write_description(out, "Parameter maps", version=version(), derivative=True, sources=(str(settings.raw),))
    cases = {series.case.key: (series,) for series in found}
    job = functools.partial(_one_case, settings=settings)
    outcomes = run_cases(job, cases, workers=settings.workers, description="quantify")
    failed = failures(outcomes)
    write_cases(out, [series.case for series in found], failed)
    inputs = [path for series in found if series.case.key not in failed for path in series.magnitudes]
    write_provenance(out, "quantify", settings, inputs, {"deciding": deciding})
    kinds = sorted({name for outcome in outcomes if outcome.value for name in outcome.value})
    done = [f"fitted maps of {len(found) - len(failed)} cases in {out}: {', '.join(kinds) or 'none'}"]
    if settings.beside:
        more = add_synthetic(settings.raw, settings.workers, literal=settings.literal, parts=settings.parts)
        done, failed = [*done, *more.done], {**failed, **more.failed}
    return Summary(done, failed)


def _one_case(series: RawSeries, *, settings: QuantifySettings) -> list[str]:
    # Every map is fitted anew. One of an earlier run must neither stand for a case that fails now, nor beside maps of
    # other names: gradient echoes once gave T2map, and would be taken for spin echoes by it.
    forget(
        _path(settings.out, series.case, suffix, **described)
        for suffix in _ALL
        for described in ({}, {"desc": "error"})
    )
    images, grid = read_series(series)
    head = head_mask(grid.with_data(np.abs(images).max(axis=-1))).data
    images = without_stray_signs(images, head)
    if settings.check:
        check_order(images, series.sequences, mask=head)
    if settings.fit_b1:
        smooth = transmit_field(images, series.sequences, head, grid.spacing)
        maps = replace(fit_maps(images, series.sequences, mask=head, b1=smooth), b1=smooth)
    else:
        maps = fit_maps(images, series.sequences, mask=head)
    return _write(series, maps, grid, settings)


def _write(series: RawSeries, maps: ParameterMaps, grid: Volume, settings: QuantifySettings) -> list[str]:
    sources = [path.relative_to(settings.raw).as_posix() for path in (*series.magnitudes, *series.phases)]
    written = []
    for name, units, error, values in _images(maps):
        suffix = _STAR.get(name, name) if series.gradient_echoes else name
        described = {"desc": "error"} if error else {}
        path = _path(settings.out, series.case, suffix, **described)
        write_volume(path, grid.with_data(values), like=series.magnitudes[0])
        write_sidecar(path, {"Units": units, "Sources": sources, "Synthetic": False, "SkullStripped": False})
        written.append(suffix)
    return sorted({suffix.removesuffix("map") for suffix in written})


def _path(out: Path, case: Case, suffix: str, **described: str) -> Path:
    return out / case.folder / "anat" / BidsName.of(case, suffix, **described).filename


def _images(maps: ParameterMaps) -> Iterator[tuple[str, str, bool, Array]]:
    """Suffix, unit, whether it is a standard error, values."""
    if maps.r1 is not None:
        yield "T1map", "s", False, maps.t1_s
        yield "R1map", "1/s", False, maps.r1
    if maps.r2 is not None:
        yield "T2map", "s", False, maps.t2_s
        yield "R2map", "1/s", False, maps.r2
    yield "PDmap", "arbitrary", False, maps.pd
    if maps.b1 is not None:
        yield "TB1map", "percent", False, 100 * maps.b1
    for name, values in maps.errors.items():
        if name != "b1":
            units: dict[str, Any] = {"pd": "arbitrary"}
            yield _ERRORS[name], units.get(name, "1/s"), True, np.nan_to_num(values, posinf=0.0)
