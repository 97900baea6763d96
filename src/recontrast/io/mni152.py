"""The MNI152 head that travels in the nilearn wheel: nothing is downloaded.

The symmetric nonlinear average of 152 adults, 2009a (Fonov 2011, NeuroImage 54:313), skull-stripped, 1 mm.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike

from recontrast.errors import ConfigError, DependencyError
from recontrast.io.nifti import read_volume
from recontrast.volume import Volume

MAPS = ("t1", "gm", "wm")
"""The T1w image, and the shares of grey and of white matter."""

_FILE = "mni_icbm152_{}_tal_nlin_sym_09a_converted.nii.gz"


def read_mni152(name: str = "t1", dtype: DTypeLike = np.uint8) -> Volume:
    """One of the maps of the head, axes along R, A, S, 0 to 255.

    Args:
        name: See `MAPS`.
        dtype: Type of the values returned.

    Raises:
        ConfigError: There is no such map.
        DependencyError: nilearn, or the maps in it, are not installed.

    Example:
        >>> read_mni152().shape
        (197, 233, 189)
    """
    if name not in MAPS:
        raise ConfigError(f"template '{name}': there is t1, gm and wm")
    # The file is opened directly: importing nilearn.datasets takes seconds.
    spec = importlib.util.find_spec("nilearn")
    if spec is None or spec.origin is None:
        raise DependencyError(
            "the head template is in the package nilearn, which is not installed: pip install nilearn"
        )
    path = Path(spec.origin).parent / "datasets" / "data" / _FILE.format(name)
    if not path.is_file():
        raise DependencyError(f"{path}: the MNI152 maps are not in this nilearn; install nilearn 0.11 or later")
    return read_volume(path, dtype).reoriented("RAS")
