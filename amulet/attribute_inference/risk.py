"""P2, registered."""

from amulet.core.risk import Risk, register_risk

RISK = register_risk(
    Risk(
        name="attribute_inference",
        code="P2",
        title="attribute inference",
        protocol="amulet.attribute_inference.protocol",
    )
)
