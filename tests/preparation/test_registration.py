"""Parts that alignment and registration to a template share."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk

from recontrast.preparation.itk import to_itk
from recontrast.preparation.registration import coarsened, dilated, distinct_levels, last_line, one_thread
from recontrast.volume import Volume


def test_blocks_are_averaged_near_the_level():
    image = to_itk(Volume(np.arange(16 * 8 * 8, dtype=np.float32).reshape(16, 8, 8), np.diag([1.0, 2, 4, 1])))
    coarse = coarsened(image, 4.0)
    assert coarse.GetSize() == (4, 4, 8)
    assert coarse.GetSpacing() == (4.0, 4.0, 4.0)
    assert coarsened(image, 1.0) is image


def test_a_level_finer_than_both_images_is_left_out():
    image = to_itk(Volume(np.zeros((16, 16, 16), np.float32), np.diag([2.0, 2, 2, 1])))
    assert distinct_levels((4.0, 2.0, 1.0), [image, image]) == [4.0, 2.0]


def test_a_mask_grows_by_millimetres():
    mask = np.zeros((9, 9, 9), bool)
    mask[4, 4, 4] = True
    grown = dilated(Volume(mask, np.diag([1.0, 2, 4, 1])), 2.0).data
    assert grown.any(axis=(1, 2)).sum() == 5
    assert grown.any(axis=(0, 2)).sum() == 3
    assert grown.sum() == 15 * grown.any(axis=(0, 1)).sum()


def test_threads_are_given_back():
    before = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    seen = []

    def fail():
        with one_thread():
            seen.append(sitk.ProcessObject.GetGlobalDefaultNumberOfThreads())
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert seen == [1]
    assert sitk.ProcessObject.GetGlobalDefaultNumberOfThreads() == before


def test_the_last_line_of_an_error():
    assert last_line(RuntimeError("itk\n\n what is wrong \n")) == "what is wrong"
    assert last_line(RuntimeError("")) == "RuntimeError"
