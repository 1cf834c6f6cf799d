"""S3, registered."""

from amulet.core.risk import Risk, register_risk

RISK = register_risk(
    Risk(
        name="unauth_model_ownership",
        code="S3",
        title="unauthorized model ownership",
        protocol="amulet.unauth_model_ownership.protocol",
    )
)
