"""Agreement between readers or methods: categories (kappa, alpha) and numbers (ICC, Bland-Altman).

What cannot be computed is nan with a reason in `method`; what cannot be asked raises.
"""

from recontrast.metrics.agreement.alpha import krippendorff_alpha
from recontrast.metrics.agreement.differences import BlandAltman, bland_altman
from recontrast.metrics.agreement.intraclass import icc
from recontrast.metrics.agreement.kappa import cohen_kappa, fleiss_kappa
from recontrast.metrics.agreement.result import Agreement

__all__ = ["Agreement", "BlandAltman", "bland_altman", "cohen_kappa", "fleiss_kappa", "icc", "krippendorff_alpha"]
