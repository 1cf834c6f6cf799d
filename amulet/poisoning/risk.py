"""S2, registered."""

from amulet.core.risk import Risk, register_risk

RISK = register_risk(
    Risk(
        name="poisoning",
        code="S2",
        title="data poisoning",
        protocol="amulet.poisoning.protocol",
        retrains=True,
    )
)
