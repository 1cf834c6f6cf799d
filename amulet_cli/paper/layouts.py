"""What the columns of the paper's tables are here: whose number, from which attack's runs, by which metric."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

FIRST = "*"
"""In a metric's name: the first of the data set's sensitive attributes."""


@dataclass(frozen=True)
class Column:
    """One number of a table."""

    metric: str
    """Several with a bar between them, of which a data set has one: the paper's Sex is LFW's gender."""
    victim: Literal["undefended", "defended"] = "defended"
    """Of a row with a defence; in other rows there is only the undefended one."""
    scale: float = 100.0
    """From our fractions to the paper's numbers: 1 for an AUC or an MSE."""
    attack: str = ""
    """Whose runs have it, where the table mixes several."""
    place: Literal["metrics", "baselines"] = "metrics"


@dataclass(frozen=True)
class Layout:
    """Which of our runs and numbers a table of the paper shows."""

    title: str
    defense: str
    key: str
    """What its rows, or columns, step through: a key of the configuration, or `model`."""
    columns: Mapping[str, Column]
    attack: str = ""
    """Where it is the same for all columns."""
    stand_ins: Mapping[str, str] = field(default_factory=dict[str, str])
    """Our data set for one of the paper's that is not here."""
    loose: tuple[str, ...] = ()
    """Beginnings of keys in which runs of one variant of the table may differ."""
    anywhere: bool = False
    """Whether runs on other data than the paper's are shown too, its numbers beside them for orientation."""
    commands: str = ""
    """What makes its runs."""

    def attack_of(self, column: str) -> str:
        """The attack whose runs a column is about."""
        return self.columns[column].attack or self.attack

    @property
    def attacks(self) -> set[str]:
        """All of them."""
        return {self.attack_of(column) for column in self.columns}


def _undefended(
    metric: str, attack: str, scale: float = 100.0, place: Literal["metrics", "baselines"] = "metrics"
) -> Column:
    return Column(metric, "undefended", scale, attack, place)


_MEMBERSHIP = {
    f"P1: {mode} {name}": _undefended(f"lira_{mode.lower()}.{metric}", "lira", scale)
    for mode in ("Offline", "Online")
    for name, metric, scale in (
        ("Acc_fix", "balanced_accuracy", 100.0),
        ("AUC", "auc", 1.0),
        ("TPR@1%FPR", "tpr_at_1pct_fpr", 100.0),
    )
}
_ATTRIBUTES = {
    f"{name}({attribute})": Column(metric, "defended", scale)
    for attribute, metrics in (
        ("Race", ("race.balanced_accuracy", "race.auc")),
        ("Sex", ("sex.balanced_accuracy|gender.balanced_accuracy", "sex.auc|gender.auc")),
    )
    for name, metric, scale in (("Acc_att", metrics[0], 100.0), ("AUC", metrics[1], 1.0))
}

# Each risk has a recipe of its own there, and membership inference even another task.
_LOOSE = ("attack.", "model.", "metric.", "optimizer.", "schedule", "epochs", "batch_size", "dataset.", "adversary_")

LAYOUTS: Mapping[str, Layout] = {
    "table4": Layout(
        "Table 4: every risk of an undefended model",
        "none",
        "model",
        {
            "Acc_te": _undefended("test_accuracy", "model_extraction"),
            "S1: Acc_rob": _undefended("robust_accuracy", "evasion_pgd"),
            "S2: Acc_pois(M_std)": _undefended("poisoned_accuracy", "badnets", place="baselines"),
            "S2: Acc_te(M_pois)": _undefended("poisoned_test_accuracy", "badnets"),
            "S2: Acc_pois(M_pois)": _undefended("poisoned_accuracy", "badnets"),
            "S3: Acc_te(M_stol)": _undefended("stolen_test_accuracy", "model_extraction"),
            "S3: Fid(M_stol)": _undefended("fidelity", "model_extraction"),
            "S3: Fid_corr(M_stol)": _undefended("correct_fidelity", "model_extraction"),
            "P1: Acc_tr": _undefended("train_accuracy", "lira"),
            "P1: Acc_te": _undefended("test_accuracy", "lira"),
            **_MEMBERSHIP,
            "P2: Acc_att": _undefended(f"{FIRST}.balanced_accuracy", "attribute_inference"),
            "P2: AUC": _undefended(f"{FIRST}.auc", "attribute_inference", 1.0),
            "P3: MSE_avg": _undefended("mse", "model_inversion", 1.0),
            "P3: MSE_0": _undefended("class_0.mse", "model_inversion", 1.0),
            "P3: MSE_1": _undefended("class_1.mse", "model_inversion", 1.0),
        },
        loose=_LOOSE,
        anywhere=True,
        commands="amulet run +experiment=table4",
    ),
    "table6": Layout(
        "Table 6: adversarial training and attribute inference",
        "adv_training",
        "defense.epsilon",
        {
            "Acc_te": Column("test_accuracy"),
            "Acc_rob(M_std)": Column("robust_accuracy", "undefended"),
            "Acc_rob(M_def)": Column("robust_accuracy"),
            **_ATTRIBUTES,
        },
        attack="attribute_inference",
        commands="amulet run +experiment=table6_census",
    ),
    "table7": Layout(
        "Table 7: adversarial training and model extraction",
        "adv_training",
        "defense.epsilon",
        {
            "Acc_te(M_def)": Column("test_accuracy"),
            "Acc_rob(M_std)": Column("robust_accuracy", "undefended"),
            "Acc_rob(M_def)": Column("robust_accuracy"),
            "M_stol: Acc_te": Column("stolen_test_accuracy"),
            "M_stol: Fid": Column("fidelity"),
            "M_stol: Fid_cor": Column("correct_fidelity"),
        },
        attack="model_extraction",
        commands="amulet run +experiment=table7_census",
    ),
    "table8": Layout(
        "Table 8: outlier removal and model extraction",
        "outlier_removal",
        "defense.percent",
        {
            "Acc_te": Column("test_accuracy"),
            "M_stol: Acc_te": Column("stolen_test_accuracy"),
            "M_stol: Fid": Column("fidelity"),
            # Its numbers are the share of records on which both models agree and are right, not a conditional one.
            "M_stol: Fid_corr": Column("agreement_and_correct"),
        },
        attack="model_extraction",
        commands="amulet run +experiment=table8_census",
    ),
    "in_text": Layout(
        "In the text of Section 6.1",
        "none",
        "model",
        {
            "S1: Acc_rob": _undefended("robust_accuracy", "evasion_pgd"),
            "S2: Acc_pois(M_pois)": _undefended("poisoned_accuracy", "badnets"),
            "P2: Acc_att(Race)": _undefended("race.balanced_accuracy", "attribute_inference"),
            "P2: Acc_att(Sex)": _undefended("sex.balanced_accuracy", "attribute_inference"),
        },
        stand_ins={"mnist": "fmnist"},
        loose=_LOOSE,
        commands="amulet run +experiment=in_text",
    ),
}
FIGURES: Mapping[str, tuple[str, str, str]] = {
    "figure3": ("table8", "M_stol: Fid", "Figure 3: accuracy of M_def and fidelity of M_stol"),
    "figure4": ("table8", "M_stol: Fid_corr", "Figure 4: accuracy of M_def and correct fidelity of M_stol"),
}
"""The table whose runs they show, the column beside Acc_te, the title."""
