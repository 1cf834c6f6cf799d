"""P3, registered."""

from amulet.core.risk import Risk, register_risk

RISK = register_risk(
    Risk(
        name="data_reconstruction",
        code="P3",
        title="data reconstruction",
        protocol="amulet.data_reconstruction.protocol",
    )
)
