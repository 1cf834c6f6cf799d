"""Victims that are no PyTorch module: scikit-learn, XGBoost, LightGBM, ONNX files, services, predictions."""

from amulet.victims.answering import Answering
from amulet.victims.carriers import Carrier, EstimatorFile, InMemory, Service, carrier_of
from amulet.victims.endpoint import Endpoint
from amulet.victims.estimators import EstimatorRecipe
from amulet.victims.given import GivenVictim, of
from amulet.victims.onnx_file import OnnxFile
from amulet.victims.own_table import OwnTable, encoded
from amulet.victims.recorded import Recorded
from amulet.victims.views import Columns, Frame, View

__all__ = [
    "Answering",
    "Carrier",
    "Columns",
    "Endpoint",
    "EstimatorFile",
    "EstimatorRecipe",
    "Frame",
    "GivenVictim",
    "InMemory",
    "OnnxFile",
    "OwnTable",
    "Recorded",
    "Service",
    "View",
    "carrier_of",
    "encoded",
    "of",
]
