"""Statistics over subjects: intervals, paired tests, effects, margins, several models, power, and what may be said.

The subject is the unit. What cannot be computed is nan with a reason.

The modules say `import scipy`: scipy.stats, half a second to import, is then loaded when it is first used, after the
workers have their cases.
"""

from recontrast.evaluation.statistics.adjustment import Adjustment, adjust, benjamini_hochberg, bonferroni, holm
from recontrast.evaluation.statistics.effects import cohen_dz, hedges_g, rank_biserial
from recontrast.evaluation.statistics.intervals import (
    ANY,
    CONFIDENCE,
    FEWEST_BLOCKS,
    FEWEST_FOR_BOOTSTRAP,
    FEWEST_FOR_INTERVAL,
    RESAMPLES,
    Interval,
    IntervalMethod,
    bootstrap_interval,
    no_interval,
    of_differences,
    within_subject_interval,
)
from recontrast.evaluation.statistics.margins import Margin, MarginResult, equivalence, non_inferiority
from recontrast.evaluation.statistics.mixed import MixedResult, mixed_model
from recontrast.evaluation.statistics.paired import (
    PairedResult,
    mcnemar,
    paired_test,
    shapiro_wilk,
    smallest_wilcoxon_p,
)
from recontrast.evaluation.statistics.power import power, smallest_effect, subjects_needed
from recontrast.evaluation.statistics.several import Friedman, Pair, critical_difference, friedman, post_hoc
from recontrast.evaluation.statistics.words import (
    at_odds,
    margin_in_words,
    needed_in_words,
    odds_in_words,
    sample_in_words,
    several_in_words,
    verdict,
    verdict_in_words,
)

__all__ = [
    "ANY",
    "CONFIDENCE",
    "FEWEST_BLOCKS",
    "FEWEST_FOR_BOOTSTRAP",
    "FEWEST_FOR_INTERVAL",
    "RESAMPLES",
    "Adjustment",
    "Friedman",
    "Interval",
    "IntervalMethod",
    "Margin",
    "MarginResult",
    "MixedResult",
    "Pair",
    "PairedResult",
    "adjust",
    "at_odds",
    "benjamini_hochberg",
    "bonferroni",
    "bootstrap_interval",
    "cohen_dz",
    "critical_difference",
    "equivalence",
    "friedman",
    "hedges_g",
    "holm",
    "margin_in_words",
    "mcnemar",
    "mixed_model",
    "needed_in_words",
    "no_interval",
    "non_inferiority",
    "odds_in_words",
    "of_differences",
    "paired_test",
    "post_hoc",
    "power",
    "rank_biserial",
    "sample_in_words",
    "several_in_words",
    "shapiro_wilk",
    "smallest_effect",
    "smallest_wilcoxon_p",
    "subjects_needed",
    "verdict",
    "verdict_in_words",
    "within_subject_interval",
]
