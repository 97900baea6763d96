"""Several translators on the same subjects."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from recontrast.config import to_plain
from recontrast.errors import ConfigError, FormatError, LayoutError, StatisticsError, UnknownNameError
from recontrast.evaluation.comparison import compare_evaluations
from recontrast.evaluation.protocols import PROTOCOLS
from recontrast.evaluation.scores import IDENTICAL, OK, Record
from recontrast.evaluation.statistics import friedman, holm, paired_test
from recontrast.evaluation.tables import ScoredCase, scores_table
from recontrast.evaluation.volume_tables import FidelityResult, volumes_table
from recontrast.evaluation.volumetry import StructureComparison
from recontrast.io.bids import Case
from recontrast.io.tables import read_table, write_table

BASE = np.array([20.0, 22.5, 19.0, 25.0, 23.0, 21.0, 24.0, 20.5, 22.0])


def write(folder: Path, values: dict[str, float], *, protocol: str = "recontrast", **facts: object) -> Path:
    chosen = PROTOCOLS.get(protocol)
    cases = []
    for key, value in values.items():
        subject, _, session = key.partition("/")
        status = OK if np.isfinite(value) else IDENTICAL
        records = {
            "synthetic": [
                Record("brain", "psnr", "volume", value, status),
                Record("brain", "mae", "volume", 1 / value, OK),
            ],
            "ridge": [Record("brain", "psnr", "volume", 1.0, OK)],
        }
        cases.append(ScoredCase(Case(subject, session or None), records))
    folder.mkdir()
    write_table(folder / "scores.tsv", scores_table(cases, chosen, "passed"))
    usual = {"target": "T2w", "primary_region": "brain", "leak_check": {"status": "passed"}}
    content = {"protocol": to_plain(chosen), **usual, **facts}
    (folder / "evaluation.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


def subjects(values: np.ndarray) -> dict[str, float]:
    return {f"{n:02d}": float(value) for n, value in enumerate(values, 1)}


@pytest.fixture
def three(tmp_path: Path, rng: np.random.Generator) -> dict[str, Path]:
    gains = {"unet": 0.0, "gan": -1.0, "big": 0.02}
    return {name: write(tmp_path / name, subjects(BASE + gain + rng.normal(0, 0.1, 9))) for name, gain in gains.items()}


def test_three_translators_are_compared_by_friedman_and_pairs(three: dict[str, Path]) -> None:
    found = compare_evaluations(three)
    assert (found.protocol, found.metric, found.region) == ("recontrast", "psnr", "brain")
    assert list(found.values.columns) == ["unet", "gan", "big"]
    assert len(found.values) == 9
    assert found.friedman == friedman(found.values.to_numpy())
    table = found.values
    raw = [paired_test(table[b] - table[a]).p for a, b in (("unet", "gan"), ("unet", "big"), ("gan", "big"))]
    assert list(found.pairs["p"]) == pytest.approx(holm(raw))
    assert found.pairs["difference"].iloc[0] == pytest.approx((table["gan"] - table["unet"]).mean())
    said = " ".join(found.sentences)
    assert "the 3 models differ" in said
    assert "unet is better than gan" in said
    assert "not shown to differ: unet and big" in said


def test_an_error_measure_has_the_other_direction(three: dict[str, Path]) -> None:
    assert "mae in brain: unet is better than gan" in " ".join(compare_evaluations(three, metric="mae").sentences)


def test_two_translators_get_a_paired_test(three: dict[str, Path]) -> None:
    found = compare_evaluations({name: three[name] for name in ("gan", "unet")})
    assert found.friedman is None
    assert found.sentences[0].startswith("psnr in brain: unet is better than gan (difference +")
    same = compare_evaluations({name: three[name] for name in ("unet", "big")})
    assert "not shown to differ" in same.sentences[0] or "is better" in same.sentences[0]


def test_a_rise_of_a_negative_mean_is_a_rise_in_per_cent(tmp_path: Path) -> None:
    folders = {"a": write(tmp_path / "a", subjects(-BASE)), "b": write(tmp_path / "b", subjects(-BASE / 2))}
    pair = compare_evaluations(folders).pairs.iloc[0]
    assert pair["difference"] > 0
    assert pair["change_percent"] == pytest.approx(50)


def test_intervals_of_differences_stay_where_differences_do(tmp_path: Path) -> None:
    folders = {}
    for name, dice in (("a", [0.99, 0.98, 0.97]), ("b", [0.98, 0.95, 0.05])):
        rows = {"subject": ["sub-01", "sub-02", "sub-03"], "dice": dice}
        shared = {"session": None, "segmenter": "tissue", "structure": "GM", "status": "ok", "aspc": 3.0, "avd": 5.0}
        folders[name] = write(tmp_path / name, subjects(BASE[:3]))
        write_table(folders[name] / "volumes.tsv", pd.DataFrame(rows).assign(**shared, hd95_mm=1.0, asd_mm=0.5))
    pair = compare_evaluations(folders, metric="dice", region="GM").pairs.iloc[0]
    assert pair["ci_low"] == -1.0


def test_two_translators_whose_test_does_not_agree_with_the_interval(tmp_path: Path) -> None:
    """Three subjects, 0.25 the smallest p there is: an interval without zero is a hint."""
    gains = np.array([1.0, 1.1, 0.9])
    folders = {"a": write(tmp_path / "a", subjects(BASE[:3])), "b": write(tmp_path / "b", subjects(BASE[:3] + gains))}
    said = compare_evaluations(folders).sentences[0]
    assert said.startswith("psnr in brain: b is better than a (")
    assert said.endswith("excludes zero, but p is 0.250, not below 0.05: take it as a hint, not as shown.")
    far = np.array([0.1] * 8 + [9.0])
    folders = {"c": write(tmp_path / "c", subjects(BASE)), "d": write(tmp_path / "d", subjects(BASE + far))}
    said = compare_evaluations(folders).sentences[0]
    assert "not shown to differ" in said
    assert said.endswith("The interval holds zero, but p is 0.004: take it as a hint, not as shown.")


def test_subjects_that_one_lacks_are_left_out_and_named(tmp_path: Path) -> None:
    values = subjects(BASE)
    first = write(tmp_path / "a", values)
    second = write(tmp_path / "b", {**subjects(BASE - 1), "03": float("nan")})
    third = write(tmp_path / "c", {k: v + 1 for k, v in values.items() if k != "05"})
    found = compare_evaluations({"a": first, "b": second, "c": third})
    assert found.left_out == {"sub-03": ("b",), "sub-05": ("c",)}
    assert len(found.values) == 7
    assert "2 subject(s) without a value of every translator left out: sub-03, sub-05." in found.sentences


def test_sessions_that_all_have_are_averaged_within_their_subject(tmp_path: Path) -> None:
    first = write(tmp_path / "a", {"01/1": 10.0, "01/2": 30.0, "02": 5.0, "03": 7.0})
    second = write(tmp_path / "b", {"01/1": 12.0, "02": 6.0, "03": 8.0})
    found = compare_evaluations({"a": first, "b": second})
    assert found.values.loc["sub-01", "a"] == 10.0
    assert list(found.pairs["difference"]) == pytest.approx([4 / 3])


def test_what_is_not_comparable_is_refused(tmp_path: Path, three: dict[str, Path]) -> None:
    other = write(tmp_path / "other", subjects(BASE), protocol="osman2022")
    with pytest.raises(ConfigError, match="not comparable"):
        compare_evaluations({**three, "other": other})
    target = write(tmp_path / "target", subjects(BASE), target="FLAIR")
    with pytest.raises(ConfigError, match=r"target differs \(T2w, FLAIR\)"):
        compare_evaluations({**three, "flair": target})
    changed = {**to_plain(PROTOCOLS.get("recontrast")), "primary_metric": "mae"}
    redefined = write(tmp_path / "redefined", subjects(BASE), protocol="recontrast")
    content = json.loads((redefined / "evaluation.json").read_text())
    (redefined / "evaluation.json").write_text(json.dumps({**content, "protocol": changed}))
    with pytest.raises(ConfigError, match="protocol differs"):
        compare_evaluations({**three, "other": redefined})


def test_what_cannot_be_compared_is_refused(tmp_path: Path, three: dict[str, Path]) -> None:
    with pytest.raises(ConfigError, match="two or more"):
        compare_evaluations({"unet": three["unet"]})
    with pytest.raises(LayoutError, match=r"no evaluation\.json"):
        compare_evaluations({**three, "empty": tmp_path})
    with pytest.raises(UnknownNameError, match="psnr"):
        compare_evaluations(three, metric="psnrr")
    strangers = write(tmp_path / "strangers", {"77": 1.0, "78": 2.0})
    with pytest.raises(StatisticsError, match="0 subject"):
        compare_evaluations({**three, "strangers": strangers})
    (three["gan"] / "evaluation.json").write_text("{", encoding="utf-8")
    with pytest.raises(FormatError, match="not valid JSON"):
        compare_evaluations(three)


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"synthetic_scale": "reference"}, r"scale of the synthetic images differs \(declared, reference\)"),
        ({"resample": True}, r"resampling of the synthetic images differs \(False, True\)"),
    ],
)
def test_images_that_were_treated_differently_are_refused(tmp_path: Path, facts: dict, said: str) -> None:
    folders = {"old": write(tmp_path / "old", subjects(BASE)), "new": write(tmp_path / "new", subjects(BASE), **facts)}
    with pytest.raises(ConfigError, match=said):
        compare_evaluations(folders)


def scaled(folder: Path, ways: list[str | None]) -> Path:
    keys = [f"sub-{n:02d}" for n in range(1, len(ways) + 1)]
    rows = {"case": keys, "subject": keys, "session": None, "status": "ok", "scaled_by": ways}
    write_table(folder / "cases.tsv", pd.DataFrame(rows))
    return folder


def test_an_error_that_was_forgiven_is_not_compared_with_one_that_counts(tmp_path: Path) -> None:
    """The same setting, `declared`; but images without a scale in their sidecar are judged by their own."""
    folders = {
        "honest": scaled(write(tmp_path / "honest", subjects(BASE)), ["declared"] * 9),
        "silent": scaled(write(tmp_path / "silent", subjects(BASE + 3)), ["own"] * 9),
        "partly": scaled(write(tmp_path / "partly", subjects(BASE + 1)), ["declared"] * 8 + ["own"]),
        "moved": scaled(write(tmp_path / "moved", subjects(BASE + 2)), ["converted"] * 9),
        "tool": scaled(write(tmp_path / "tool", subjects(BASE + 2)), ["own"] * 9),
        "fewer": scaled(write(tmp_path / "fewer", subjects(BASE[:8])), ["declared"] * 8),
    }
    said = r"scale of the synthetic images differs in {} cases \({}: declared, own\), so their numbers are not comp"
    for other, words in (
        ("silent", said.format("9 of 9", "sub-01, sub-02, sub-03, …")),
        ("partly", said.format("1 of 9", "sub-09")),
    ):
        with pytest.raises(ConfigError, match=words):
            compare_evaluations({name: folders[name] for name in ("honest", other)})
    for names in (("honest", "moved"), ("silent", "tool"), ("partly", "fewer")):
        assert len(compare_evaluations({name: folders[name] for name in names}).values) >= 8


def test_cases_masked_by_other_regions_are_not_compared(tmp_path: Path) -> None:
    folders = {}
    for name, last in (("whole", "brain of brain|head"), ("holed", "head of brain|head")):
        folders[name] = scaled(write(tmp_path / name, subjects(BASE + len(folders))), ["declared"] * 9)
        table = read_table(folders[name] / "cases.tsv", ("case", "subject", "session"))
        write_table(folders[name] / "cases.tsv", table.assign(regions_taken=["brain of brain|head"] * 8 + [last]))
    with pytest.raises(ConfigError, match="region of masks, slices or divisors differs in 1 of 9 cases"):
        compare_evaluations(folders)


def test_what_an_older_evaluation_warns_of_stands_in_the_comparison(tmp_path: Path) -> None:
    text = "9 of 9 synthetic images were scaled by their own intensities, which forgives a wrong brightness."
    folders = {
        "old": write(tmp_path / "old", subjects(BASE), warnings=[text]),
        "new": scaled(write(tmp_path / "new", subjects(BASE + 1)), ["declared"] * 9),
    }
    assert compare_evaluations(folders).sentences[-1] == f"Warning in the evaluation of old: {text}"


def test_an_evaluation_that_does_not_say_how_images_were_treated_was_the_usual_one(tmp_path: Path) -> None:
    usual = write(tmp_path / "usual", subjects(BASE + 1), synthetic_scale="declared", resample=False)
    assert len(compare_evaluations({"old": write(tmp_path / "old", subjects(BASE)), "usual": usual}).values) == 9


def test_structures_segmented_by_other_tools_or_versions_are_refused(tmp_path: Path) -> None:
    def volumes(name: str, segmenter: str, version: str) -> Path:
        rows = [
            {"subject": f"sub-{n:02d}", "session": None, "segmenter": segmenter, "segmenter_version": version,
             "structure": "GM", "dice": 0.9 - 0.001 * n, "aspc": 3.0, "avd": 5.0, "hd95_mm": 1.0, "asd_mm": 0.5,
             "status": "ok"}
            for n in range(1, 10)
        ]  # fmt: skip
        folder = write(tmp_path / name, subjects(BASE + len(name)))
        write_table(folder / "volumes.tsv", pd.DataFrame(rows))
        return folder

    ours, same = volumes("ours", "tissue", "2"), volumes("same", "tissue", "2")
    assert len(compare_evaluations({"ours": ours, "same": same}, metric="dice", region="GM").values) == 9
    for name, segmenter, version in (("older", "tissue", "1"), ("other", "fast", "2")):
        folders = {"ours": ours, name: volumes(name, segmenter, version)}
        with pytest.raises(ConfigError, match=rf"GM differs \(tissue, version 2, {segmenter}, version {version}\)"):
            compare_evaluations(folders, metric="dice", region="GM")
        assert len(compare_evaluations(folders, metric="psnr", region="brain").values) == 9


def test_volumes_scaled_by_the_mean_head_are_compared_on_one_head(tmp_path: Path) -> None:
    """Both are wrong by 2 % of each head; in the second the two large heads failed, so its mean head is smaller."""
    heads = {f"{n:02d}": size for n, size in enumerate((1200.0, 1300.0, 1400.0, 1900.0, 2000.0), 1)}
    folders = {}
    for name, missing in (("all", ()), ("fewer", ("04", "05"))):
        results = [
            FidelityResult(Case(subject), "tissue", "1", [
                StructureComparison(tissue, volume, volume + error, 0.9, 1.0, 0.5)
                for tissue, volume, error in (("GM", 0.5 * head, 0.02 * head), ("WM", 0.3 * head, 0.0),
                                              ("CSF", 0.2 * head, 0.0))
            ])
            for subject, head in heads.items() if subject not in missing
        ]  # fmt: skip
        folders[name] = write(tmp_path / name, subjects(BASE[:5]))
        write_table(
            folders[name] / "volumes.tsv", volumes_table(results, "", {f"sub-{n}, tissue": "" for n in missing})
        )
    found = compare_evaluations(folders, metric="avd", region="GM")
    assert found.values.to_numpy() == pytest.approx(0.02 * 1300)  # mean of the heads that both have
    assert found.pairs["difference"].iloc[0] == pytest.approx(0, abs=1e-6)
    assert "avd in GM is scaled by the mean TIV of the compared cases, in each evaluation." in found.sentences
    assert not any("TIV" in text for text in compare_evaluations(folders, metric="dice", region="GM").sentences)
    alone = compare_evaluations({"all": folders["all"], "again": folders["all"]}, metric="avd", region="GM")
    assert alone.values.to_numpy() == pytest.approx(0.02 * 1560)  # nothing failed: as in volumes.tsv
    table = read_table(folders["fewer"] / "volumes.tsv", ("case", "subject", "session"))
    write_table(folders["fewer"] / "volumes.tsv", table[table["structure"] != "WM"])
    with pytest.raises(FormatError, match=r"fewer: volumes\.tsv lacks the volume of GM, WM or CSF"):
        compare_evaluations(folders, metric="avd", region="GM")


def test_tissues_found_in_other_ways_are_refused(tmp_path: Path) -> None:
    folders = {}
    for name, version in (("first", "1"), ("second", "2")):
        made = {"GM, WM, CSF": f"where no mask is given: segmenter tissue (version {version}) on the T1w"}
        folders[name] = write(tmp_path / name, subjects(BASE), regions_made=made)
        table = read_table(folders[name] / "scores.tsv", ("subject", "session"))
        write_table(folders[name] / "scores.tsv", pd.concat([table, table.assign(region="GM")]))
    assert compare_evaluations(folders).region == "brain"
    with pytest.raises(ConfigError, match="segmentation of GM differs"):
        compare_evaluations(folders, region="GM")


def test_a_leak_check_that_did_not_pass_is_said(tmp_path: Path) -> None:
    leaky = {"status": "TRAINING SUBJECTS INCLUDED: sub-01", "reasons": []}
    folders = {
        "held": write(tmp_path / "held", subjects(BASE)),
        "leaky": write(tmp_path / "leaky", subjects(BASE + 1), leak_check=leaky),
        "silent": write(tmp_path / "silent", subjects(BASE + 2), leak_check=None),
    }
    found = compare_evaluations(folders)
    assert found.leaks == {"held": "passed", "leaky": leaky["status"], "silent": "not recorded"}
    assert found.sentences[-1] == (
        "Leak check not passed (leaky: TRAINING SUBJECTS INCLUDED: sub-01; silent: not recorded): these scores need "
        "not hold for new subjects."
    )
    alone = compare_evaluations({"held": folders["held"], "again": write(tmp_path / "again", subjects(BASE - 1))})
    assert not any("Leak check" in sentence for sentence in alone.sentences)
