"""Published entries stand beside ours, and a dash where nothing was scored."""

from __future__ import annotations

import pytest

from recontrast.study.compare import Finding, bounds_of
from recontrast.study.layouts import LAYOUTS
from recontrast.study.layouts.scores import entry, title
from recontrast.study.settings import Published, PublishedRow, Side


def test_theirs_beside_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    import pandas as pd

    from recontrast.study.layouts import scores as module

    def values_by_direction(tested, side, protocol, metric, region):  # type: ignore[no-untyped-def]
        scored = side.method == "unit" and metric == "psnr"
        return {"T1w-T2w": pd.Series([1.0, 2.0, 3.0])} if scored else {}

    monkeypatch.setattr(module, "values_by_direction", values_by_direction)
    published = Published(
        title="t",
        where="p. 1",
        metrics=("psnr", "ssim"),
        rows=(PublishedRow(label="UNIT", values=("27.5 ± 4.6", "0.82"), ours=Side(method="unit")),),
    )
    directions = ["T1w-T2w"]
    table = LAYOUTS.get("scores")(published, [], directions)
    assert table.iloc[0].tolist() == ["UNIT", "27.5 ± 4.6", "2.000 ± 1.000 [−0.484, 4.484] n=3", "0.82", "—"]
    tested = [Finding("T1w-T2w", "unit", "", "unit", {})]
    directions.append("T1w-FLAIR")  # where everything failed
    table = LAYOUTS.get("scores")(published, tested, directions)  # a mean over fewer directions than others are says so
    assert table.iloc[0, 2] == "2.000 ± 1.000 [−0.484, 4.484] n=3, 1 of 2 directions"


def test_intervals_stay_where_the_measure_does() -> None:
    import pandas as pd

    values = pd.Series([0.99, 0.985, 0.6])
    assert entry(values, bounds_of("volumes.dice", "recontrast")).endswith(", 1.0000] n=3")


def test_titles_have_unit_and_direction() -> None:
    assert title("psnr", "recontrast") == "PSNR (dB) ↑"
    assert title("psnr_axial", "grantjacob2021", mixed=True) == "PSNR (dB) ↑"  # rows have metrics of their own
    assert title("mae", "synthrad2023") == "MAE (native units) ↓"  # the protocol fits no scale
    assert title("mae", "recontrast") == "MAE (scaled intensity) ↓"
    assert title("psnr_axial+psnr_coronal", "grantjacob2021") == "PSNR (dB) ↑"
