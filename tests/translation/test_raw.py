"""Raw and prepared input of a translator give the same result, whatever recipe its training images went through."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tests.preparation.recipes.test_recipe_contract import inputs

from recontrast.errors import RecontrastWarning
from recontrast.io.bids import BidsName, Case, read_sidecar, write_description
from recontrast.io.nifti import read_volume, write_volume
from recontrast.preparation.cohort import Preparation, read_cohort
from recontrast.preparation.pipeline import PrepareSettings, prepare
from recontrast.preparation.placement import Placement
from recontrast.preparation.recipes import PREPARATIONS
from recontrast.translation.command import TranslateSettings, translate
from recontrast.translation.raw import needs_preparing, translate_raw
from recontrast.translation.translator import load_translator
from recontrast.volume import same_grid

CASE = Case("01")
SIZE = {"t1-linear": (40, 44, 40), "brats": (32, 32), "localizer": (48, 48)}
QUICK = ("native", "fixed-scale", "synthetic-mri")


def written(recipe: str, root: Path) -> list[str]:
    """A data set of one case that the recipe can work on; returns its contrasts, the grid's first."""
    images, _ = inputs(recipe)
    write_description(root, "scans", version="0")
    for label, volume in images.items():
        write_volume(root / CASE.folder / "anat" / BidsName.of(CASE, label).filename, volume)
    return list(images)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::recontrast.errors.RecontrastWarning")  # small heads, other voxels than in training
@pytest.mark.parametrize(
    "recipe", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in PREPARATIONS.names()]
)
def test_raw_input_is_prepared_as_the_training_images_were(
    recipe: str, save: Callable[..., Path], tmp_path: Path
) -> None:
    root, prepared = tmp_path / "bids", tmp_path / "prepared"
    labels = written(recipe, root)
    (tmp_path / "splits.tsv").write_text("subject\tsplit\n01\ttrain\n")
    settings = PrepareSettings(
        bids=root, out=prepared, recipe=recipe, contrasts=tuple(labels), size=SIZE.get(recipe, ()),
        splits=tmp_path / "splits.tsv", workers=1,
    )  # fmt: skip
    prepare(settings)
    cohort = read_cohort(prepared)
    assert cohort.preparation == Preparation(recipe=recipe, grid=labels[0], size=SIZE.get(recipe, ()))
    sources = tuple(labels[:-1]) if recipe == "synthetic-mri" else ("T1w",)
    run = save(
        sources=sources, target=labels[-1], scale_settings=cohort.scale_settings, preparation=cohort.preparation
    )  # fmt: skip
    for folder in (prepared, root):
        translate(TranslateSettings(run=run, input=folder, out=tmp_path / f"of-{folder.name}", engine="torch"))
    (there,), (here,) = ((tmp_path / f"of-{name}").rglob("*.nii.gz") for name in ("prepared", "bids"))
    first = cohort.cases[0].images[sources[0]]
    expected = Placement.from_dict(read_sidecar(first)).to_source(read_volume(there))
    made = read_volume(here)
    assert same_grid(made, read_volume(root / CASE.folder / "anat" / BidsName.of(CASE, sources[0]).filename), 0)
    assert made.data.std() > 0
    np.testing.assert_allclose(made.data, expected.data, atol=1e-5 * float(np.abs(expected.data).max()))
    assert read_sidecar(here)["SourceScales"] == read_sidecar(there)["SourceScales"]


def test_what_must_be_prepared(describe: Callable[..., object]) -> None:
    several = {"sources": ("T1w", "PDw"), "preparation": Preparation()}
    assert not needs_preparing(describe())  # type: ignore[arg-type]
    assert not needs_preparing(describe(preparation=Preparation()))  # type: ignore[arg-type]
    assert needs_preparing(describe(**several))  # type: ignore[arg-type]
    assert needs_preparing(describe(preparation=Preparation(recipe="t1-linear")))  # type: ignore[arg-type]


def test_a_grid_that_is_not_there_is_replaced_and_said(save: Callable[..., Path]) -> None:
    images, _ = inputs("native")
    run = save(preparation=Preparation(recipe="fixed-scale", grid="T2w"), spacing_mm=(4.0, 4.0, 4.0))
    with pytest.warns(RecontrastWarning, match="lay on the grid of T2w, which a raw case does not have; that of T1w"):
        made = translate_raw(load_translator(run), {"T1w": images["T1w"]}, "sub-01")
    assert same_grid(made.volume, images["T1w"], 0)
