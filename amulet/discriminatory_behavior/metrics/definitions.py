"""What the metrics of discriminatory behavior are."""

from amulet.core.facts import Metric, metrics_of

METRICS = metrics_of(
    "discriminatory_behavior",
    Metric("demographic_parity_difference", "gap between groups in favourable answers", "higher", decides=True),
    Metric(
        "equalized_odds_difference",
        "larger gap between groups in true or false positive rate",
        "higher",
        decides=True,
    ),
    Metric("true_positive_rate_difference", "gap between groups in true positive rate", "higher"),
    Metric("false_positive_rate_difference", "gap between groups in false positive rate", "higher"),
    Metric("p_rule", "smallest over largest share of favourable answers", "lower"),
    Metric("worst_group_accuracy", "accuracy for the group answered worst", "lower"),
    Metric("worst_group_records", "records of that group", unit="records"),
    Metric("calibration_error", "calibration error of the group with the largest", "higher"),
    Metric("consistency", "similar records that are answered alike", "lower"),
)
