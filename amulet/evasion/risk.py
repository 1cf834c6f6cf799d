"""S1, registered."""

from amulet.core.risk import Risk, register_risk

RISK = register_risk(
    Risk(
        name="evasion",
        code="S1",
        title="evasion",
        protocol="amulet.evasion.protocol",
    )
)
