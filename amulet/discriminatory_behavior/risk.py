"""F, registered."""

from amulet.core.risk import Risk, register_risk

RISK = register_risk(
    Risk(
        name="discriminatory_behavior",
        code="F",
        title="discriminatory behavior",
        protocol="amulet.discriminatory_behavior.protocol",
        aliases=("fairness",),
    )
)
