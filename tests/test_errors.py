"""The error tree is as drawn, and names the nearest known name."""

from __future__ import annotations

import inspect
import re

import pytest

from recontrast import errors


def test_every_error_stands_in_the_drawn_tree() -> None:
    drawn = set(re.findall(r"[A-Za-z]+Error", errors.__doc__ or ""))
    defined = {name for name, member in inspect.getmembers(errors, inspect.isclass) if name.endswith("Error")}
    assert defined == drawn


def test_errors_share_one_base() -> None:
    for name, member in inspect.getmembers(errors, inspect.isclass):
        if name.endswith("Error"):
            assert issubclass(member, errors.RecontrastError), name


def test_unknown_name_suggests_the_nearest() -> None:
    error = errors.UnknownNameError.among("metric", "pnsr", ["psnr", "ssim"])
    assert str(error) == "unknown metric 'pnsr': did you mean 'psnr'? (there is: psnr, ssim)"


@pytest.mark.parametrize(("known", "expected"), [([], "there is none"), (["a", "b"], "there is: a, b")])
def test_nearest_lists_what_there_is_when_nothing_is_close(known: list[str], expected: str) -> None:
    assert errors.nearest("zzzzzz", known) == expected


def test_a_message_is_one_line_whatever_names_hold() -> None:
    assert str(errors.FormatError("a\nb.nii: no such file\n")) == "a b.nii: no such file"
