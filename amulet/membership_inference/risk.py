"""P1, registered."""

from amulet.core.risk import Risk, register_risk

RISK = register_risk(
    Risk(
        name="membership_inference",
        code="P1",
        title="membership inference",
        protocol="amulet.membership_inference.protocol",
        retrains=True,
    )
)
