"""Scoring of one volume: regions, units, undefined values, slabs."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from recontrast.errors import GeometryError, IntensityError, UnknownNameError
from recontrast.evaluation.protocols import PROTOCOLS, WHOLE_IMAGE, MetricUse, Protocol
from recontrast.evaluation.scores import (
    IDENTICAL,
    NO_REGION,
    NOT_SCORED,
    OK,
    CaseScorer,
    Record,
    score_volume,
    with_every_estimator,
    with_every_region,
)
from recontrast.evaluation.steps import Clip, Divide
from recontrast.metrics import METRICS
from recontrast.metrics.structure import ssim

OURS = PROTOCOLS.get("recontrast")
SHAPE = (24, 22, 20)


@pytest.fixture
def volumes(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    reference = rng.random(SHAPE).astype(np.float32)
    return reference, (reference + 0.1 * rng.standard_normal(SHAPE)).astype(np.float32)


def regions_of(reference: np.ndarray) -> dict[str, np.ndarray]:
    head, brain, lesion = (np.zeros(SHAPE, bool) for _ in range(3))
    head[2:22, 2:20, 1:19] = True
    brain[6:18, 5:17, 4:16] = True
    lesion[8:10, 8:10, 8:9] = True
    return {"head": head, "brain": brain, "lesion": lesion, "nothing": np.zeros(SHAPE, bool)}


def value(records: list[Record], region: str, metric: str) -> Record:
    return next(r for r in records if (r.region, r.metric) == (region, metric))


def with_metrics(*uses: MetricUse, regions: tuple[str, ...] = ()) -> Protocol:
    return dataclasses.replace(OURS, metrics=uses, primary_metric=uses[0].label, regions=regions)


def test_every_region_and_metric_equals_the_metric_called_by_itself(volumes) -> None:
    regions = regions_of(volumes[0])
    records = score_volume(OURS, *volumes, regions)
    assert len(records) == len(regions) * len(OURS.metrics)
    for use in OURS.metrics:
        for name in ("head", "brain", "lesion"):
            expected = METRICS.get(use.metric)(*volumes, mask=regions[name], data_range=1.0, **use.options)
            record = value(records, name, use.label)
            assert record.value == pytest.approx(expected, rel=1e-6), (name, use.label)
            assert record.status == OK


def test_an_empty_region_is_listed_with_its_reason(volumes) -> None:
    for record in score_volume(OURS, *volumes, regions_of(volumes[0])):
        if record.region == "nothing":
            assert math.isnan(record.value)
            assert record.status == "the region is empty"


def test_a_region_the_protocol_asks_for_and_the_case_lacks_is_listed(volumes) -> None:
    protocol = with_metrics(MetricUse(label="mae", metric="mae"), regions=("brain", "tumour"))
    record = value(score_volume(protocol, *volumes, regions_of(volumes[0])), "tumour", "mae")
    assert record.status == "the case has no such region"


def test_identical_images_have_no_finite_psnr(volumes) -> None:
    records = score_volume(OURS, volumes[0], volumes[0], regions_of(volumes[0]))
    assert value(records, "brain", "psnr").status == IDENTICAL
    assert value(records, "brain", "mae").value == 0.0
    assert value(records, "brain", "ssim").value == pytest.approx(1.0)


def test_a_constant_reference_has_no_nrmse(volumes) -> None:
    records = score_volume(OURS, np.full(SHAPE, 0.5), volumes[1], regions_of(volumes[0]))
    assert "range_ref is 0" in value(records, "brain", "nrmse").status
    assert value(records, "brain", "psnr").status == OK


def test_regions_at_the_border_and_one_voxel_wide(volumes) -> None:
    corner, middle = np.zeros(SHAPE, bool), np.zeros(SHAPE, bool)
    corner[0, 0, 0] = True
    middle[12, 11, 10] = True
    for name, mask in (("corner", corner), ("middle", middle)):
        record = value(score_volume(OURS, *volumes, {name: mask}), name, "ssim")
        assert record.value == pytest.approx(ssim(*volumes, mask=mask, data_range=1.0), abs=1e-5)


def test_the_whole_image_leaves_out_the_border_of_the_window_only_for_ssim(volumes) -> None:
    uses = (MetricUse(label="ssim", metric="ssim"), MetricUse(label="mae", metric="mae"))
    records = score_volume(with_metrics(*uses, regions=(WHOLE_IMAGE,)), *volumes, {})
    assert value(records, WHOLE_IMAGE, "ssim").value == pytest.approx(ssim(*volumes, data_range=1.0), abs=1e-6)
    assert value(records, WHOLE_IMAGE, "mae").value == pytest.approx(np.abs(volumes[1] - volumes[0]).mean(), rel=1e-6)


def test_by_slice_counts_slices_without_a_value(volumes) -> None:
    reference, estimate = volumes[0].copy(), volumes[1].copy()
    estimate[..., 5] = reference[..., 5]  # infinite PSNR in one slice
    use = MetricUse(label="psnr", metric="psnr", unit="slice")
    regions = regions_of(reference)
    record = value(score_volume(with_metrics(use), reference, estimate, regions), "brain", "psnr")
    assert (record.units, record.units_undefined) == (12, 1)
    single = [
        METRICS.get("psnr")(reference[..., k], estimate[..., k], mask=regions["brain"][..., k], data_range=1.0)
        for k in range(4, 16)
        if k != 5
    ]
    assert record.value == pytest.approx(np.mean(single))


def test_by_slice_takes_divisors_from_the_slice(volumes) -> None:
    use = MetricUse(label="nrmse", metric="nrmse", options={"divisor": "std_ref"}, unit="slice")
    regions = regions_of(volumes[0])
    record = value(score_volume(with_metrics(use), *volumes, regions), "brain", "nrmse")
    single = [
        METRICS.get("nrmse")(volumes[0][..., k], volumes[1][..., k], mask=regions["brain"][..., k], divisor="std_ref")
        for k in range(4, 16)
    ]
    assert record.value == pytest.approx(np.mean(single))


def test_metrics_that_are_no_mean_over_voxels_are_scored_too(volumes) -> None:
    labels = [(volume > 0.5).astype(np.uint8) for volume in volumes]
    records = score_volume(with_metrics(MetricUse(label="dice", metric="dice")), *labels, regions_of(labels[0]))
    mask = regions_of(labels[0])["brain"]
    assert value(records, "brain", "dice").value == METRICS.get("dice")(*labels, mask=mask)
    assert value(records, "brain", "dice").blocks is None
    by_slice = with_metrics(MetricUse(label="dice", metric="dice", unit="slice"))
    record = value(score_volume(by_slice, *labels, regions_of(labels[0])), "brain", "dice")
    single = [METRICS.get("dice")(*(image[..., k] for image in labels), mask=mask[..., k]) for k in range(4, 16)]
    assert record.value == pytest.approx(np.mean(single))
    assert (record.units, record.blocks) == (12, None)


def test_slices_of_any_plane(volumes) -> None:
    regions = regions_of(volumes[0])
    for axis, plane in enumerate(("sagittal", "coronal", "axial")):
        use = MetricUse(label="psnr", metric="psnr", unit="slice", plane=plane)
        record = value(score_volume(with_metrics(use), *volumes, regions), "brain", "psnr")
        cut = [[np.moveaxis(image, axis, 0) for image in volumes], np.moveaxis(regions["brain"], axis, 0)]
        single = [
            METRICS.get("psnr")(cut[0][0][k], cut[0][1][k], mask=cut[1][k], data_range=1.0)
            for k in range(len(cut[1]))
            if cut[1][k].any()
        ]
        assert record.value == pytest.approx(np.mean(single))
        assert record.units == 12


def test_further_regions_by_name(volumes) -> None:
    regions = regions_of(volumes[0])
    names = ("brain&axial[4:8]", "coronal[:50%]", "tumour")
    records = CaseScorer(OURS, volumes[0], regions, also=names).score(volumes[1])
    for name, mask in ((names[0], regions["brain"] & (np.arange(20) < 8)), (names[1], (np.arange(22) < 11)[:, None])):
        inside = np.broadcast_to(mask, SHAPE)
        expected = METRICS.get("ssim")(*volumes, mask=inside, data_range=1.0)
        assert value(records, name, "ssim").value == pytest.approx(expected, rel=1e-6)
    assert value(records, "tumour", "mae").status == "the case has no such region"


def test_a_divisor_may_come_from_another_region(volumes) -> None:
    use = MetricUse(label="nrmse", metric="nmae", options={"divisor": "mean_eval"}, constant_region="brain")
    regions = regions_of(volumes[0])
    record = value(score_volume(with_metrics(use), *volumes, regions), "lesion", "nrmse")
    error = np.abs(volumes[1] - volumes[0])[regions["lesion"]].mean()
    assert record.value == pytest.approx(error / volumes[1][regions["brain"]].mean(), rel=1e-6)
    del regions["brain"]
    absent = value(score_volume(with_metrics(use), *volumes, regions), "lesion", "nrmse")
    assert "region 'brain', which the case does not have" in absent.status


def test_steps_are_done_for_each_estimate_and_change_nothing_outside(volumes) -> None:
    steps = (Clip(low=0.2, high=0.8),)
    protocol = dataclasses.replace(with_metrics(MetricUse(label="mae", metric="mae")), steps=steps)
    own = with_metrics(MetricUse(label="mae", metric="mae", steps=steps), MetricUse(label="mse", metric="mse"))
    regions = regions_of(volumes[0])
    expected = np.abs(np.subtract(*(np.clip(image, 0.2, 0.8) for image in volumes)))[regions["brain"]].mean()
    assert value(score_volume(protocol, *volumes, regions), "brain", "mae").value == pytest.approx(expected, rel=1e-6)
    records = score_volume(own, *volumes, regions)
    assert value(records, "brain", "mae").value == pytest.approx(expected, rel=1e-6)
    plain = METRICS.get("mse")(*volumes, mask=regions["brain"])
    assert value(records, "brain", "mse").value == pytest.approx(plain, rel=1e-6)


def test_a_reference_that_cannot_be_normalised_is_undefined(volumes) -> None:
    use = MetricUse(label="mae", metric="mae", steps=(Divide(statistic="max", of="reference", over="volume"),))
    record = value(score_volume(with_metrics(use), -volumes[0], volumes[1], regions_of(volumes[0])), "brain", "mae")
    assert "cannot be normalised" in record.status


def test_slabs_add_up_to_the_value(volumes) -> None:
    records = CaseScorer(OURS, volumes[0], regions_of(volumes[0]), (1.0, 1.0, 3.0)).score(volumes[1])
    for metric in ("mae", "psnr", "nrmse", "ssim"):
        record = value(records, "brain", metric)
        blocks = record.blocks
        assert blocks is not None
        assert blocks.counts == (12 * 12 * 3,) * 4
        form = METRICS.get(OURS.use(metric).metric).form
        assert form is not None
        again = form.finish(sum(blocks.sums) / sum(blocks.counts), blocks.constant)
        assert again == pytest.approx(record.value)


def test_only_the_metrics_asked_for(volumes) -> None:
    scorer = CaseScorer(OURS, volumes[0], regions_of(volumes[0]))
    assert {record.metric for record in scorer.score(volumes[1], ["psnr", "mae"])} == {"psnr", "mae"}
    with pytest.raises(UnknownNameError, match="did you mean 'psnr'"):
        scorer.score(volumes[1], ["psrn"])


def test_inputs_stay_untouched(volumes) -> None:
    before = [volume.copy() for volume in volumes]
    score_volume(OURS, *volumes, regions_of(volumes[0]))
    assert all(np.array_equal(a, b) for a, b in zip(before, volumes, strict=True))


def test_what_cannot_be_scored_is_refused(volumes) -> None:
    with pytest.raises(GeometryError, match="region 'brain' has shape"):
        score_volume(OURS, *volumes, {"brain": np.ones((3, 3, 3), bool)})
    with pytest.raises(GeometryError, match="estimate has shape"):
        score_volume(OURS, volumes[0], volumes[1][:-1], {})
    with pytest.raises(GeometryError, match="three axes"):
        score_volume(OURS, volumes[0][0], volumes[1][0], {})
    bad = volumes[1].copy()
    bad[0, 0, 0] = np.nan  # outside every region: still refused
    with pytest.raises(IntensityError, match="1 voxels are NaN"):
        score_volume(OURS, volumes[0], bad, regions_of(volumes[0]))


def test_a_region_that_only_other_cases_have_is_undefined_not_absent() -> None:
    def record(region: str, metric: str) -> Record:
        return Record(region, metric, "volume", 0.5, OK)

    cases = {
        "sub-01": {"synthetic": [record("brain", "mae"), record("brain", "psnr"), record("lesion", "mae")]},
        "sub-02": {"synthetic": [record("head", "mae")], "ridge": [record("head", "mae")]},
    }
    complete = with_every_region(cases, ("brain|head", "lesion"))
    assert complete["sub-01"]["synthetic"][:3] == cases["sub-01"]["synthetic"]
    assert {r.region: r.status for r in complete["sub-01"]["synthetic"][3:]} == {
        "head": "the case was scored in brain instead"
    }
    for estimator in ("synthetic", "ridge"):
        found = {(r.region, r.metric): r.status for r in complete["sub-02"][estimator]}
        assert found == {
            ("head", "mae"): OK,
            ("brain", "mae"): "the case was scored in head instead",
            ("brain", "psnr"): "the case was scored in head instead",
            ("lesion", "mae"): NO_REGION,
        }
    assert all(math.isnan(r.value) for r in complete["sub-02"]["ridge"] if r.status != OK)


def test_a_control_that_a_case_lacks_is_undefined_there() -> None:
    mae = Record("brain", "mae", "volume", 0.1, OK)
    cases = {"sub-01": {"synthetic": [mae], "bloch": [mae]}, "sub-02": {"synthetic": [mae]}}
    complete = with_every_estimator(cases)
    assert complete["sub-01"] == cases["sub-01"]
    (record,) = complete["sub-02"]["bloch"]
    assert (record.region, record.metric, record.status) == ("brain", "mae", NOT_SCORED)
    assert math.isnan(record.value)


@pytest.mark.parametrize("protocol", ["bottani2024", "bottani2024-code"])
def test_an_empty_brain_mask_is_no_perfect_score(protocol: str, rng: np.random.Generator) -> None:
    reference, estimate = rng.random((2, 14, 13, 12)).astype(np.float32)
    regions = {"head": np.ones(reference.shape, bool), "brain": np.zeros(reference.shape, bool)}
    records = score_volume(PROTOCOLS.get(protocol), reference, estimate, regions)
    assert len(records) == 3
    assert all("empty" in record.status and np.isnan(record.value) for record in records)
