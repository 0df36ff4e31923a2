"""Columns of a results table as Arrow arrays, made without `pa.array`: that would import pandas, which takes longer than most tables do."""

from collections.abc import Sequence
from typing import Any

import numpy as np


def filled(value: Any, kind: Any, size: int) -> Any:
    """One column of `size` rows: an array or list as it is, a single value repeated, None as nulls."""
    import pyarrow as pa

    if value is None:
        return pa.nulls(size, kind)
    if pa.types.is_dictionary(kind):
        return _words(list(value) if np.ndim(value) else [value] * size)
    numeric, known = kind.to_pandas_dtype(), np.ones(size, dtype=bool)
    if isinstance(value, list | tuple):
        known = np.array([entry is not None for entry in value])
        value = np.array([0 if entry is None else entry for entry in value])
    elif hasattr(value, "mask"):  # a numpy.ma array, whose module would take a while to import
        value, known = value.filled(0), ~np.ma.getmaskarray(value)
    whole = value if np.ndim(value) else np.full(size, value)
    return _numbers(whole.astype(numeric), known) if np.can_cast(whole.dtype, numeric) else pa.array(whole, type=kind)


def _numbers(values: np.ndarray, known: np.ndarray) -> Any:
    """Numbers, null where they are not known."""
    import pyarrow as pa

    bits = None if known.all() else pa.py_buffer(np.packbits(known, bitorder="little"))
    whole = np.ascontiguousarray(values)
    return pa.Array.from_buffers(pa.from_numpy_dtype(whole.dtype), len(whole), [bits, pa.py_buffer(whole)])


def _words(values: Sequence[Any]) -> Any:
    """Texts as codes of the different ones, in the order of their first appearance."""
    import pyarrow as pa

    if not all(type(value) is str for value in values):
        return pa.array(values, type=pa.string()).dictionary_encode()
    codes = {word: i for i, word in enumerate(dict.fromkeys(values))}
    encoded = [word.encode() for word in codes]
    ends = np.cumsum([0, *map(len, encoded)], dtype=np.int32)
    words = pa.Array.from_buffers(pa.string(), len(codes), [None, pa.py_buffer(ends), pa.py_buffer(b"".join(encoded))])
    return pa.DictionaryArray.from_arrays(
        _numbers(np.array([codes[value] for value in values], np.int32), np.ones(len(values), dtype=bool)), words
    )
