"""NIfTI there and back, and files that are not what they say."""

from __future__ import annotations

import gzip
import warnings

import nibabel as nib
import numpy as np
import pytest

from recontrast.errors import FormatError, GeometryError, IntensityError, OutputError, RecontrastWarning
from recontrast.io.nifti import is_nifti, read_header, read_volume, write_volume
from recontrast.volume import Volume, same_grid


@pytest.mark.parametrize("extension", [".nii", ".nii.gz"])
def test_floats_there_and_back(tmp_path, make_volume, extension):
    volume = make_volume()
    write_volume(tmp_path / f"a{extension}", volume)
    back = read_volume(tmp_path / f"a{extension}")
    np.testing.assert_array_equal(back.data, volume.data)
    assert same_grid(back, volume)
    assert back.data.dtype == np.float32


@pytest.mark.parametrize("orientation", ["RAS", "LPS", "PSR", "IRA"])
def test_orientation_is_kept(tmp_path, make_volume, orientation):
    volume = make_volume().reoriented(orientation)
    write_volume(tmp_path / "a.nii.gz", volume)
    back = read_volume(tmp_path / "a.nii.gz")
    assert back.orientation == orientation
    np.testing.assert_allclose(back.affine, volume.affine, atol=1e-5)


def test_same_volume_same_bytes(tmp_path, make_volume):
    for name in ("a.nii.gz", "b.nii.gz"):
        write_volume(tmp_path / name, make_volume())
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()


def test_labels_above_127_survive(tmp_path):
    labels = np.arange(256, dtype=np.int32).reshape(8, 8, 4)
    write_volume(tmp_path / "a.nii.gz", Volume(labels, np.eye(4)), np.uint8)
    assert read_header(tmp_path / "a.nii.gz").dtype == np.uint8
    np.testing.assert_array_equal(read_volume(tmp_path / "a.nii.gz", np.int32).data, labels)


def test_masks_are_written_as_bytes(tmp_path, make_volume):
    mask = make_volume().with_data(make_volume().data > 500)
    write_volume(tmp_path / "a.nii.gz", mask, bool)
    np.testing.assert_array_equal(read_volume(tmp_path / "a.nii.gz", np.uint8).data, mask.data)


def test_floats_as_integers_use_the_whole_range(tmp_path, make_volume):
    volume = make_volume()
    write_volume(tmp_path / "a.nii.gz", volume, np.int16)
    back = read_volume(tmp_path / "a.nii.gz")
    step = float(np.ptp(volume.data)) / 65000
    np.testing.assert_allclose(back.data, volume.data, atol=2 * step)


def test_big_endian_and_scaled_integers(tmp_path):
    stored = np.arange(60, dtype=">i2").reshape(3, 4, 5)
    image = nib.Nifti1Image(stored, np.diag([1, 2, 3, 1.0]), nib.Nifti1Header(endianness=">"))
    image.header.set_slope_inter(0.5, 10)
    nib.save(image, tmp_path / "a.nii")
    back = read_volume(tmp_path / "a.nii")
    assert back.data.dtype == np.dtype("=f4")
    nib_values = nib.load(tmp_path / "a.nii").get_fdata()
    np.testing.assert_allclose(back.data, nib_values)


def test_a_fourth_axis_of_one_is_dropped_and_a_longer_one_refused(tmp_path):
    nib.save(nib.Nifti1Image(np.zeros((3, 4, 5, 1), np.float32), np.eye(4)), tmp_path / "one.nii")
    nib.save(nib.Nifti1Image(np.zeros((3, 4, 5, 2), np.float32), np.eye(4)), tmp_path / "two.nii")
    assert read_volume(tmp_path / "one.nii").shape == (3, 4, 5)
    with pytest.raises(FormatError, match=r"two\.nii: has 4 axes \(shape \(3, 4, 5, 2\)\)"):
        read_volume(tmp_path / "two.nii")


def test_a_single_slice_becomes_a_volume(tmp_path):
    image = nib.Nifti1Image(np.ones((3, 4), np.float32), np.eye(4))
    image.set_sform(np.eye(4), 1)
    image.set_qform(np.eye(4), 1)
    nib.save(image, tmp_path / "a.nii")
    assert read_volume(tmp_path / "a.nii").shape == (3, 4, 1)


def test_complex_values_are_refused(tmp_path):
    nib.save(nib.Nifti1Image(np.zeros((3, 4, 5), np.complex64), np.eye(4)), tmp_path / "a.nii")
    with pytest.raises(FormatError, match="complex"):
        read_volume(tmp_path / "a.nii")


def test_damaged_files_are_named(tmp_path, make_volume):
    write_volume(tmp_path / "whole.nii.gz", make_volume())
    content = (tmp_path / "whole.nii.gz").read_bytes()
    (tmp_path / "cut.nii.gz").write_bytes(content[: len(content) // 2])
    (tmp_path / "text.nii").write_text("not an image")
    (tmp_path / "plain.nii.gz").write_bytes(gzip.decompress(content))
    (tmp_path / "empty.nii.gz").write_bytes(b"")
    for name in ("cut.nii.gz", "text.nii", "plain.nii.gz", "empty.nii.gz", "absent.nii"):
        with pytest.raises(FormatError, match=name):
            read_volume(tmp_path / name)
    (tmp_path / "a.dcm").write_bytes(b"")
    with pytest.raises(FormatError, match="not a NIfTI file by its name"):
        read_volume(tmp_path / "a.dcm")


def test_disagreeing_forms_give_a_warning_and_the_sform_wins(tmp_path):
    image = nib.Nifti1Image(np.zeros((3, 4, 5), np.float32), None)
    image.set_qform(np.eye(4), 1)
    image.set_sform(np.diag([2.0, 2, 2, 1]), 1)
    nib.save(image, tmp_path / "a.nii")
    with pytest.warns(RecontrastWarning, match=r"a\.nii: qform and sform differ"):
        assert read_volume(tmp_path / "a.nii").spacing == (2, 2, 2)


def test_no_orientation_gives_a_warning(tmp_path):
    image = nib.Nifti1Image(np.zeros((3, 4, 5), np.float32), None)
    nib.save(image, tmp_path / "a.nii")
    with pytest.warns(RecontrastWarning, match="no orientation"):
        read_volume(tmp_path / "a.nii")


def test_a_flat_affine_is_refused(tmp_path):
    image = nib.Nifti1Image(np.zeros((3, 4, 5), np.float32), None)
    image.set_sform(np.diag([1.0, 1, 0, 1]), 1)
    nib.save(image, tmp_path / "a.nii")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(GeometryError, match=r"a\.nii"):
            read_volume(tmp_path / "a.nii")


def test_space_codes_follow_a_template(tmp_path, make_volume):
    image = nib.Nifti1Image(make_volume().data, make_volume().affine)
    image.set_sform(make_volume().affine, 4)
    nib.save(image, tmp_path / "mni.nii")
    write_volume(tmp_path / "a.nii", make_volume(), like=tmp_path / "mni.nii")
    assert int(nib.load(tmp_path / "a.nii").header["sform_code"]) == 4


def test_a_folder_that_cannot_be_made(tmp_path, make_volume):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="file"):
        write_volume(tmp_path / "file" / "a.nii", make_volume())


def test_names(tmp_path):
    assert is_nifti(tmp_path / "A.NII.GZ")
    assert not is_nifti(tmp_path / "a.nii.json")


def stored(tmp_path, data, affine=None, name="a.nii.gz", **fields):
    image = nib.Nifti1Image(data, np.diag([1.0, 2, 3, 1]) if affine is None else affine, dtype=data.dtype)
    for field, value in fields.items():
        image.header[field] = value
    nib.save(image, tmp_path / name)
    return tmp_path / name


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_every_type_in_both_byte_orders(tmp_path, dtype, order):
    data = np.arange(60).reshape(3, 4, 5).astype(dtype)
    header = nib.Nifti1Header(endianness=order)
    header.set_data_dtype(np.dtype(dtype).newbyteorder(order))
    nib.save(nib.Nifti1Image(data, np.eye(4), header, dtype=np.dtype(dtype).newbyteorder(order)), tmp_path / "a.nii")
    back = read_volume(tmp_path / "a.nii")
    assert back.data.dtype == np.dtype("=f4")
    np.testing.assert_array_equal(back.data, data.astype(np.float32))


def test_half_precision_is_refused_in_files_and_taken_from_memory(tmp_path, make_volume):
    with pytest.raises(FormatError, match=r"a\.nii: NIfTI has no 16-bit floating-point type; write float32"):
        write_volume(tmp_path / "a.nii", make_volume(), np.float16)
    half = make_volume().with_data(make_volume().data.astype(np.float16))
    write_volume(tmp_path / "b.nii", half)
    np.testing.assert_array_equal(read_volume(tmp_path / "b.nii").data, half.data.astype(np.float32))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.nii"]


def test_a_volume_of_a_series_by_its_number(tmp_path):
    series = np.arange(120, dtype=np.int16).reshape(3, 4, 5, 2)
    for name in ("a.nii", "a.nii.gz"):
        path = stored(tmp_path, series, name=name)
        for index in (0, 1):
            np.testing.assert_array_equal(read_volume(path, index=index).data, series[..., index])
        with pytest.raises(FormatError, match=r"which of the 2 volumes is meant \(0 to 1\)"):
            read_volume(path)
        with pytest.raises(FormatError, match=r"has 2 volumes .*volume 2 was asked for"):
            read_volume(path, index=2)
    path = stored(tmp_path, series[..., 0], name="one.nii")
    np.testing.assert_array_equal(read_volume(path, index=0).data, series[..., 0])
    with pytest.raises(FormatError, match="has one volume"):
        read_volume(path, index=1)


def test_values_that_are_no_labels(tmp_path):
    path = stored(tmp_path, np.full((3, 4, 5), 300, np.int16))
    assert read_volume(path, np.int32).data.max() == 300
    with pytest.raises(FormatError, match=r"values from 300 to 300 .*whole numbers from 0 to 255"):
        read_volume(path, np.uint8)
    path = stored(tmp_path, np.full((3, 4, 5), np.nan, np.float32))
    with pytest.raises(FormatError, match="values from nan"):
        read_volume(path, np.uint8)
    assert np.isnan(read_volume(path).data).all()


def test_values_beyond_float32_become_infinite(tmp_path):
    path = stored(tmp_path, np.full((3, 4, 5), 1e300))
    assert np.isinf(read_volume(path).data).all()
    assert read_volume(path, np.float64).data.max() == 1e300


def test_what_is_not_finite_is_not_stored_as_integers(tmp_path, make_volume):
    bad = make_volume().data.copy()
    bad[2, 3, :5] = np.inf
    with pytest.raises(IntensityError, match=r"a\.nii: 5 voxels are not finite"):
        write_volume(tmp_path / "a.nii", make_volume().with_data(bad), np.int16)
    assert not list(tmp_path.iterdir())


GEOMETRY = ("qform_code", "sform_code", "quatern_b", "qoffset_x", "srow_x", "srow_y", "srow_z", "xyzt_units")


@pytest.mark.parametrize(("qform", "sform"), [(1, 1), (1, 0), (0, 1), (2, 4), (0, 0), (1, 3)])
@pytest.mark.parametrize("endianness", ["<", ">"])
def test_a_file_made_like_another_has_its_very_geometry(tmp_path, oblique_affine, qform, sform, endianness):
    data = np.zeros((3, 4, 5), np.int16)
    image = nib.Nifti1Image(data, None, nib.Nifti1Header(endianness=endianness))
    image.header.set_zooms((1.0, 1.5, 3.0))
    image.set_qform(oblique_affine, qform)
    image.set_sform(oblique_affine + (0.001 if qform and sform == 3 else 0), sform)
    nib.save(image, tmp_path / "source.nii")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RecontrastWarning)
        volume = read_volume(tmp_path / "source.nii")
        write_volume(tmp_path / "made.nii", volume, like=tmp_path / "source.nii")
    before, after = nib.load(tmp_path / "source.nii"), nib.load(tmp_path / "made.nii")
    np.testing.assert_array_equal(after.affine, before.affine)
    for field in GEOMETRY:
        np.testing.assert_array_equal(after.header[field], before.header[field], err_msg=field)
    np.testing.assert_array_equal(after.header["pixdim"][:4], before.header["pixdim"][:4])
    assert after.header.endianness == "<"
