"""Names of contrasts to scans."""

from __future__ import annotations

import numpy as np
import pytest

from recontrast.errors import ConfigError, UnknownNameError
from recontrast.phantom.protocols import contrast_names, scans_of
from recontrast.phantom.tissues import Relaxation, tissues_at


def signals(label: str) -> dict[str, float]:
    tissues = tissues_at(3.0)
    scan = scans_of(label)[-1]
    values = scan.sequence.signal(Relaxation.of(tissues.values()))
    return dict(zip(tissues, np.abs(values), strict=True))


@pytest.mark.parametrize("label", contrast_names())
def test_every_contrast_makes_scans_with_distinct_names(label):
    scans = scans_of(label)
    assert len({scan.contrast for scan in scans}) == len(scans)
    enhanced = scans_of(f"ce-gadolinium_{label}" if "_" not in label else label.replace("_", "_ce-gadolinium_"))
    assert all(scan.gadolinium and dict(scan.contrast.entities)["ce"] == "gadolinium" for scan in enhanced)


def test_t1w_shows_white_grey_csf_in_falling_order_and_fat_brightest():
    s = signals("T1w")
    assert s["fat"] > s["WM"] > s["GM"] > s["CSF"] > s["skull"]


def test_t2w_shows_csf_grey_white_in_falling_order_and_lesions_bright():
    s = signals("T2w")
    assert s["CSF"] > s["lesion"] > s["GM"] > s["WM"] > s["muscle"] > s["skull"]


def test_flair_nulls_csf_and_shows_lesions_brightest():
    s = signals("FLAIR")
    assert s["CSF"] < 0.05 * s["WM"]
    assert s["lesion"] > s["GM"] > s["WM"]


def test_eight_raw_images_in_the_order_of_hagiwara2019():
    scans = scans_of("MESE")
    timing = [(scan.sequence.delay_s, scan.sequence.echo_time_s) for scan in scans]
    assert timing[:2] == [(0.146, 0.0169), (0.146, 0.0845)]
    assert timing[-1] == (3.879, 0.0845)
    assert all(scan.phase for scan in scans)


def test_unknown_contrast_and_agent_are_named():
    with pytest.raises(UnknownNameError, match="did you mean 'T2w'"):
        scans_of("T2")
    with pytest.raises(ConfigError, match="only ce-gadolinium"):
        scans_of("ce-iodine_T1w")
