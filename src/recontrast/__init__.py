"""Recontrast gives an MR image a new contrast, says where it can be trusted, and proves it on held-out subjects.

Every command of the command line is a function here, with a settings class of the same name:

    >>> import recontrast
    >>> recontrast.simulate(recontrast.SimulateSettings(out="cohort", subjects=4))  # doctest: +SKIP

Modules are imported when first used: `import recontrast` is quick and does not import torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

_HOME = {
    "Volume": "volume",
    "read_volume": "io.nifti",
    "write_volume": "io.nifti",
    "simulate": "phantom.cohort",
    "SimulateSettings": "phantom.cohort",
    "import_dicom": "importing.command",
    "ImportSettings": "importing.command",
    "prepare": "preparation.pipeline",
    "PrepareSettings": "preparation.pipeline",
    "quantify": "relaxometry.quantify",
    "QuantifySettings": "relaxometry.quantify",
    "synthesize": "relaxometry.command",
    "SynthesizeSettings": "relaxometry.command",
    "train": "training.command",
    "TrainSettings": "training.command",
    "translate": "translation.command",
    "TranslateSettings": "translation.command",
    "evaluate": "evaluation.command",
    "EvaluateSettings": "evaluation.command",
    "compare": "evaluation.comparison_command",
    "CompareSettings": "evaluation.comparison_command",
    "report": "reporting.report",
    "ReportSettings": "reporting.report",
    "study_paper": "study.command",
    "StudySettings": "study.command",
    "demo": "demonstration",
    "DemoSettings": "demonstration",
}
__all__ = [
    "CompareSettings",
    "DemoSettings",
    "EvaluateSettings",
    "ImportSettings",
    "PrepareSettings",
    "QuantifySettings",
    "RecontrastError",
    "ReportSettings",
    "SimulateSettings",
    "StudySettings",
    "SynthesizeSettings",
    "TrainSettings",
    "TranslateSettings",
    "Volume",
    "compare",
    "demo",
    "evaluate",
    "import_dicom",
    "prepare",
    "quantify",
    "read_volume",
    "report",
    "simulate",
    "study_paper",
    "synthesize",
    "train",
    "translate",
    "write_volume",
]

from recontrast.errors import RecontrastError  # noqa: E402

if TYPE_CHECKING:
    from recontrast.demonstration import DemoSettings, demo
    from recontrast.evaluation.command import EvaluateSettings, evaluate
    from recontrast.evaluation.comparison_command import CompareSettings, compare
    from recontrast.importing.command import ImportSettings, import_dicom
    from recontrast.io.nifti import read_volume, write_volume
    from recontrast.phantom.cohort import SimulateSettings, simulate
    from recontrast.preparation.pipeline import PrepareSettings, prepare
    from recontrast.relaxometry.command import SynthesizeSettings, synthesize
    from recontrast.relaxometry.quantify import QuantifySettings, quantify
    from recontrast.reporting.report import ReportSettings, report
    from recontrast.study.command import StudySettings, study_paper
    from recontrast.training.command import TrainSettings, train
    from recontrast.translation.command import TranslateSettings, translate
    from recontrast.volume import Volume


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'recontrast' has no attribute '{name}'")
    return getattr(importlib.import_module(f"recontrast.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return __all__
