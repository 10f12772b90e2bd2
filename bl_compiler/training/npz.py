"""Reading arrays from `.npz` files, every failure a diagnostic.

Invariant: nothing is unpickled, and only the arrays asked for are read. May import: floors 0-1, numpy.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bl_compiler.diagnostics import Sink
from bl_compiler.suggest import similar_file

Array = NDArray[np.generic]

_MOST = 120
"""The characters of another program's message that are shown."""


@dataclass(frozen=True, slots=True)
class NpzFile:
    """The arrays of a file that were asked for, and the names of all it holds."""

    path: str
    names: tuple[str, ...]
    arrays: dict[str, Array]


def read_npz(path: str, wanted: Collection[str] | None, sink: Sink) -> NpzFile | None:
    """The arrays named `wanted` (all for None) that the file holds, or None after an error on the sink."""
    if not _looks_right(path, sink):
        return None
    try:
        with Path(path).open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
            names = tuple(archive.files)
            arrays: dict[str, Array] = {}
            for name in names:
                if wanted is None or name in wanted:
                    array = _member(archive, name, path, sink)
                    if array is None:
                        return None
                    arrays[name] = array
    except Exception as fault:  # noqa: BLE001 - a damaged file makes zipfile and NumPy raise almost anything
        sink.error("BLC0010", f"`{path}` is not a complete .npz file: {_reason(fault)}").help(
            "write it again with `numpy.savez`; an interrupted download or copy leaves such files"
        )
        return None
    return NpzFile(path, names, arrays)


def _looks_right(path: str, sink: Sink) -> bool:
    try:
        with Path(path).open("rb") as file:
            head = file.read(6)
    except (OSError, ValueError) as fault:
        error = sink.error("BLC0010", f"cannot read `{path}`: {_reason(fault)}")
        close = similar_file(path)
        if close:
            error.help(f"did you mean `{close}`?")
        return False
    if head[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
        return True
    if head == b"\x93NUMPY":
        sink.error("BLC0010", f"`{path}` holds one array without a name (.npy)").help(
            "give arrays the names of the model's inputs: `numpy.savez('data.npz', x=x, y=y)`"
        )
    else:
        what = "is empty" if not head else "is not an .npz file"
        sink.error("BLC0010", f"`{path}` {what}").help(
            "write arrays under the names of the model's inputs: `numpy.savez('data.npz', x=x, y=y)`"
        )
    return False


def _member(archive: np.lib.npyio.NpzFile, name: str, path: str, sink: Sink) -> Array | None:
    try:
        found = archive[name]
    except MemoryError:
        sink.error("BLC0010", f"array `{name}` of `{path}` does not fit into memory").help(
            "store it in a smaller dtype, or fewer examples"
        )
        return None
    except Exception as fault:  # noqa: BLE001 - as above: the header of an array is a Python literal
        if "allow_pickle" in str(fault) or "Object arrays" in str(fault):
            sink.error("BLC0010", f"array `{name}` of `{path}` holds Python objects").help(
                "store arrays of numbers: unpickling objects could run any code, so `blc` never does"
            )
        else:
            sink.error("BLC0010", f"array `{name}` of `{path}` cannot be read: {_reason(fault)}").help(
                "write the file again with `numpy.savez`"
            )
        return None
    # A member that is not an array comes as bytes, and bytes are no array of numbers either.
    return np.asarray(found)


def _reason(fault: BaseException) -> str:
    text = (getattr(fault, "strerror", None) or str(fault) or type(fault).__name__).split("\n")[0]
    # Addresses differ from run to run, and NumPy may quote a whole header.
    text = re.sub(r" at 0x[0-9a-f]+", "", text).rstrip(".")
    text = text if len(text) <= _MOST else f"{text[:_MOST]}…"
    return text[:1].lower() + text[1:] if text[1:2].islower() else text
