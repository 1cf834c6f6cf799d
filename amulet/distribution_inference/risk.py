"""P4, registered."""

from amulet.core.risk import Risk, register_risk

RISK = register_risk(
    Risk(
        name="distribution_inference",
        code="P4",
        title="distribution inference",
        protocol="amulet.distribution_inference.protocol",
        retrains=True,
    )
)
