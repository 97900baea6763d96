"""What lies with the training cases is accepted, what does not is named."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from recontrast.inspection import NotAsked
from recontrast.inspection.bench import Bench
from recontrast.inspection.questions.depth import NAMES, Depth, describe_image, distances, held_out_threshold


def test_noise_gain_and_blur_move_what_they_should(make_bench: Callable[..., Bench], rng: np.random.Generator) -> None:
    case = make_bench(cases=1).cases[0]
    image = case.sources["T1w"]
    plain = describe_image(image, case.inside, case.spacing)
    assert len(plain) == len(NAMES)
    noisy = describe_image(image + 0.1 * rng.standard_normal(image.shape), case.inside, case.spacing)
    assert noisy[NAMES.index("noise")] > plain[NAMES.index("noise")] + 0.4
    brighter = describe_image(image * 2, case.inside, case.spacing)
    assert brighter[2] == pytest.approx(2 * plain[2])


def test_the_threshold_holds_the_training_cases_and_not_a_stranger(rng: np.random.Generator) -> None:
    training = 5 + rng.standard_normal((12, 4))
    threshold = held_out_threshold(training)
    assert distances(training, training).max() < threshold
    assert distances(training, np.array([5.0, 5, 5, 40])).max() > threshold


def test_without_training_cases_there_is_no_threshold(make_bench: Callable[..., Bench]) -> None:
    with pytest.raises(NotAsked, match="0 training cases"):
        Depth().ask(make_bench(cases=1))
