"""Fixed peak, and errors divided by the intracranial mean of the evaluated image: plain numpy."""

from __future__ import annotations

import numpy as np
import pytest

from recontrast.metrics.granularity import apparent_width, granularity


@pytest.mark.parametrize("region", ["brain", "GM", "WM", "CSF"])
def test_equals_the_published_formulas(pair, regions, score, region: str) -> None:
    reference, estimate = (5000 * image for image in pair)
    found = score("hagiwara2019", reference, estimate, region)
    inside, brain = regions[region], regions["brain"]
    square = ((estimate - reference) ** 2)[inside].mean()
    assert found["psnr"] == pytest.approx(20 * np.log10(25_500 / np.sqrt(square)), abs=1e-6)
    error = np.sqrt((estimate - reference) ** 2)
    assert found["nrmse"] == pytest.approx((error / estimate[brain].mean())[inside].mean(), abs=1e-6)
    assert found["nrmse_ref"] == pytest.approx((error / reference[brain].mean())[inside].mean(), abs=1e-6)
    assert found["nrmse_root"] == pytest.approx(np.sqrt(square) / estimate[brain].mean(), abs=1e-6)


def test_grains_and_sulci_against_the_reference(pair, regions, score) -> None:
    reference, estimate = (5000 * image for image in pair)
    found = score("hagiwara2019", reference, estimate, "CSF", spacing=(2.0, 2.0, 5.0))
    grains = [granularity(image, regions["CSF"], axis=2) for image in (reference, estimate)]
    assert found["grains"] == pytest.approx(abs(grains[1] - grains[0]) / 25_500, abs=1e-9)
    widths = [apparent_width(image, regions["CSF"], spacing=(2.0, 2.0, 5.0)) for image in (reference, estimate)]
    assert found["sulcal_width"] == pytest.approx(abs(widths[1] - widths[0]), abs=1e-9)


def test_a_case_by_hand(score) -> None:
    """Error 255 everywhere: 20 log10(25,500 / 255) = 40 dB; 255 / 2805 of the estimate's mean."""
    shape = (4, 4, 4)
    reference = 2550.0 + 100 * (-1.0) ** np.indices(shape).sum(axis=0)  # sulci have no width in a flat image
    masks = {"brain": np.ones(shape, bool), **dict.fromkeys(("GM", "WM", "CSF"), np.ones(shape, bool))}
    found = score("hagiwara2019", reference, reference + 255, "GM", masks)
    assert found["psnr"] == pytest.approx(40.0, abs=1e-9)
    assert found["nrmse"] == pytest.approx(255 / 2805)
