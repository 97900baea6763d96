"""One case from files to scores."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from recontrast.errors import GeometryError, IntensityError, LayoutError, MissingContrastError
from recontrast.evaluation import cases
from recontrast.evaluation.cases import CaseJob, CaseResult, case_regions, evaluate_case, sample_training_case
from recontrast.evaluation.fitting import fit_controls
from recontrast.evaluation.matching import ExpectedCase, read_reference, with_brain_masks
from recontrast.evaluation.scores import SYNTHETIC
from recontrast.io.bids import read_sidecar, write_sidecar
from recontrast.io.nifti import read_volume, write_volume
from recontrast.preparation.normalize import ScaleSettings, fit_scale
from recontrast.volume import Volume


@pytest.fixture
def make_job(prepared: Path, write_synthetic: Callable[..., Path], tmp_path: Path) -> Callable[..., CaseJob]:
    def make(synthetic: Path | None = None, controls: tuple[str, ...] = ("identity",), **changes: object) -> CaseJob:
        expected = read_reference(prepared, "T2w", "test").expected[0]
        job = CaseJob(
            expected=expected, synthetic=synthetic or write_synthetic("04"), target="T2w", sources=("T1w",),
            protocol="recontrast", synthetic_scale="", stored_scales=True, controls=fit_controls(controls, {}, 0)[0],
            part=tmp_path / "parts" / "sub-04.json", inputs="x",
        )  # fmt: skip
        return dataclasses.replace(job, **changes)  # type: ignore[arg-type]

    return make


def psnr(result: CaseResult, estimator: str = SYNTHETIC) -> float:
    return next(r.value for r in result.records[estimator] if (r.region, r.metric) == ("brain", "psnr"))


def test_the_declared_scale_is_used(make_job) -> None:
    result = evaluate_case(make_job())
    assert result.synthetic_scale.factor == 2000.0
    assert 700 < result.reference_scale.factor < 1200
    assert psnr(result) == pytest.approx(10 * math.log10(1 / 0.03**2), abs=0.3)
    assert psnr(result, "identity") < psnr(result) - 10
    assert result.message == ""


def test_the_way_of_scaling_decides_what_a_wrong_brightness_costs(make_job) -> None:
    declared, like_reference, own = (
        evaluate_case(make_job(synthetic_scale=way, inputs=way)) for way in ("declared", "reference", "own")
    )
    # It was written twice as bright as the reference: read in the reference's units it is far off.
    assert psnr(like_reference) < 10
    assert psnr(own) == pytest.approx(psnr(declared), abs=2.5)
    assert "own intensities" in own.message
    assert (declared.scaled_by, like_reference.scaled_by, own.scaled_by) == ("declared", "reference", "own")


def test_images_of_other_tools_without_a_sidecar_are_scaled_by_themselves_and_it_is_said(
    make_job, write_synthetic
) -> None:
    result = evaluate_case(make_job(write_synthetic("04", sidecar=False)))
    assert "declares no scale" in result.message
    assert psnr(result) > 25
    assert result.scaled_by == "own"


def test_a_declared_scale_of_another_kind_is_not_taken(make_job) -> None:
    result = evaluate_case(make_job(protocol="osman2022", stored_scales=False))
    assert "'percentile' scale, 'minmax' is needed" in result.message
    assert result.reference_scale.name == result.synthetic_scale.name == "minmax"


def test_a_declared_scale_of_other_percentiles_is_brought_to_the_protocols(make_job, write_synthetic) -> None:
    path = write_synthetic("04")
    reference = read_volume(make_job(path).expected.images["T2w"])
    other = fit_scale(reference, ScaleSettings(high=90.0)).apply(reference.data)
    sidecar = read_sidecar(path)
    write_volume(path, reference.with_data(2000 * other))
    write_sidecar(path, {**sidecar, "ScaleSettings": {"name": "percentile", "high": 90.0}})
    result = evaluate_case(make_job(path, inputs="other"))
    assert psnr(result) > 60
    assert "brought there through the units of the reference" in result.message
    assert result.scaled_by == "converted"
    write_sidecar(path, sidecar)
    assert psnr(evaluate_case(make_job(path, inputs="by name"))) < 30


def test_axes_stored_in_another_order_do_not_matter(make_job, write_synthetic) -> None:
    path = write_synthetic("04")
    straight = evaluate_case(make_job(path))
    write_volume(path, read_volume(path).reoriented("PSL"))
    turned = evaluate_case(make_job(path))
    assert psnr(turned) == pytest.approx(psnr(straight))


def test_another_grid_is_refused(make_job, write_synthetic) -> None:
    moved = np.diag([2.0, 2.0, 4.0, 1.0])
    moved[0, 3] = 5.0
    with pytest.raises(GeometryError, match="sub-04: reference and synthetic T2w: the grids differ"):
        evaluate_case(make_job(write_synthetic("04", affine=moved)))


@pytest.mark.parametrize(("value", "said"), [(np.nan, "5 voxels are NaN"), (np.inf, "5 voxels are NaN")])
def test_voxels_that_are_not_finite_are_refused(make_job, write_synthetic, value: float, said: str) -> None:
    data = np.ones((20, 24, 18))
    data[3, 4, :5] = value
    with pytest.raises(IntensityError, match=said):
        evaluate_case(make_job(write_synthetic("04", data=data)))


def test_a_constant_synthetic_image_is_scored_when_its_scale_is_declared(make_job, write_synthetic) -> None:
    result = evaluate_case(make_job(write_synthetic("04", data=np.full((20, 24, 18), 900.0))))
    assert psnr(result) < 15
    assert result.message == "the synthetic image has one value everywhere"
    with pytest.raises(IntensityError, match="desc-synthetic"):
        evaluate_case(make_job(write_synthetic("04", data=np.full((20, 24, 18), 900.0), sidecar=False, folder="other")))


def test_a_constant_reference_is_no_reference(make_job) -> None:
    job = make_job()
    path = job.expected.images["T2w"]
    volume = read_volume(path)
    write_volume(path, volume.with_data(np.full_like(volume.data, 7)))
    with pytest.raises(
        IntensityError, match=r"desc-prepared_T2w\.nii\.gz: all voxels have the value 7; nothing can be"
    ):
        evaluate_case(job)


def test_integer_images_do_not_overflow(make_job, write_synthetic) -> None:
    path = write_synthetic("04")
    straight = evaluate_case(make_job(path))
    volume = read_volume(path)
    write_volume(path, Volume(np.rint(np.clip(volume.data, 0, None)), volume.affine), np.uint16)
    assert psnr(evaluate_case(make_job(path))) == pytest.approx(psnr(straight), abs=0.05)


def test_a_control_whose_source_is_not_there_is_listed_not_fatal(make_job, prepared: Path) -> None:
    job = make_job()
    images = {"T2w": job.expected.images["T2w"]}
    result = evaluate_case(dataclasses.replace(job, expected=dataclasses.replace(job.expected, images=images)))
    assert set(result.records) == {SYNTHETIC}
    assert "no T1w beside the reference (T2w)" in result.not_scored["identity"]


def test_an_empty_lesion_mask_is_undefined_not_an_error(make_job, prepared: Path) -> None:
    path = prepared / "sub-04" / "anat" / "sub-04_desc-lesion_mask.nii.gz"
    mask = read_volume(path, np.uint8)
    write_volume(path, mask.with_data(np.zeros_like(mask.data)), np.uint8)
    records = evaluate_case(make_job()).records[SYNTHETIC]
    assert {r.status for r in records if r.region == "lesion"} == {"the region is empty"}


def test_a_finished_case_is_taken_up_again_only_when_nothing_changed(
    make_job, write_synthetic, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = make_job()
    first = evaluate_case(job)
    monkeypatch.setattr(cases, "_scored", lambda job: pytest.fail("scored again"))
    again = evaluate_case(job)
    assert again.case == first.case
    assert again.reference_scale == first.reference_scale
    assert list(again.records) == list(first.records)
    for one, other in zip(first.records[SYNTHETIC], again.records[SYNTHETIC], strict=True):
        assert one == other or (math.isnan(one.value) and math.isnan(other.value) and one.status == other.status)
    monkeypatch.undo()
    write_synthetic("04", noise=60.0)
    assert psnr(evaluate_case(job)) < psnr(first) - 3
    job.part.write_text("{ half a file")
    assert evaluate_case(job).case == first.case


def test_training_voxels_are_on_the_protocols_scale(prepared: Path) -> None:
    training = read_reference(prepared, "T2w", "test").training[0]
    samples = sample_training_case(training, "T2w", ("T1w",), "recontrast", True, 100, (0, 0))
    assert set(samples) == {"brain", "rest of the head"}
    assert samples["brain"].sources.shape == (100, 1)
    assert 0 < samples["brain"].target.min() < samples["brain"].target.max() < 1.5
    with pytest.raises(MissingContrastError, match="no FLAIR"):
        sample_training_case(training, "T2w", ("FLAIR",), "recontrast", True, 100, (0, 0))


def test_the_head_is_found_where_no_mask_is_given(prepared: Path) -> None:
    expected = read_reference(prepared, "T2w", "test").expected[0]
    reference = read_volume(expected.images["T2w"])
    found = case_regions(ExpectedCase(expected.case, expected.images), reference)
    assert set(found) == {"head"}
    assert found["head"].mean() == pytest.approx(case_regions(expected, reference)["head"].mean(), rel=0.05)


def test_another_grid_is_resampled_only_when_asked(make_job, write_synthetic) -> None:
    path = write_synthetic("04")
    straight, volume = evaluate_case(make_job(path)), read_volume(path)
    moved = volume.affine.copy()
    moved[:3, 3] += (0.0, 0.0, 4.0)  # one slice further: the same anatomy, one slice cut off
    write_volume(path, Volume(np.ascontiguousarray(volume.data[..., 1:]), moved))
    with pytest.raises(GeometryError, match="--resample"):
        evaluate_case(make_job(path))
    again = evaluate_case(make_job(path, resample=True))
    assert psnr(again) == pytest.approx(psnr(straight), abs=0.5)
    assert "resampled onto the grid" in again.message


def test_negative_intensities_are_scored_as_they_are(make_job, write_synthetic) -> None:
    path = write_synthetic("04")
    straight, volume = evaluate_case(make_job(path)), read_volume(path)
    write_volume(path, volume.with_data(volume.data - 500.0))  # a quarter of its declared scale
    records = {(r.region, r.metric): r.value for r in evaluate_case(make_job(path)).records[SYNTHETIC]}
    assert records["brain", "mae"] == pytest.approx(0.25, abs=0.01)
    assert psnr(straight) > 30
    assert straight.message == ""
    assert "negative intensities:" in evaluate_case(make_job(path)).message


def test_the_oracle_sees_the_reference_and_is_better_than_the_fitted_table(make_job, prepared: Path) -> None:
    training = read_reference(prepared, "T2w", "test").training
    samples = {
        case.case.key: sample_training_case(case, "T2w", ("T1w",), "recontrast", True, 5000, (0, n), True)
        for n, case in enumerate(training)
    }
    fitted, absent = fit_controls(("lut", "lut-oracle", "bloch"), samples, 0)
    assert "no T1map" in absent["bloch"]
    result = evaluate_case(make_job(controls=(), inputs="lut"))
    both = evaluate_case(dataclasses.replace(make_job(inputs="both"), controls=fitted))
    assert set(both.records) == {SYNTHETIC, "lut", "lut-oracle"}
    assert psnr(both) == psnr(result)
    assert psnr(both, "lut-oracle") > psnr(both, "lut")


def test_bloch_is_scored_where_maps_exist(make_job, prepared: Path) -> None:
    """T2w made from maps by the very equation: the control has only the gain to find."""
    job = make_job(controls=(), stored_scales=False)
    expected, training = job.expected, read_reference(prepared, "T2w", "test").training[0]
    cases_with_maps = []
    for case in (expected, training):
        rng, images = np.random.default_rng(1), dict(case.images)
        reference = read_volume(images["T2w"])
        shape = reference.shape
        maps = {
            "T1map": 0.5 + rng.random(shape),
            "T2map": 0.05 + 0.05 * rng.random(shape),
            "PDmap": 0.5 + rng.random(shape) / 2,
        }  # fmt: skip
        for label, values in maps.items():
            images[label] = images["T2w"].with_name(images["T2w"].name.replace("T2w", label))
            write_volume(images[label], reference.with_data(values.astype(np.float32)))
        signal = maps["PDmap"] * (1 - np.exp(-3 / maps["T1map"])) * np.exp(-0.08 / maps["T2map"])
        write_volume(images["T2w"], reference.with_data((5000 * signal).astype(np.float32)))
        write_sidecar(images["T2w"], {"RepetitionTime": 3.0, "EchoTime": 0.08})
        cases_with_maps.append(dataclasses.replace(case, images=images, scales={}))
    taken = ("T2w", ("T1w",), "recontrast", False, 5000, (0, 0))
    assert sample_training_case(cases_with_maps[1], *taken)["brain"].signal is None  # nobody asked for it
    samples = {"sub-01": sample_training_case(cases_with_maps[1], *taken, True)}
    fitted, absent = fit_controls(("bloch", "identity"), samples, 0)
    assert absent == {}
    job = dataclasses.replace(job, expected=cases_with_maps[0], controls=fitted)
    result = evaluate_case(job)
    words = "turbo spin echo TR 3 s, TE 0.08 s (sidecar; a spin echo by its echo time)"
    assert evaluate_case(job).assumed == result.assumed  # taken from the file of the finished case
    assert result.assumed == {"bloch": words}
    assert fitted["bloch"].facts["training_sequences"] == {words: ["sub-01"]}
    assert psnr(result, "bloch") > 30
    assert psnr(result, "identity") < 20
    maps = [job.expected.images[label] for label in ("T1map", "T2map")]
    for path in maps:
        write_volume(path, read_volume(path).with_data(1000 * read_volume(path).data))
    guessed = evaluate_case(job)
    assert psnr(guessed, "bloch") > 100
    units = " on maps without Units (T1map, T2map taken as ms for their size)"
    assert guessed.assumed == {"bloch": words + units}
    for path in maps:
        write_sidecar(path, {"Units": "ms"})
    said = evaluate_case(dataclasses.replace(job, inputs="said"))
    assert psnr(said, "bloch") == psnr(guessed, "bloch")
    assert said.assumed == {"bloch": words}
    write_sidecar(maps[0], {"Units": "s"})
    wrong = evaluate_case(dataclasses.replace(job, inputs="wrong"))
    assert "T1 reaches" in wrong.not_scored["bloch"]
    assert "bloch" not in wrong.assumed


def test_the_union_of_two_brains_is_a_region_of_its_own(make_job, prepared: Path, tmp_path: Path) -> None:
    reference = read_reference(prepared, "T2w", "test")
    (tmp_path / "nothing").mkdir()
    with pytest.raises(LayoutError, match="no brain mask of any case"):
        with_brain_masks(reference, tmp_path / "nothing")
    brain = read_volume(reference.expected[0].images["T2w"])
    other = np.zeros(brain.shape, np.uint8)
    other[:3] = 1
    write_volume(tmp_path / "masks" / "sub-04_desc-brain_mask.nii.gz", brain.with_data(other), np.uint8)
    found = with_brain_masks(reference, tmp_path / "masks")
    regions = case_regions(found.expected[0], brain)
    assert np.array_equal(regions["brainUnion"], regions["brain"] | (other > 0))
    assert regions["brainUnion"].sum() > regions["brain"].sum()
    # A case without a second mask is not scored by its own mask in silence.
    assert "no brain mask in" in found.expected[1].problem
    result = evaluate_case(make_job(expected=found.expected[0], protocol="bottani2024", inputs="union"))
    assert {record.region for record in result.records[SYNTHETIC]} == {"brainUnion"}


def test_tissues_are_found_in_an_acquired_image_where_no_masks_are(make_job) -> None:
    result = evaluate_case(make_job(protocol="hagiwara2019", tissues_from="T1w", inputs="t"))
    defined = {record.region for record in result.records[SYNTHETIC] if record.status == "ok"}
    assert defined == {"brain", "GM", "WM", "CSF"}
    assert "GM, WM, CSF from the T1w by segmenter tissue, version 2" in result.message
    absent = evaluate_case(make_job(protocol="hagiwara2019", tissues_from="PDw", inputs="p"))
    assert "no tissue regions: sub-04: no PDw" in absent.message
    assert {r.status for r in absent.records[SYNTHETIC] if r.region == "GM"} == {"the case has no such region"}


def test_a_protocol_for_other_units_is_doubted(make_job) -> None:
    message = evaluate_case(make_job(protocol="hagiwara2019", inputs="native")).message
    assert message.startswith("the protocol's full scale is 25500, the reference spans ")
    assert evaluate_case(make_job()).message == ""
