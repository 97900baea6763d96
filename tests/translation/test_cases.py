from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from recontrast.errors import (
    ConfigError,
    FormatError,
    LayoutError,
    MissingContrastError,
    RecontrastWarning,
    UnknownNameError,
)
from recontrast.io.nifti import write_volume
from recontrast.preparation.bank import Bank
from recontrast.preparation.cohort import Preparation
from recontrast.preparation.normalize import Scale
from recontrast.preparation.pipeline import PrepareSettings, prepare
from recontrast.translation.cases import Selection, find_cases, output_name, stem
from recontrast.translation.description import TranslatorDescription
from recontrast.volume import Volume

Describe = Callable[..., TranslatorDescription]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("sub-01_T1w.nii.gz", "sub-01_desc-synthetic_T2w.nii.gz"),
        ("sub-01_ses-2_acq-fast_run-3_space-MNI_T1w.nii", "sub-01_ses-2_run-3_space-MNI_desc-synthetic_T2w.nii.gz"),
        ("sub-01_desc-prepared_T1w.nii.gz", "sub-01_desc-synthetic_T2w.nii.gz"),
        ("Head 7.NII.GZ", "Head 7_desc-synthetic_T2w.nii.gz"),
    ],
)
def test_names_say_synthetic_and_keep_what_says_which(source: str, expected: str) -> None:
    assert output_name(Path(source), "T2w") == expected


def test_the_target_brings_its_own_entities() -> None:
    name = output_name(Path("sub-01_acq-fast_T1w.nii.gz"), "ce-gadolinium_T1w")
    assert name == "sub-01_ce-gadolinium_desc-synthetic_T1w.nii.gz"
    assert stem(Path("a.b.nii.gz")) == "a.b"


def test_a_file_with_its_further_sources(describe: Describe, data_set: Path) -> None:
    about = describe(sources=("T1w", "PDw"))
    folder = data_set / "sub-01" / "anat"
    path, other = folder / "sub-01_T1w.nii.gz", folder / "sub-01_PDw.nii.gz"
    (case,) = find_cases(path, about, Selection(also=(f"PDw={other}",)))
    assert case.sources == {"T1w": path, "PDw": other}
    assert case.output == Path("sub-01_desc-synthetic_T2w.nii.gz")
    (case,) = find_cases(other, about, Selection(also=(f"T1w={path}",)))
    assert case.sources == {"PDw": other, "T1w": path}
    with pytest.raises(MissingContrastError, match="also needs PDw; add --also PDw=FILE"):
        find_cases(path, about, Selection())
    with pytest.raises(ConfigError, match="CONTRAST=FILE"):
        find_cases(path, about, Selection(also=("PDw",)))
    with pytest.raises(ConfigError, match=r"needed besides sub-01_T1w.nii.gz is PDw"):
        find_cases(path, about, Selection(also=(f"FLAIR={other}",)))
    with pytest.raises(ConfigError, match="the input is one file"):
        find_cases(path, about, Selection(split="test"))


def test_a_synthetic_file_is_no_source(describe: Describe, data_set: Path) -> None:
    folder = data_set / "sub-01" / "anat"
    made = folder / "sub-01_desc-synthetic_T1w.nii.gz"
    shutil.copy(folder / "sub-01_T1w.nii.gz", made)
    with pytest.raises(ConfigError, match="is itself synthetic"):
        find_cases(made, describe(), Selection())
    with pytest.raises(ConfigError, match="is itself synthetic"):
        find_cases(folder / "sub-01_PDw.nii.gz", describe(sources=("T1w", "PDw")), Selection(also=(f"T1w={made}",)))


def test_a_file_named_for_another_contrast_is_doubtful(describe: Describe, data_set: Path) -> None:
    with pytest.warns(RecontrastWarning, match="is PDw by its name, the translator learned from T1w"):
        find_cases(data_set / "sub-01/anat/sub-01_PDw.nii.gz", describe(), Selection())


def test_what_is_not_there_or_not_an_image(describe: Describe, tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="no such file or folder"):
        find_cases(tmp_path / "nowhere", describe(), Selection())
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(FormatError, match="not a NIfTI file"):
        find_cases(tmp_path / "notes.txt", describe(), Selection())
    with pytest.raises(LayoutError, match="no NIfTI file"):
        find_cases(tmp_path, describe(), Selection())


def test_a_plain_folder(describe: Describe, tmp_path: Path, make_volume: Callable[..., Volume]) -> None:
    for name in ("head", "head_desc-synthetic_T2w", "sub-05_T1w", "sub-05_FLAIR"):
        write_volume(tmp_path / f"{name}.nii.gz", make_volume())
    cases = {case.key: case for case in find_cases(tmp_path, describe(), Selection())}
    assert [key for key, case in cases.items() if not case.skipped] == ["head", "sub-05_T1w"]
    assert "is itself synthetic" in cases["head_desc-synthetic_T2w"].problem
    assert "is FLAIR by its name" in cases["sub-05_FLAIR"].problem
    with pytest.raises(LayoutError, match="T1w and PDw of each case"):
        find_cases(tmp_path, describe(sources=("T1w", "PDw")), Selection())
    with pytest.raises(ConfigError, match="neither"):
        find_cases(tmp_path, describe(), Selection(subjects=("05",)))
    (tmp_path / "head.nii.gz").unlink()
    with pytest.raises(LayoutError, match="none of its 3 images is PDw"):
        find_cases(tmp_path, describe(sources=("PDw",)), Selection())


def test_two_inputs_for_one_output_are_both_refused(
    describe: Describe, tmp_path: Path, make_volume: Callable[..., Volume]
) -> None:
    for name in ("head.nii", "head.nii.gz"):
        write_volume(tmp_path / name, make_volume())
    assert all("same file" in case.problem for case in find_cases(tmp_path, describe(), Selection()))


def test_a_data_set_gives_cases_by_subject_and_session(describe: Describe, data_set: Path) -> None:
    cases = {case.key: case for case in find_cases(data_set, describe(sources=("T1w", "PDw")), Selection())}
    assert list(cases) == ["sub-01", "sub-02", "sub-03_ses-1", "sub-03_ses-2"]
    assert "has no T1w" in cases["sub-03_ses-1"].problem
    case = cases["sub-03_ses-2"]
    assert case.output == Path("sub-03/ses-2/anat/sub-03_ses-2_desc-synthetic_T2w.nii.gz")
    assert [path.name for path in case.sources.values()] == ["sub-03_ses-2_T1w.nii.gz", "sub-03_ses-2_PDw.nii.gz"]


def test_sources_of_two_persons_are_no_pair(describe: Describe, data_set: Path) -> None:
    anat = data_set / "sub-02" / "anat"
    (anat / "sub-02_PDw.nii.gz").rename(data_set / "sub-01" / "anat" / "sub-02_PDw.nii.gz")
    with pytest.warns(RecontrastWarning, match=r"left out.*sub-01/anat/sub-02_PDw\.nii\.gz"):
        cases = {case.key: case for case in find_cases(data_set, describe(sources=("T1w", "PDw")), Selection())}
    assert "has no PDw" in cases["sub-02"].problem
    assert not cases["sub-01"].problem


def test_a_subject_without_an_image_of_a_bids_name_is_not_dropped(describe: Describe, data_set: Path) -> None:
    for name in ("sub-07/anat/sub-07_T1w (1).nii.gz", "sub-09/anat/sub-09_T1w.NII.GZ"):
        (data_set / name).parent.mkdir(parents=True)
        shutil.copy(data_set / "sub-01" / "anat" / "sub-01_T1w.nii.gz", data_set / name)
    (data_set / "sub-10").mkdir()
    with pytest.warns(RecontrastWarning, match=r"2 files are left out.*sub-07_T1w \(1\)\.nii\.gz.*sub-09_T1w\.NII\.GZ"):
        cases = {case.key: case for case in find_cases(data_set, describe(), Selection())}
    for key in ("sub-07", "sub-09", "sub-10"):
        assert cases[key].problem == "has no T1w without a space entity; there is: no image"
    find_cases(data_set, describe(), Selection(subjects=("01",)))  # nothing is said of those who are not meant
    about = describe(sources=("T1w", "PDw"), target="", bank=BANK).making("T2w")
    (case,) = find_cases(data_set, about, Selection(subjects=("10",)))
    assert case.problem == "has none of T1w, PDw, of which T2w is made; there is: no image"


def test_a_data_set_without_an_image_of_a_bids_name_says_what_is_there(
    describe: Describe, tmp_path: Path, make_volume: Callable[..., Volume]
) -> None:
    write_volume(tmp_path / "sub-01" / "t1.nii.gz", make_volume())
    with pytest.raises(LayoutError, match=r"no image with a BIDS name .* in it; there is: sub-01/t1\.nii\.gz$"):
        find_cases(tmp_path, describe(), Selection())


def test_subjects_and_splits_choose(describe: Describe, data_set: Path) -> None:
    assert [c.key for c in find_cases(data_set, describe(), Selection(subjects=("sub-02",)))] == ["sub-02"]
    with pytest.raises(UnknownNameError, match="'04'"):
        find_cases(data_set, describe(), Selection(subjects=("04",)))
    with pytest.raises(ConfigError, match=r"no splits.tsv"):
        find_cases(data_set, describe(), Selection(split="test"))
    (data_set / "splits.tsv").write_text("subject\tsplit\n01\ttrain\n02\ttest\n03\ttrain\n")
    assert [c.key for c in find_cases(data_set, describe(), Selection(split="test"))] == ["sub-02"]
    with pytest.raises(LayoutError, match="no case of split 'validation'; splits in it: test, train"):
        find_cases(data_set, describe(), Selection(split="validation"))
    with pytest.raises(ConfigError, match="--also goes with a single file"):
        find_cases(data_set, describe(), Selection(also=("PDw=x.nii",)))


def test_a_subject_that_a_person_rejected_is_not_called_unknown(
    describe: Describe, data_set: Path, tmp_path: Path
) -> None:
    prepared, grades = tmp_path / "prepared", tmp_path / "grades.tsv"
    grades.write_text("case\tcontrast\ttier\nsub-01\tT1w\treject\nsub-03_ses-2\tT1w\treject\n")
    with pytest.warns(RecontrastWarning, match="2 cases are left out"):
        prepare(PrepareSettings(
            bids=data_set, out=prepared, contrasts=("T1w", "PDw"), align=False, test=("02",), grades=grades, workers=1,
        ))  # fmt: skip

    def told(*subjects: str) -> dict[str, str]:
        return {case.key: case.problem for case in find_cases(prepared, describe(), Selection(subjects=subjects))}

    rejected = f"was not prepared: a person rejected T1w (tier reject in {grades})"
    assert told("01", "02") == {"sub-01": rejected, "sub-02": ""}
    assert told("sub-03") == {"sub-03_ses-1": told()["sub-03_ses-1"]}  # nothing of it failed: the other was left out
    asked = Selection(subjects=("01",), split="test")  # who was rejected has no split
    assert [case.problem for case in find_cases(prepared, describe(), asked)] == [rejected]
    assert list(told()) == ["sub-02", "sub-03_ses-1"]
    with pytest.raises(UnknownNameError, match="unknown subject in --subjects: '09'"):
        told("09")


def test_a_folder_prepared_by_another_recipe_is_refused(describe: Describe, data_set: Path, tmp_path: Path) -> None:
    """Its images were given to the network as if they were of the kind that it learned from."""
    prepared = tmp_path / "prepared"
    prepare(PrepareSettings(
        bids=data_set, out=prepared, contrasts=("T1w",), test=("02",), subjects=("01", "02"), workers=1,
    ))  # fmt: skip
    for learned in (None, Preparation(grid="T1w")):
        assert not any(case.problem for case in find_cases(prepared, describe(preparation=learned), Selection()))
    about = describe(preparation=Preparation(recipe="t1-linear", grid="T1w"))
    with pytest.raises(ConfigError, match=r"prepared: recipe is native, was t1-linear"):
        find_cases(prepared, about, Selection())


def test_several_files_of_one_contrast_are_not_guessed(describe: Describe, data_set: Path) -> None:
    anat = data_set / "sub-01" / "anat"
    for name in ("sub-01_run-2_T1w.nii.gz", "sub-01_space-MNI_T1w.nii.gz"):
        shutil.copy(anat / "sub-01_T1w.nii.gz", anat / name)
    first = find_cases(data_set, describe(), Selection())[0]
    assert "2 files are T1w" in first.problem
    assert "--prefer" in first.problem
    (chosen,) = find_cases(data_set, describe(), Selection(subjects=("01",), prefer=("run-2",)))
    assert chosen.output.name == "sub-01_run-2_desc-synthetic_T2w.nii.gz"
    (chosen,) = find_cases(data_set, describe(), Selection(subjects=("01",), space="MNI"))
    assert chosen.sources["T1w"].name == "sub-01_space-MNI_T1w.nii.gz"


BANK = Bank(sources=("T1w", "PDw"), targets={"T2w": Scale("fixed", 0.0, 1.0), "T1w": Scale("fixed", 0.0, 1.0)})


def test_any_to_any_takes_what_each_case_has(describe: Describe, data_set: Path) -> None:
    about = describe(sources=("T1w", "PDw"), target="", bank=BANK)
    found = {case.key: case for case in find_cases(data_set, about.making("T2w"), Selection())}
    used = {key: tuple(case.sources) for key, case in found.items()}
    both = ("T1w", "PDw")
    assert used == {"sub-01": both, "sub-02": both, "sub-03_ses-1": ("PDw",), "sub-03_ses-2": both}
    assert found["sub-03_ses-1"].output.name == "sub-03_ses-1_desc-synthetic_T2w.nii.gz"
    (data_set / "sub-01/anat/sub-01_PDw.nii.gz").unlink()
    cases = find_cases(data_set, about.making("T1w"), Selection(subjects=("01", "02")))
    assert [tuple(case.sources) for case in cases] == [(), ("PDw",)]
    assert cases[0].problem == "has none of PDw, of which T1w is made; there is: T1w"


def test_any_to_any_takes_a_file_that_says_what_it_is(describe: Describe, data_set: Path, tmp_path: Path) -> None:
    about = describe(sources=("T1w", "PDw"), target="", bank=BANK).making("T2w")
    path, unnamed = data_set / "sub-01/anat/sub-01_PDw.nii.gz", tmp_path / "head.nii.gz"
    (case,) = find_cases(path, about, Selection())
    assert case.sources == {"PDw": path}
    shutil.copy(path, unnamed)
    with pytest.raises(ConfigError, match="the name must say which of T1w, PDw it is"):
        find_cases(unnamed, about, Selection())
    with pytest.raises(LayoutError, match="a plain folder"):
        find_cases(path.parent, about, Selection())
    with pytest.raises(ConfigError, match="--harmonise"):
        find_cases(data_set, about, Selection(harmonise=True))
