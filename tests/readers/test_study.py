"""Designs: ready ones are complete, wrong ones say what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from recontrast.errors import ConfigError, UnknownNameError
from recontrast.readers.study import designs, read_study

ARMS = """
[[arms]]
name = "acquired"
files = "{case}_a.nii"
[[arms]]
name = "synthetic"
files = "{case}_s.nii"
"""

GRADE = '[[questions]]\nname = "g1"\ntext = "?"\nkind = "grade"\nchoices = ["a", "b"]\n'
MARKS = '[[questions]]\nname = "m1"\ntext = "?"\nkind = "marks"\n'
WHICH = 'mode = "side-by-side"\n[[questions]]\nname = "w"\ntext = "?"\nkind = "which"\n'


def written(tmp_path: Path, text: str) -> Path:
    (tmp_path / "study.toml").write_text(text + ARMS)
    return tmp_path / "study.toml"


@pytest.mark.parametrize("name", sorted(designs()))
def test_ready_designs_need_only_readers_and_arms(name: str, tmp_path: Path) -> None:
    study = read_study(written(tmp_path, f'design = "{name}"\nreaders = ["A"]\n'))
    assert study.questions
    assert study.instructions
    assert study.acquired == "acquired"


def test_designs_of_the_papers_ask_what_the_papers_asked(tmp_path: Path) -> None:
    mta = read_study(written(tmp_path, 'design = "tagawa2025"\nreaders = ["A"]\n'))
    assert mta.question("mta").fields == ("mta.right", "mta.left")
    assert mta.question("mta").values == (0, 1, 2, 3, 4)
    assert (mta.washout_days, mta.plane, mta.question("lesions").kind) == (28, "coronal", "marks")
    likert = read_study(written(tmp_path, 'design = "hagiwara2019"\nreaders = ["A"]\n'))
    assert [q.values for q in likert.questions] == [(1, 2, 3, 4, 5)] * 4
    rating = read_study(written(tmp_path, 'design = "bottani2024"\nreaders = ["A"]\n'))
    assert {q.key for q in rating.questions} == set("rkazd")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('design = "mta"\nreaders = ["A", "A"]', "twice"),
        ('design = "mta"\nreaders = ["../A"]', "use letters"),
        ('design = "mta"\nreaders = ["A"]\nopens = "tomorrow"', "YYYY-MM-DD"),
        ('design = "mta"\nreaders = ["A"]\nblock_order = ["acquired"]', "each arm once"),
        ('design = "mta"\nreaders = ["A"]\ngap = 0', "gap"),
        ('design = "cerebrovascular"\nreaders = ["A"]\nmode = "overlay"', "does not fit"),
        ('title = "x"\nreaders = ["A"]', "at least one"),
        (f'title = "x"\nreaders = ["A"]\n{GRADE}key = "u"', "one small letter, and not one of the page's own"),
        (f'title = "x"\nreaders = ["A"]\n{GRADE}key = "Z"', "one small letter"),
        (f'title = "x"\nreaders = ["A"]\n{GRADE}key = "z"\n{GRADE.replace("g1", "g2")}key = "z"', "two questions"),
        (f'title = "x"\nreaders = ["A"]\n{GRADE}first = 9', "0 to 9"),
        (f'title = "x"\nreaders = ["A"]\n{MARKS}{MARKS.replace("m1", "m2")}', "'m1' and 'm2' are of kind 'marks'"),
        (f'title = "x"\nreaders = ["A"]\n{WHICH}choices = ["a", "b", "c", "d"]', "2 to 3 choices .*neither.*, 4 are"),
        (f'title = "x"\nreaders = ["A"]\n{WHICH}choices = ["a"]', "2 to 3 choices"),
    ],
)
def test_what_does_not_fit_is_said(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=said):
        read_study(written(tmp_path, text + "\n"))


def test_unknown_names_give_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'mta'"):
        read_study(written(tmp_path, 'design = "mtaa"\nreaders = ["A"]\n'))
    with pytest.raises(UnknownNameError, match=r"did you mean 'questions\[0\]\.choices'"):
        read_study(written(tmp_path, f'title = "x"\nreaders = ["A"]\n{GRADE.replace("choices", "choicez")}'))
    with pytest.raises(UnknownNameError, match="washout_days"):
        read_study(written(tmp_path, 'design = "mta"\nreaders = ["A"]\nwashout_day = 3\n'))
