from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from recontrast.errors import ConfigError
from recontrast.importing.plan import Entry, plan_series, series_key, sidecar
from recontrast.importing.subjects import Scrubber, patient_of
from recontrast.io.bids import Case
from recontrast.io.dicom.find import find_series


def plan(folder: Path, overrides: tuple[str, ...] = (), missing: str = "refuse", times: str = "refuse") -> list[Entry]:
    series = find_series(folder).series
    cases = {(patient_of(one), one.study): Case("A") for one in series}
    return plan_series(series, cases, overrides=overrides, missing=missing, times=times)


def test_a_named_series_gets_a_path_and_bids_units(make_series: Callable[..., Path]) -> None:
    (entry,) = plan(make_series(ContrastBolusAgent="Gadovist", SeriesDescription="t1_mprage Roe"))
    assert entry.target == Path("sub-A/anat/sub-A_ce-gadolinium_T1w.nii.gz")
    content = sidecar(entry, Scrubber(["Roe^Jane"]))
    assert (content["RepetitionTime"], content["EchoTime"], content["InversionTime"]) == (2.3, 0.00298, 0.9)
    assert (content["FlipAngle"], content["MagneticFieldStrength"]) == (9, 3)
    assert content["ContrastBolusIngredient"] == "GADOLINIUM"
    assert content["SeriesDescription"] == "t1_mprage XXX"
    assert any("inversion 900 ms" in text for text in content["ContrastEvidence"])


def test_images_of_one_name_become_runs(make_series: Callable[..., Path]) -> None:
    make_series()
    folder = make_series(SeriesInstanceUID="1.2.3.5", SeriesNumber=9, prefix="b")
    assert [entry.target.name for entry in plan(folder) if entry.target] == [
        "sub-A_run-1_T1w.nii.gz", "sub-A_run-2_T1w.nii.gz",
    ]  # fmt: skip


def test_doubt_is_listed_with_the_option_that_decides(make_series: Callable[..., Path]) -> None:
    folder = make_series(SeriesDescription="t2_tse")
    (entry,) = plan(folder)
    assert entry.outcome == "unnamed"
    assert entry.target is None
    assert f"--contrast {entry.key}=T1w" in entry.reason
    for wanted in (entry.key, "4", "t2*", "1.2.3.4"):
        (decided,) = plan(folder, (f"{wanted}=acq-fast_T1w",))
        assert decided.target == Path("sub-A/anat/sub-A_acq-fast_T1w.nii.gz")
        assert "named acq-fast_T1w on the command line" in decided.evidence


def test_a_name_by_hand_keeps_the_echoes_apart(make_series: Callable[..., Path]) -> None:
    for n in (1, 2, 3):
        folder = make_series(
            prefix=f"e{n}", EchoNumbers=n, EchoTime=20.0 * n, ScanningSequence="SE", SeriesDescription="t1_mprage"
        )
    for label in ("MESE", "T2w"):
        names = [entry.target.name for entry in plan(folder, (f"4={label}",)) if entry.target]
        assert names == [f"sub-A_echo-{n}_{label}.nii.gz" for n in (1, 2, 3)]


@pytest.mark.parametrize(
    ("override", "message"),
    [("99=T1w", "no series is called '99'; there is: 4 't1_mprage_tra'"), ("T1w", "write SERIES=CONTRAST"),
     ("4=T1 w", "does not end in a BIDS suffix")],
)  # fmt: skip
def test_wrong_overrides_are_one_line(override: str, message: str, make_series: Callable[..., Path]) -> None:
    with pytest.raises(ConfigError, match=message):
        plan(make_series(), (override,))


def test_missing_slices_fail_or_are_filled(make_series: Callable[..., Path]) -> None:
    folder = make_series(where=[0, 1, 3, 4])
    (entry,) = plan(folder)
    assert (entry.outcome, entry.target) == ("failed", None)
    assert "--missing fill" in entry.reason
    (filled,) = plan(folder, missing="fill")
    assert filled.outcome == "imported"
    assert sidecar(filled, Scrubber([]))["MissingSlices"] == [2]


@pytest.mark.parametrize(("times", "imported"), [("refuse", 0), ("first", 1), ("all", 3)])
def test_time_points_are_decided_by_a_setting(times: str, imported: int, make_series: Callable[..., Path]) -> None:
    for n in (1, 2, 3):
        folder = make_series(count=3, prefix=f"{n}", TemporalPositionIdentifier=n)
    assert sum(entry.outcome == "imported" for entry in plan(folder, times=times)) == imported


def test_keys_hold_no_identifier(make_series: Callable[..., Path]) -> None:
    (series,) = find_series(make_series()).series
    key = series_key(series)
    assert len(key) == 8
    assert series.uid not in key


def test_a_mosaic_fails_whatever_it_is_called(make_series: Callable[..., Path]) -> None:
    folder = make_series(count=1, ImageType=["ORIGINAL", "PRIMARY", "M", "MOSAIC"])
    for overrides in ((), ("4=T2w",)):
        (entry,) = plan(folder, overrides)
        assert (entry.outcome, entry.target) == ("failed", None)
        assert entry.reason.startswith("each file holds several slices in one picture")
