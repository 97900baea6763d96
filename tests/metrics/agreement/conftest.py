"""Ratings that R and we are given alike."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

FIXTURES = Path(__file__).parent / "fixtures"


def read_ratings() -> dict[str, np.ndarray]:
    table = pd.read_csv(FIXTURES / "ratings.tsv", sep="\t")
    return {
        str(name): part.pivot(index="item", columns="rater", values="rating").to_numpy()
        for name, part in table.groupby("set")
    }


@pytest.fixture(scope="session")
def ratings() -> dict[str, np.ndarray]:
    return read_ratings()


@pytest.fixture(scope="session", params=["stored", "live"])
def from_r(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """What R's psych prints: as stored (psych 2.2.9), and made now where R is installed."""
    path = FIXTURES / "agreement_r.tsv"
    if request.param == "live":
        program = shutil.which("Rscript")
        if program is None:
            pytest.skip("Rscript is not installed (apt-get install r-base-core r-cran-psych)")
        asked = 'cat(requireNamespace("psych", quietly = TRUE) && packageVersion("psych") == "2.2.9")'
        if subprocess.run([program, "-e", asked], capture_output=True, text=True, check=False).stdout != "TRUE":
            pytest.skip("R's package psych 2.2.9 is not installed (apt-get install r-cran-psych)")
        command = [program, str(FIXTURES / "agreement.R"), str(FIXTURES / "ratings.tsv")]
        made = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        path = tmp_path_factory.mktemp("r") / "agreement_r.tsv"
        path.write_text(made, encoding="utf-8")
    return pd.read_csv(path, sep="\t").set_index(["set", "quantity"])
