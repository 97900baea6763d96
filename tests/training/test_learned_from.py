"""Which cases are learned from: all contrasts, either side, or any target beside any source."""

from __future__ import annotations

import dataclasses
import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from recontrast.errors import ConfigError, LayoutError, MissingContrastError, RecontrastWarning
from recontrast.io.bids import read_sidecar, write_sidecar
from recontrast.io.nifti import read_volume, write_volume
from recontrast.io.tables import write_table
from recontrast.preparation.cohort import read_cohort
from recontrast.training.learned_from import (
    choose_cases,
    describe_prepared,
    require_contrasts,
    require_lesions,
    require_several,
    require_targets,
    sha256_of_masks,
)

MakePrepared = Callable[..., Path]

ALL = ("T1w", "T2w", "FLAIR")


def keys(cases: tuple[object, ...]) -> list[str]:
    return [case.key for case in cases]  # type: ignore[attr-defined]


def test_one_target_needs_all_contrasts(make_prepared: MakePrepared) -> None:
    cohort = read_cohort(make_prepared(absent=(("02", "T2w"),)))
    with pytest.warns(RecontrastWarning, match=r"sub-02: has no T2w, it is left out of the train cases \(it has FLAIR"):
        chosen = choose_cases(cohort, ("T1w",), ("T2w",))
    assert (keys(chosen.train), keys(chosen.validation)) == (["sub-01"], ["sub-03"])


def test_unpaired_learning_takes_either_side(make_prepared: MakePrepared) -> None:
    cohort = read_cohort(make_prepared(absent=(("02", "T2w"), ("01", "T1w"))))
    assert keys(choose_cases(cohort, ("T1w",), ("T2w",), paired=False).train) == ["sub-01", "sub-02"]


def test_several_targets_take_every_case_with_a_target_beside_a_source(make_prepared: MakePrepared) -> None:
    cohort = read_cohort(make_prepared(absent=(("01", "T1w"), ("02", "T2w"))))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        chosen = choose_cases(cohort, ALL, ALL, partly=True)
    assert keys(chosen.train) == ["sub-01", "sub-02"]


def test_a_case_with_one_contrast_teaches_nothing_and_is_named(make_prepared: MakePrepared) -> None:
    cohort = read_cohort(make_prepared(absent=(("02", "T2w"), ("02", "FLAIR"))))
    with pytest.warns(RecontrastWarning, match=r"sub-02: has no target .* beside a source .* \(it has T1w\)"):
        chosen = choose_cases(cohort, ALL, ALL, partly=True)
    assert keys(chosen.train) == ["sub-01"]


def test_contrasts_that_never_occur_together_are_named(make_prepared: MakePrepared) -> None:
    absent = [(subject, label) for subject in ("01", "02") for label in ("T2w", "FLAIR") if subject == "01"]
    absent += [("02", "T1w")]
    cohort = read_cohort(make_prepared(absent=tuple(absent)))
    with pytest.warns(RecontrastWarning, match="sub-01"), pytest.raises(
        MissingContrastError, match="no train case has T1w together with a source; leave T1w out"
    ):  # fmt: skip
        choose_cases(cohort, ALL, ALL, partly=True)
    with pytest.warns(RecontrastWarning, match="sub-01"), pytest.raises(
        MissingContrastError, match="no train case has T1w together with a target; leave T1w out"
    ):  # fmt: skip
        choose_cases(cohort, ALL, ("T2w", "FLAIR"), partly=True)


def test_a_target_that_is_the_only_source(make_prepared: MakePrepared) -> None:
    with pytest.raises(ConfigError, match="T1w is a target and the only source"):
        require_several(("T1w",), ("T1w", "T2w"))
    with pytest.raises(LayoutError, match="no training subject"):
        choose_cases(read_cohort(make_prepared({"01": "test"})), ALL, ALL, partly=True)


def test_a_recipe_that_gives_its_source_back_has_one_source_and_no_other_target() -> None:
    require_targets(("T1w",), ("T1w",), reconstructs=True)
    for sources, targets in ((("T1w",), ("T2w",)), (("T1w", "T2w"), ("T1w", "T2w"))):
        with pytest.raises(ConfigError, match="name one --source and no other target"):
            require_targets(sources, targets, reconstructs=True)
    with pytest.raises(ConfigError, match="T1w is source and target"):
        require_targets(("T1w",), ("T1w",))


def test_a_contrast_that_is_nowhere_is_answered_with_those_that_are(make_prepared: MakePrepared) -> None:
    with pytest.raises(MissingContrastError, match="no case has PDw; there is: FLAIR, T1w, T2w"):
        require_contrasts(read_cohort(make_prepared({"01": "train"})), ("T1w", "PDw"))


def test_prepared_images_are_told_apart_by_what_was_noted_of_them(make_prepared: MakePrepared) -> None:
    folder = make_prepared()

    def note(t1w: str, flair: str = "aa") -> None:
        rows = {"case": ["sub-01", "sub-01"], "contrast": ["T1w", "FLAIR"], "image_hash": [t1w, flair]}
        write_table(folder / "quality.tsv", pd.DataFrame(rows))

    def told() -> dict[str, Any]:
        cohort = read_cohort(folder)
        return describe_prepared(cohort, cohort.split("train"), ("T1w", "T2w"))

    def rewrite(**changes: Any) -> None:
        (image,) = [case.images["T1w"] for case in read_cohort(folder).cases if case.key == "sub-01"]
        write_sidecar(image, {**read_sidecar(image), **changes})

    unmeasured = told()
    note("0012")
    first = told()
    assert unmeasured["sha256_of_images"] != first["sha256_of_images"]
    note("0012", flair="bb")  # another contrast
    rewrite(Sources=["sub-01/anat/renamed_T1w.nii.gz"])
    rewrite(ScanningSequence="GR")  # was not kept by older versions, and no network is told
    assert told() == first
    note("12")  # a hash is no number
    other = told()
    assert other["sha256_of_images"] != first["sha256_of_images"]
    assert other | {"sha256_of_images": ""} == first | {"sha256_of_images": ""}
    note("0012")
    assert told() == first
    rewrite(Scale={"name": "percentile", "offset": 0.0, "factor": 99.0})
    scaled = told()["sha256_of_images"]
    next((folder / "sub-01").glob("**/*desc-brain_mask.nii.gz")).unlink()
    assert len({first["sha256_of_images"], scaled, told()["sha256_of_images"]}) == 3
    settings = {"scale": {"high": 99.0}, "recipe": "t1-linear"}
    (folder / "provenance.json").write_text(json.dumps({"stage": "prepare", "settings": settings}))
    assert (told()["scale"]["high"], first["scale"]["high"]) == (99.0, 99.9)
    assert (told()["preparation"]["recipe"], first["preparation"]["recipe"]) == ("t1-linear", "native")


def test_masks_are_told_apart_by_what_is_in_them(make_prepared: MakePrepared) -> None:
    folder, moved = make_prepared(), make_prepared(name="moved")

    def told(where: Path, *names: str) -> str:
        return sha256_of_masks(read_cohort(where).split("train"), names or ("head", "brain"))

    first = told(folder)
    assert first == told(moved) == told(folder, "head", "brain", "lesion") != told(folder, "head")
    brain, head = (next((folder / "sub-01").glob(f"**/*desc-{name}_mask.nii.gz")) for name in ("brain", "head"))
    volume = read_volume(brain, np.uint8)
    smaller = volume.data.copy()
    smaller[:10] = 0
    write_volume(brain, volume.with_data(smaller), np.uint8)
    assert len({first, told(folder)}) == 2
    assert told(folder, "head") == told(moved, "head")
    head.write_bytes(b"")
    assert told(folder, "head") != told(moved, "head")


def test_a_weight_of_lesions_needs_lesions(make_prepared: MakePrepared) -> None:
    cases = read_cohort(make_prepared()).split("train")
    with pytest.raises(ConfigError, match=r"no training case has a region called lesion or tumour \(there is: brain"):
        require_lesions(cases, ("lesion", "tumour"))
    require_lesions(cases, ("brain",))
    ill = dataclasses.replace(cases[0], regions={**cases[0].regions, "lesion": cases[0].regions["head"]})
    with pytest.warns(RecontrastWarning, match="1 of 2 training cases have no mask of lesions"):
        require_lesions([ill, cases[1]], ("lesion",))
