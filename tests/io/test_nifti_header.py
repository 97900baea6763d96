"""Headers that are odd, that disagree with themselves, and that lie."""

from __future__ import annotations

import gzip
import struct
import tracemalloc
import warnings

import nibabel as nib
import numpy as np
import pytest

from recontrast.errors import FormatError, GeometryError, RecontrastWarning
from recontrast.io import nifti_header
from recontrast.io.nifti import read_header, read_volume, write_volume


@pytest.fixture
def plain(tmp_path):
    """A sound file: 3 x 4 x 5 voxels of float32 after 352 bytes; returns its bytes."""
    image = nib.Nifti1Image(np.arange(60, dtype=np.float32).reshape(3, 4, 5), np.diag([1.0, 2, 3, 1]))
    image.set_sform(np.diag([1.0, 2, 3, 1]), 1)
    image.set_qform(np.diag([1.0, 2, 3, 1]), 1)
    nib.save(image, tmp_path / "plain.nii")
    return bytearray((tmp_path / "plain.nii").read_bytes())


def put(content: bytearray, offset: int, form: str, *values) -> bytearray:
    changed = bytearray(content)
    struct.pack_into(form, changed, offset, *values)
    return changed


DIM, DATATYPE, PIXDIM, VOX_OFFSET, SLOPE, UNITS, QFORM, SFORM, MAGIC = 40, 70, 76, 108, 112, 123, 252, 254, 344


@pytest.mark.parametrize(
    ("offset", "form", "values", "words"),
    [
        (0, "<i", (1234,), "cannot be read as NIfTI .its first bytes"),
        (MAGIC, "<4s", (b"abcd",), "wrong magic b'abcd'"),
        (MAGIC, "<4s", (b"\0\0\0\0",), "an ANALYZE file has none"),
        (MAGIC, "<4s", (b"ni1\0",), "NIfTI pair"),
        (DIM, "<h", (0,), "no possible shape"),
        (DIM, "<h", (9,), "no possible shape"),
        (DIM, "<h", (1,), "has 1 axis"),
        (DIM, "<4h", (3, 3, -4, 5), "no possible shape"),
        (DIM, "<4h", (3, 3, 0, 5), "no possible shape"),
        (DIM, "<4h", (3, 30, 40, 50), "promises 240352 bytes .*the file holds 592 bytes"),
        (DIM, "<4h", (3, 32767, 32767, 32767), "the file holds 592 bytes"),
        (DATATYPE, "<h", (99,), "data type 99 is not one of NIfTI's"),
        (DATATYPE, "<h", (128,), "colours, bits"),
        (DATATYPE, "<h", (0,), "data type 0"),
        (VOX_OFFSET, "<f", (float("nan"),), "voxels start at byte nan"),
        (VOX_OFFSET, "<f", (12.0,), "voxels start at byte 12"),
        (VOX_OFFSET, "<f", (1e30,), "voxels start at byte 1e"),
        (SLOPE, "<2f", (float("inf"), 0.0), "slope inf"),
        (SLOPE, "<2f", (2.0, float("nan")), "intercept nan"),
    ],
)
def test_one_line_names_the_file_and_the_trouble(tmp_path, plain, offset, form, values, words):
    path = tmp_path / "bad.nii"
    path.write_bytes(put(plain, offset, form, *values))
    with pytest.raises(FormatError, match=words) as caught:
        read_volume(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("cut", [0, 1, 3, 200, 347, 351, 400, 591])
@pytest.mark.parametrize("compressed", [False, True])
def test_files_that_end_too_early(tmp_path, plain, cut, compressed):
    path = tmp_path / ("cut.nii.gz" if compressed else "cut.nii")
    path.write_bytes(gzip.compress(bytes(plain[:cut])) if compressed else plain[:cut])
    with pytest.raises(FormatError, match=r"cut\.nii"):
        read_volume(path)


@pytest.mark.filterwarnings("ignore::recontrast.errors.RecontrastWarning")  # of what damaged bytes say
def test_every_truncation_and_every_damaged_byte_of_a_compressed_file_is_found(tmp_path, plain):
    path = tmp_path / "cut.nii.gz"
    whole = gzip.compress(bytes(plain), mtime=0)
    for end in range(0, len(whole), 3):
        path.write_bytes(whole[:end])
        with pytest.raises(FormatError):
            read_volume(path)
    for position in range(10, len(whole)):  # byte 4 to 9: time and system, which no reader looks at
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 0x10]) + whole[position + 1 :])
        try:
            back = read_volume(path)
        except (FormatError, GeometryError):
            continue
        np.testing.assert_array_equal(back.data.ravel(), np.arange(60))  # bits that mean nothing to gzip


def test_a_bomb_is_refused_before_memory_is_taken(tmp_path, plain):
    huge = put(plain, DIM, "<4h", 3, 2000, 2000, 2000)
    path = tmp_path / "bomb.nii.gz"
    path.write_bytes(gzip.compress(bytes(put(huge, DATATYPE, "<2h", 2, 8))) + b"\0" * 8_000_000)
    tracemalloc.start()
    with pytest.raises(FormatError, match=r"8e\+09 voxels .*more than any scan has"):
        read_volume(path)
    assert tracemalloc.get_traced_memory()[1] < 5e6
    tracemalloc.stop()


def test_what_memory_cannot_hold_is_refused(tmp_path, plain, monkeypatch):
    (tmp_path / "a.nii").write_bytes(plain)
    monkeypatch.setattr(nifti_header, "available_bytes", lambda: 100)
    with pytest.raises(FormatError, match=r"GB of memory .*fewer workers"):
        read_volume(tmp_path / "a.nii")
    assert read_header(tmp_path / "a.nii").shape == (3, 4, 5)


def test_names_that_hide_the_content(tmp_path, plain):
    (tmp_path / "a.nii").write_bytes(gzip.compress(bytes(plain)))
    with pytest.raises(FormatError, match=r"is gzip-compressed, its name says it is not; .*rename it to \.nii\.gz"):
        read_volume(tmp_path / "a.nii")
    (tmp_path / "a.nii.gz").write_bytes(plain)
    with pytest.raises(FormatError, match=r"is not gzip-compressed, its name says it is; .*rename it to \.nii$"):
        read_volume(tmp_path / "a.nii.gz")
    (tmp_path / "b.nii").symlink_to(tmp_path / "annex" / "object")
    with pytest.raises(FormatError, match=r"b\.nii: is a link to a file that is not there; .*datalad get"):
        read_volume(tmp_path / "b.nii")
    (tmp_path / "c.nii").mkdir()
    with pytest.raises(FormatError, match="is a folder"):
        read_volume(tmp_path / "c.nii")


def test_only_a_qform_is_used_silently(tmp_path):
    image = nib.Nifti1Image(np.zeros((3, 4, 5), np.float32), None)
    image.set_qform(np.diag([2.0, 3, 4, 1]), 1)
    nib.save(image, tmp_path / "a.nii")
    assert read_volume(tmp_path / "a.nii").spacing == (2, 3, 4)


def test_a_flat_sform_beside_a_good_qform(tmp_path, plain):
    (tmp_path / "a.nii").write_bytes(put(plain, 280, "<12f", *([0.0] * 12)))
    with pytest.warns(RecontrastWarning, match="sform is not invertible; the qform is used"):
        assert read_volume(tmp_path / "a.nii").spacing == (1, 2, 3)


def test_rotated_forms_that_agree_at_two_corners_still_disagree(tmp_path):
    image = nib.Nifti1Image(np.zeros((9, 9, 9), np.float32), None)
    around = np.array([[0.0, 0, 1, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]])  # keeps the diagonal in place
    image.set_sform(np.eye(4), 1)
    image.set_qform(around, 1)
    nib.save(image, tmp_path / "a.nii")
    with pytest.warns(RecontrastWarning, match=r"differ by up to 11\.3 mm; the sform is used"):
        read_volume(tmp_path / "a.nii")


def test_without_forms_the_guess_is_named(tmp_path, plain):
    (tmp_path / "a.nii").write_bytes(put(plain, QFORM, "<2h", 0, 0))
    with pytest.warns(RecontrastWarning, match="left and right are a guess: LAS"):
        assert (
            read_volume(tmp_path / "a.nii").orientation
            == nib.aff2axcodes(nib.load(tmp_path / "a.nii").affine)[0] + "AS"
        )


@pytest.mark.parametrize(("unit", "size"), [(1, 0.001), (3, 1000.0)])
def test_metres_and_micrometres_become_millimetres(tmp_path, plain, unit, size):
    changed = put(plain, UNITS, "<B", unit)
    changed = put(changed, 280, "<12f", size, 0, 0, 0, 0, 2 * size, 0, 0, 0, 0, 3 * size, 0)
    changed = put(changed, QFORM, "<h", 0)
    (tmp_path / "a.nii").write_bytes(changed)
    np.testing.assert_allclose(read_volume(tmp_path / "a.nii").spacing, (1, 2, 3), rtol=1e-6)


def test_metres_that_are_millimetres(tmp_path, plain):
    (tmp_path / "a.nii").write_bytes(put(plain, UNITS, "<B", 1))
    with pytest.warns(RecontrastWarning, match="taken as millimetres"):
        assert read_volume(tmp_path / "a.nii").spacing == (1, 2, 3)


def test_voxel_sizes_that_every_reader_mends(tmp_path, plain):
    changed = put(put(plain, SFORM, "<h", 0), PIXDIM, "<4f", 0.0, 0.0, -2.0, 3.0)
    (tmp_path / "a.nii").write_bytes(changed)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_volume(tmp_path / "a.nii").spacing == (1, 2, 3)


def test_voxels_may_start_where_the_header_forgot_to_say(tmp_path, plain):
    (tmp_path / "a.nii").write_bytes(put(plain, VOX_OFFSET, "<f", 0.0))
    np.testing.assert_array_equal(read_volume(tmp_path / "a.nii").data.ravel(), np.arange(60))


def test_an_extension_is_passed_over(tmp_path):
    image = nib.Nifti1Image(np.arange(60, dtype=np.int16).reshape(3, 4, 5), np.eye(4))
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"x" * 1000))
    nib.save(image, tmp_path / "a.nii.gz")
    np.testing.assert_array_equal(read_volume(tmp_path / "a.nii.gz").data.ravel(), np.arange(60))


def test_nifti_2(tmp_path, make_volume):
    nib.save(nib.Nifti2Image(make_volume().data, make_volume().affine), tmp_path / "a.nii.gz")
    back = read_volume(tmp_path / "a.nii.gz")
    np.testing.assert_array_equal(back.data, make_volume().data)
    np.testing.assert_array_equal(back.affine, make_volume().affine)
    write_volume(tmp_path / "b.nii.gz", back, like=tmp_path / "a.nii.gz")
    np.testing.assert_array_equal(read_header(tmp_path / "b.nii.gz").affine, make_volume().affine)
