"""A model in an ONNX file."""

from pathlib import Path
from typing import Any

import numpy as np

from amulet.core.errors import DataError, SettingError
from amulet.victims.views import Columns, View

_INSTALL = "an ONNX file needs onnxruntime: pip install 'amulet-cli[onnx]'"


class OnnxFile:
    """Runs an ONNX graph with one input of numbers (n, columns), on one thread of the CPU.

    Its probabilities are the output that is named so or has one column for each class (skl2onnx: export with
    ``options={"zipmap": False}``).

    Raises:
        SettingError: onnxruntime is missing, or the graph has several inputs or no such output.
    """

    def __init__(
        self, path: str | Path, num_classes: int, *, view: View | None = None, content: bytes | None = None
    ) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise SettingError(_INSTALL) from error
        options: Any = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        try:
            self.session: Any = onnxruntime.InferenceSession(
                content or str(path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime has an exception of its own for each kind of damage
            raise DataError(f"{path} cannot be read as ONNX: {str(error).splitlines()[0]}") from error
        self.path, self.num_classes, self.view = path, num_classes, view or Columns()
        inputs, outputs = self.session.get_inputs(), self.session.get_outputs()
        if len(inputs) != 1:
            raise SettingError(f"{path} must have one input, a table of numbers; it has {len(inputs)}")
        self.input = inputs[0].name
        tables = [one for one in outputs if "float" in one.type or "double" in one.type]
        named = [one for one in tables if "prob" in one.name.lower()] or tables
        fitting = [one.name for one in named if one.type.startswith("tensor") and len(one.shape or ()) == 2]
        if len(fitting) != 1:
            raise SettingError(
                f"{path} must have one output of probabilities (n, {num_classes}); it has "
                f"{', '.join(f'{one.name} {one.type}' for one in outputs)}. With skl2onnx: "
                'options={"zipmap": False}'
            )
        self.output = fitting[0]
        self.type = np.float64 if "double" in inputs[0].type else np.float32

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Probabilities (n, classes)."""
        table = np.ascontiguousarray(self.view(x), dtype=self.type)
        return np.asarray(self.session.run([self.output], {self.input: table})[0], dtype=np.float64)
