"""The whole evaluation on six hand-made heads."""

from __future__ import annotations

from pathlib import Path

from recontrast.evaluation.command import EvaluateSettings, evaluate
from recontrast.io.tables import read_table


def test_scores(prepared: Path, write_synthetic, tmp_path: Path) -> None:
    for subject in ("04", "05", "06"):
        write_synthetic(subject)
    out = tmp_path / "evaluation"
    summary = evaluate(EvaluateSettings(synthetic=tmp_path / "synthetic", reference=prepared, out=out, workers=1))
    print(summary)
    print((out / "evaluation.json").read_text())
    print(read_table(out / "statistics.tsv").query("metric=='psnr'").to_string())
    print(read_table(out / "cases.tsv").to_string())
    print(read_table(out / "scores.tsv").query("metric=='psnr'").head(30).to_string())
