"""Time of the whole inspection: one translator, ten cases, every question.

    python benchmarks/inspection.py RUN PREPARED [--cases 10]

Limit: 5 minutes on two cores. Prints the seconds of each question, and its answer.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from recontrast.inspection.command import InspectSettings, inspect
from recontrast.io.tables import read_table


def main() -> None:
    """Inspect and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("prepared", type=Path)
    parser.add_argument("--cases", type=int, default=10)
    parser.add_argument("--split", default="test")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        settings = InspectSettings(
            run=given.run, prepared=given.prepared, out=Path(folder), cases=given.cases, split=given.split
        )
        inspect(settings)
        total = time.perf_counter() - start
        for row in read_table(Path(folder) / "answers.tsv").itertuples():
            print(f"{row.seconds:6.1f} s  {row.question:10s} {row.status:10s} {row.answer}")
    print(f"{total:6.1f} s  in all (limit 300 s on two cores)")


if __name__ == "__main__":
    main()
