"""Programs that are absent, fail, or say nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from recontrast.errors import DataError, DependencyError
from recontrast.evaluation.segmentation import SEGMENTERS, SegmentationInput
from recontrast.evaluation.segmentation.external import External
from recontrast.evaluation.segmentation.synthseg import SynthSeg
from recontrast.volume import Volume

PROGRAMS = {name: member for name, member in SEGMENTERS.items() if issubclass(member, External)}
GIVEN = SegmentationInput(
    Volume(np.ones((4, 4, 4), np.float32), np.eye(4)), "T1w", np.ones((4, 4, 4), bool), what="sub-01: synthetic T1w"
)


def test_all_programs_are_known() -> None:
    assert set(PROGRAMS) == {"synthseg", "freesurfer", "fastsurfer", "fast", "spm12"}


@pytest.mark.parametrize("name", sorted(PROGRAMS))
def test_an_absent_program_is_named(name: str, fake_program: Callable[..., Path]) -> None:
    segmenter = SEGMENTERS.get(name)()
    for act in (segmenter.version, lambda: segmenter.segment(GIVEN)):
        with pytest.raises(DependencyError, match=r"was not found: install .* --labels FOLDER"):
            act()


@pytest.mark.slow
def test_a_program_that_fails_is_quoted(fake_program: Callable[..., Path]) -> None:
    fake_program("mri_synthseg", "print('no licence', file=sys.stderr); sys.exit(3)")
    with pytest.raises(DataError, match="sub-01: synthetic T1w: mri_synthseg failed with status 3: no licence"):
        SynthSeg().segment(GIVEN)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("program", "version"),
    [
        ("", "unknown"), ("print('usage: run_fastsurfer.sh')", "unknown"),
        ("print('unrecognised option 2'); sys.exit(1)", "unknown"), ("print('welcome\\n2.4.1')", "2.4.1"),
    ],
)  # fmt: skip
def test_a_version_is_a_line_with_a_number_of_a_program_that_did_not_fail(
    fake_program: Callable[..., Path], program: str, version: str
) -> None:
    fake_program("run_fastsurfer.sh", program)
    assert SEGMENTERS.get("fastsurfer")().version() == version
