"""numpy's own files: `.npy`, one array, and `.npz`, an array for each lead or one of them all."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from isoline.ecg import Ecg, Lead
from isoline.errors import UnreadableFile
from isoline.formats import Found

# Names in a `.npz` that stand for what they say, and for no lead.
_RATES = ("sampling_rate", "sampling_rate_hz", "fs")
_NUMBERS = {*_RATES, "gain", "baseline"}
MOST_BYTES = 2**30


def read(path: Path, sampling_rate_hz: float | None) -> Iterator[Found]:
    """Read integers as counts, anything else as decimals; the longer axis is that of time."""
    if path.suffix.lower() == ".npy":
        with path.open("rb") as file:
            arrays = {"": _load(file, path.stat().st_size)}
    else:
        arrays = _load_all(path)
    numbers = {name: float(arrays.pop(name)) for name in _NUMBERS & arrays.keys()}
    rate = next((numbers[name] for name in _RATES if name in numbers), None)
    leads = [lead for name, array in arrays.items() for lead in _leads(name, array)]
    if not leads:
        raise UnreadableFile("There is no signal in it.")
    yield (
        None,
        Ecg(
            leads,
            sampling_rate=sampling_rate_hz or rate,
            gain=numbers.get("gain"),
            baseline=numbers.get("baseline"),
        ),
    )


def _load_all(path: Path) -> dict[str, NDArray[Any]]:
    try:
        with zipfile.ZipFile(path) as archive:
            arrays = {}
            for member in archive.infolist():
                with archive.open(member) as file:
                    arrays[member.filename.removesuffix(".npy")] = _load(file, member.file_size)
            return arrays
    except zipfile.BadZipFile:
        raise UnreadableFile("It is no .npz file.") from None


def _load(file: IO[bytes], size: int) -> NDArray[Any]:
    """Read one array, having held what its header claims against its size."""
    try:
        version = npy.read_magic(file)
        header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, is_fortran, dtype = header(file)
    except ValueError:
        raise UnreadableFile("It is no array of numpy's.") from None
    if dtype.kind not in "iuf":
        raise UnreadableFile(f"It holds {dtype}, not numbers.")
    claimed = dtype.itemsize
    for length in shape:
        claimed *= length
    if claimed > min(size, MOST_BYTES):
        raise UnreadableFile("It is shorter than its header says, or larger than a gigabyte.")
    content = file.read(claimed)
    if len(content) != claimed:
        raise UnreadableFile("It is shorter than its header says.")
    order = "F" if is_fortran else "C"
    return np.frombuffer(content, dtype).reshape(shape, order=order)  # type: ignore[call-overload,no-any-return]


def _leads(name: str, array: NDArray[Any]) -> Iterator[Lead]:
    if array.ndim not in (1, 2):
        raise UnreadableFile(f"An array has {array.ndim} dimensions; a recording has one or two.")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise UnreadableFile("Some samples are NaN or infinite, and nothing stands for that.")
    if array.ndim == 1:
        yield Lead(name or "1", array)
        return
    by_lead = array.T if array.shape[0] >= array.shape[1] else array
    for number, samples in enumerate(by_lead, start=1):
        yield Lead(f"{name} {number}".strip(), samples)
