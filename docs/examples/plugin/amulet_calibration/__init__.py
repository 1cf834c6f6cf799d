"""The risk X1, registered. Amulet imports this module at every start: it imports nothing heavy itself."""

from amulet.core.risk import Risk, register_risk

CALIBRATION = register_risk(
    Risk(name="calibration", code="X1", title="miscalibration", protocol="amulet_calibration.protocol")
)
