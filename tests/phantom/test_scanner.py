"""One subject in the scanner."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from recontrast.phantom.acquisition import Motion
from recontrast.phantom.anatomy import Anatomy
from recontrast.phantom.grids import Grid
from recontrast.phantom.protocols import scans_of
from recontrast.phantom.scanner import (
    FieldOfView,
    Subject,
    acquire,
    field_of_view,
    fine_signal,
    image_grid,
    make_transmit,
    stream,
    truth_of,
)
from recontrast.phantom.sequences import signal_at
from recontrast.phantom.tissues import Relaxation, tissues_at


def make_subject(anatomy: Anatomy, texture: float = 0.0) -> Subject:
    grid = anatomy.grid
    image = Grid(tuple(n // 2 for n in grid.shape), tuple(2 * s for s in grid.spacing), grid.origin)
    field = np.full(grid.shape, texture, np.float32)
    return Subject(
        anatomy, np.zeros(grid.shape, np.float32), tissues_at(3.0), FieldOfView(grid, image, grid),
        np.ones(grid.shape, np.float32), field, np.zeros(grid.shape, np.float32), 3.0,
    )  # fmt: skip


def pure(subject: Subject, tissue: str) -> np.ndarray:
    return subject.anatomy.share(tissue) > 0.999


@pytest.mark.parametrize("label", ["T1w", "T2w", "FLAIR", "PDw", "T2starw"])
def test_pure_voxels_have_the_signal_of_the_equation(tiny_anatomy, label):
    subject, scan = make_subject(tiny_anatomy), scans_of(label)[0]
    signal = fine_signal(subject, scan)
    for name in ("WM", "GM", "CSF"):
        expected = scan.sequence.signal(Relaxation.of([subject.tissues[name]]))[0]
        np.testing.assert_allclose(signal[pure(subject, name)], expected, rtol=1e-4, atol=1e-6)


def test_mixed_voxels_mix_signed_signals(tiny_anatomy):
    subject = make_subject(tiny_anatomy)
    tiny_anatomy.fractions[:] = 0
    tiny_anatomy.fractions[tiny_anatomy.tissues.index("WM")] = 0.5
    tiny_anatomy.fractions[tiny_anatomy.tissues.index("CSF")] = 0.5
    scan = scans_of("MESE")[0]
    parts = scan.sequence.signal(Relaxation.of([subject.tissues["WM"], subject.tissues["CSF"]]))
    np.testing.assert_allclose(fine_signal(subject, scan), parts.mean(), rtol=1e-4)
    assert parts[1] < 0


def test_texture_moves_the_signal_like_the_equation(tiny_anatomy):
    scan = scans_of("T1w")[0]
    subject = make_subject(tiny_anatomy, texture=1.0)
    white = subject.tissues["WM"]
    size = white.texture
    longer = Relaxation.of([white]).scaled(np.exp(size), np.exp(0.8 * size), np.exp(0.25 * size))
    expected = scan.sequence.signal(longer)[0]
    np.testing.assert_allclose(fine_signal(subject, scan)[pure(subject, "WM")], expected, rtol=2e-3)


@pytest.mark.parametrize("deviation", [-0.2, 0.1])
def test_the_transmit_field_changes_angles(tiny_anatomy, deviation):
    subject, scan = make_subject(tiny_anatomy), scans_of("MESE")[2]
    subject.transmit = np.full(tiny_anatomy.grid.shape, deviation, np.float32)
    expected = signal_at(scan.sequence, Relaxation.of([subject.tissues["CSF"]]), 1 + deviation)[0]
    found = fine_signal(subject, scan)[pure(subject, "CSF")]
    assert abs(expected - scan.sequence.signal(Relaxation.of([subject.tissues["CSF"]]))[0]) > 0.01
    np.testing.assert_allclose(found, expected, atol=0.003)


def test_the_transmit_field_is_strong_in_the_middle():
    view = field_of_view(8.0)
    field = make_transmit(stream(0, 0, "transmit field"), view, 0.1)
    assert field.std() == pytest.approx(0.1)
    middle = tuple(n // 2 for n in field.shape)
    assert field[middle] > 0.05
    assert field[0].mean() < 0
    assert make_transmit(stream(0, 0, "transmit field"), view, 0.0) is None


def test_an_incomplete_inversion_leaves_signal_of_csf(tiny_anatomy):
    subject, flair = make_subject(tiny_anatomy), scans_of("FLAIR")[0]
    subject.inversion_efficiency = 0.9
    less = replace(flair.sequence, inversion_efficiency=0.9)
    expected = less.signal(Relaxation.of([subject.tissues["CSF"]]))[0]
    np.testing.assert_allclose(fine_signal(subject, flair)[pure(subject, "CSF")], expected, rtol=1e-4)
    assert expected > 0.03


def test_fat_saturation_flow_and_gadolinium(tiny_anatomy):
    subject = make_subject(tiny_anatomy)
    flair = scans_of("FLAIR")[0]
    full = flair.sequence.signal(Relaxation.of([subject.tissues["fat"]]))[0]
    assert fine_signal(subject, flair)[pure(subject, "fat")].max() < 0.3 * full
    box = (slice(0, 2),) * 3
    tiny_anatomy.replace("enhancing", np.ones((2, 2, 2), np.float32), box, ("WM",))
    tiny_anatomy.fractions[(tiny_anatomy.tissues.index("enhancing"), *box)] = 1
    before = fine_signal(subject, scans_of("T1w")[0])[0, 0, 0]
    after = fine_signal(subject, scans_of("ce-gadolinium_T1w")[0])[0, 0, 0]
    assert after > 2 * before


def test_noise_has_the_snr_that_is_named(tiny_anatomy):
    subject, scans = make_subject(tiny_anatomy), scans_of("T1w")
    (clean,) = acquire(subject, scans, Motion(), np.inf, np.random.default_rng(0))
    (noisy,) = acquire(subject, scans, Motion(), 20.0, np.random.default_rng(0))
    sigma = (noisy.values - clean.values).real.std()
    white = fine_signal(subject, scans[0])[pure(subject, "WM")].mean()
    assert white / sigma == pytest.approx(20, rel=0.06)
    assert clean.grid == subject.view.image


def test_images_acquired_together_share_noise_level_and_phase(tiny_anatomy):
    subject, scans = make_subject(tiny_anatomy), scans_of("MESE")
    clean = acquire(subject, scans, Motion(), np.inf, np.random.default_rng(0))
    noisy = acquire(subject, scans, Motion(), 20.0, np.random.default_rng(0))
    sigmas = [(a.values - b.values).std() for a, b in zip(noisy, clean, strict=True)]
    assert max(sigmas) == pytest.approx(min(sigmas), rel=0.1)
    bright = np.abs(clean[6].values) > 0.2
    np.testing.assert_allclose(np.angle(clean[6].values)[bright], np.angle(clean[7].values)[bright], atol=1e-3)
    # Early after saturation the magnetisation still points down: opposite phase.
    turned = np.angle(clean[0].values[bright] / clean[6].values[bright])
    assert np.mean(np.abs(turned) > 3) > 0.5


def test_thick_slices_and_coarse_scans_have_their_own_grids():
    view = field_of_view(2.0)
    thick = image_grid(view, scans_of("T2w")[0], 4.0, 1.0)
    assert thick.spacing == (2.0, 2.0, 5.0)
    assert thick.axes()[2][0] > view.image.axes()[2][0]
    assert image_grid(view, scans_of("T1w")[0], 4.0, 1.0) == view.image
    localizer = image_grid(field_of_view(0.9), scans_of("acq-localizer_T1w")[0], 0.0, 0.0)
    assert localizer.spacing == pytest.approx((1.6, 1.6, 1.6), abs=0.03)
    assert all(n % 2 == 0 for n in localizer.shape)


@pytest.mark.parametrize("spacing", [0.9, 1.0, 2.0, 3.0, 7.3])
def test_fields_of_view_cover_the_head_on_aligned_grids(spacing):
    view = field_of_view(spacing)
    assert view.fine.origin == view.image.origin
    extents = [np.multiply(grid.shape, grid.spacing) for grid in (view.fine, view.image)]
    np.testing.assert_allclose(*extents)
    assert all(extents[1] >= (191.9, 239.9, 215.9))


def test_slices_show_the_head_where_it_is(tiny_anatomy):
    subject = make_subject(tiny_anatomy)
    volume, slices = (
        acquire(subject, scans_of("T2w"), Motion(), np.inf, np.random.default_rng(0), thick)[0] for thick in (0, 18.0)
    )
    centres = []
    for image in (volume, slices):
        weight = np.abs(image.values).sum(axis=(0, 1))
        centres.append((weight * image.grid.axes()[2]).sum() / weight.sum())
    assert centres[1] == pytest.approx(centres[0], abs=2.0)


def test_a_coarse_scan_of_uneven_voxels_shows_the_head_too(tiny_anatomy):
    (image,) = acquire(
        make_subject(tiny_anatomy), scans_of("acq-localizer_T1w"), Motion(), np.inf, np.random.default_rng(0)
    )
    assert len(set(image.grid.spacing)) > 1
    assert np.isfinite(image.values).all()
    assert np.abs(image.values).max() > 0


def test_truth_agrees_with_the_tissues(tiny_anatomy):
    subject = make_subject(tiny_anatomy)
    numbers = {name: i for i, name in enumerate(tiny_anatomy.tissues, start=1)}
    truth = truth_of(subject, numbers)
    inside = truth.fractions["WM"] > 0.999
    assert inside.any()
    white = subject.tissues["WM"]
    for key, value in (("T1map", white.t1_s), ("T2map", white.t2_s), ("T2starmap", white.t2star_s)):
        np.testing.assert_allclose(truth.maps[key][inside], value, rtol=1e-4)
    np.testing.assert_allclose(truth.maps["PDmap"][inside], white.pd, rtol=1e-4)
    assert (truth.labels[inside] == numbers["WM"]).all()
    assert truth.brain[inside].all()
    assert not truth.brain[truth.fractions["fat"] > 0.6].any()
    air = sum(truth.fractions.values()) < 0.001
    assert (truth.labels[air] == 0).all()
    assert truth.maps["T1map"][air].max() == 0


def test_streams_depend_on_seed_subject_and_purpose_only():
    first = stream(1, 2, "shape").random()
    assert first == stream(1, 2, "shape").random()
    assert len({first, stream(2, 2, "shape").random(), stream(1, 3, "shape").random(), stream(1, 2, "x").random()}) == 4
