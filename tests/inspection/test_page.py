"""The page holds question, sentence, figure and number, and what was not asked."""

from __future__ import annotations

from collections.abc import Callable

from recontrast.inspection.bench import Bench
from recontrast.inspection.command import ask
from recontrast.inspection.page import VOXELWISE, inspection_page
from recontrast.reporting.figures import png


def test_a_page_reads_from_question_to_number(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(cases=1, images_only=True)
    outcomes = [ask("table", bench), ask("window", bench)]
    plates = outcomes[0].answer.plates if outcomes[0].answer else []
    page = inspection_page(bench, outcomes, {f"table_{plate.name}": png(plate.figure) for plate in plates})
    assert "Is it more than a look-up table?" in page
    assert "data:image/png;base64," in page
    assert "only images were given; this question runs the translator" in page
    assert "http" not in page.replace("http-equiv", "")


def test_one_that_works_voxel_by_voxel_is_said_to_invent_nothing(make_bench: Callable[..., Bench]) -> None:
    assert VOXELWISE in inspection_page(make_bench("table", cases=1), [], {})
    assert VOXELWISE not in inspection_page(make_bench("blur", cases=1), [], {})
