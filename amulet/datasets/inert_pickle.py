"""Reads arrays and plain containers from a pickle without calling anything that the pickle names."""

import io
import pickle
from typing import Any

import numpy as np


class Array:
    """A placeholder for a numpy array while a pickle is read: keeps what the pickle says about it, and does nothing."""

    __slots__ = ("raw", "state")

    def __init__(self) -> None:
        self.state: Any = None
        self.raw: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def bytes_of(self) -> np.ndarray:
        """The array, if its elements are bytes.

        Raises:
            ValueError: its type, shape and content do not match, or it is not uint8.
        """
        if self.raw is not None:
            content, dtype, shape, order = self.raw
        else:
            _, shape, dtype, fortran, content = self.state
            order = "F" if fortran else "C"
        kind = dtype.kind if isinstance(dtype, _Dtype) else None
        if kind not in ("u1", "|u1", "uint8", b"u1"):
            raise ValueError(f"an array of type {kind!r} instead of bytes")
        order = "F" if order in ("F", b"F") else "C"
        return np.frombuffer(content, np.uint8).reshape([int(size) for size in shape], order=order)


class _Dtype:
    __slots__ = ("kind",)

    def __init__(self, kind: Any) -> None:
        self.kind = kind

    def __setstate__(self, state: Any) -> None:
        """Byte order and similar, which an array of bytes does not need."""


class _Reader(pickle.Unpickler):
    def __init__(self, content: bytes) -> None:
        super().__init__(io.BytesIO(content), encoding="bytes")

        # New functions for every reader: what a pickle sets on them disappears with the reader.
        def ndarray() -> None:
            """Occurs only as an argument."""

        def dtype(kind: Any, *_: Any) -> _Dtype:
            return _Dtype(kind)

        def reconstruct(*_: Any) -> Array:
            return Array()

        def from_buffer(*raw: Any) -> Array:
            array = Array()
            array.raw = raw
            return array

        self.known: dict[tuple[str, str], Any] = {("numpy", "ndarray"): ndarray, ("numpy", "dtype"): dtype}
        for core in ("numpy.core", "numpy._core"):
            self.known[f"{core}.multiarray", "_reconstruct"] = reconstruct
            self.known[f"{core}.numeric", "_frombuffer"] = from_buffer

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        try:
            return self.known[module_name, global_name]
        except KeyError:
            raise Refusal(f"{module_name}.{global_name}") from None


class Refusal(pickle.UnpicklingError):
    """A pickle names something that is not part of an array; the text is its name."""


def read(content: bytes) -> Any:
    """The content of a pickle: builtin containers, texts, numbers, and `Array` for every numpy array.

    Texts of Python 2 are bytes. Nothing that the pickle names is looked up, imported or called.

    Raises:
        Refusal: the pickle names anything that is not part of an array.
        pickle.UnpicklingError: it is damaged.

    >>> read(pickle.dumps({"labels": [1, 2], "data": np.zeros((2, 1), np.uint8)}))["data"].bytes_of().shape
    (2, 1)
    """
    try:
        return _Reader(content).load()
    except pickle.UnpicklingError:
        raise
    except Exception as error:
        raise pickle.UnpicklingError(f"{type(error).__name__}: {error}") from error
