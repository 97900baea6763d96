"""The prepared folder of a study: there already, simulated, or made from a folder of real scans."""

from __future__ import annotations

import logging
from pathlib import Path

from recontrast.config import build_settings
from recontrast.errors import LayoutError
from recontrast.phantom.cohort import SimulateSettings, simulate
from recontrast.preparation.cohort import PreparedCohort, read_cohort
from recontrast.preparation.pipeline import PrepareSettings, prepare
from recontrast.relaxometry.derived import add_synthetic
from recontrast.study.settings import DataSource

log = logging.getLogger(__name__)


def make_cohort(data: DataSource, prepared: Path, out: Path, bids: Path | None, workers: int) -> PreparedCohort:
    """Read the prepared folder, and make it first where it is absent or unfinished.

    Args:
        data: What the study file says of its data.
        prepared: The prepared folder.
        out: Folder of the study; a simulated data set is written to `cohort` in it.
        bids: Folder of real scans; None when the data are simulated.
        workers: Subjects worked on at the same time.

    Raises:
        LayoutError: It is not there and cannot be made.

    Example:
        >>> make_cohort(study.source(""), Path("prepared"), Path("out"), None, 2)  # doctest: +SKIP
        PreparedCohort(folder=PosixPath('prepared'), …)
    """
    if (prepared / "cases.tsv").is_file() and bids is None:
        return read_cohort(prepared)
    if bids is not None and data.simulate:
        raise LayoutError(f"--bids {bids}: these data of the study are simulated; name real ones with --data")
    if bids is None and not data.simulate:
        raise LayoutError(
            f"{prepared}: not a prepared folder; the study simulates nothing here: prepare your data first, or give "
            "the folder of raw scans with --bids"
        )
    raw = bids or out / "cohort"
    if data.simulate:
        log.info("simulating …")
        wanted = {"workers": workers, **data.simulate, "out": raw}
        simulate(build_settings(SimulateSettings, wanted, "the study's data, simulate"))
    if data.synthetic_mri:
        log.info("fitting maps …")
        for case, reason in add_synthetic(raw, workers).failed.items():
            log.warning("%s: %s", case, reason)
    log.info("preparing …")
    settings = {"workers": workers, **data.prepare, "bids": raw, "out": prepared}
    prepare(build_settings(PrepareSettings, settings, "the study's data, prepare"))
    return read_cohort(prepared)
