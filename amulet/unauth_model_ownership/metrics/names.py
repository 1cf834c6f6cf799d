"""The metrics of unauthorized model ownership: what theft yields, and how well ownership is proven."""

from amulet.core.facts import Metric, metrics_of

METRICS = metrics_of(
    "unauth_model_ownership",
    Metric("stolen_test_accuracy", "accuracy of the stolen model", "higher"),
    Metric("fidelity", "test records on which stolen model and victim agree", "higher"),
    Metric("correct_fidelity", "where they agree, share that is correct", "higher"),
    Metric("agreement_and_correct", "test records on which they agree and are correct", "higher"),
    Metric(
        "fidelity_kappa",
        "agreement of stolen model and victim beyond chance",
        "higher",
        decides=True,
        range=(-1.0, 1.0),
    ),
    Metric(
        "ownership_accuracy",
        "suspect models that the owner judges correctly, copies and others alike",
        "lower",
        decides=True,
        verifies=True,
    ),
    Metric(
        "ownership_fpr",
        "claims that succeed and should not: on independent models, and a liar's",
        "higher",
        verifies=True,
    ),
    Metric("ownership_fnr", "copies that the owner misses", "higher", verifies=True),
    Metric("suspect_accuracy", "test accuracy of suspects, which is what hiding cost the thief"),
    Metric("watermark_accuracy", "watermark triggers that an exact copy answers as marked", "lower"),
    Metric("p_value", "p-value of the owner's claim on a copy", "higher", unit="", verifies=True),
    Metric("false_claim_p_value", "p-value of a claim whose labels were chosen afterwards", "lower", unit=""),
    Metric("fingerprint_membership_auc", "AUC of telling training records by their fingerprints", "higher"),
    Metric("fingerprint_attribute_auc", "AUC of telling an attribute by fingerprints", "higher"),
)
