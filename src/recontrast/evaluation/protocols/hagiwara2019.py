"""The protocol of Hagiwara et al. 2019: tissue regions of whole volumes, in the scanner's units, fixed peak."""

from __future__ import annotations

from recontrast.evaluation.protocols import NATIVE, PROTOCOLS, MetricUse, Protocol

INTRACRANIAL = "brain|head"

# What the paper calls NRMSE is the mean of a map of |error| / (mean of the evaluated image inside the skull).
HAGIWARA2019 = PROTOCOLS.register("hagiwara2019")(
    Protocol(
        name="hagiwara2019",
        normaliser=NATIVE,
        synthetic_scale="reference",
        data_range=25_500.0,
        regions=(INTRACRANIAL, "GM", "WM", "CSF"),
        primary=("brain", "head"),
        metrics=(
            MetricUse(label="psnr", metric="psnr", options={"peak": "data_range"}),
            MetricUse(label="nrmse", metric="nmae", options={"divisor": "mean_eval"}, constant_region=INTRACRANIAL),
            MetricUse(
                label="nrmse_root", metric="nrmse", options={"divisor": "mean_eval"}, constant_region=INTRACRANIAL
            ),
            MetricUse(label="nrmse_ref", metric="nmae", options={"divisor": "mean_ref"}, constant_region=INTRACRANIAL),
            MetricUse(label="mse", metric="mse"),
            # Readers graded grains in CSF and swollen gyri; as numbers the two are ours.
            MetricUse(label="grains", metric="granularity_difference", options={"axis": 2}),
            MetricUse(label="sulcal_width", metric="apparent_width_difference"),
        ),
        primary_metric="psnr",
        aggregation="one value per volume and region; sessions averaged within the subject; mean and SD over subjects",
        description=(
            "Native units (PSNR peak 25,500: only for images on that scale); GM, WM, CSF, intracranial; "
            "NRMSE = mean |error| / intracranial mean of the estimate"
        ),
        citation="Hagiwara A et al. AJNR Am J Neuroradiol 2019; 40:224",
    )
)
