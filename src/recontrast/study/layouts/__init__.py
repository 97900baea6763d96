"""How a published table is put beside ours: one file a layout, chosen by `layout` in the study file."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pandas as pd

from recontrast.registry import Registry
from recontrast.study.compare import Finding
from recontrast.study.settings import Published

Layout = Callable[[Published, Sequence[Finding], Sequence[str]], pd.DataFrame]
"""From a published table, what was tested and all directions to a table of text: one row a published row, theirs beside
ours."""

LAYOUTS: Registry[Layout] = Registry("table layout", "recontrast.study.layouts")
