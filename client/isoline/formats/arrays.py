"""numpy's own files: `.npy`, one array, and `.npz`, an array for each lead or one of them all."""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Iterator
from pathlib import Path
from tokenize import TokenError
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from isoline.ecg import Ecg, Lead
from isoline.errors import UnreadableFile
from isoline.formats import Found
from isoline.formats.bounds import check_samples
from isoline.formats.layouts import TIME
from isoline.formats.rates import AnotherRate, agreed
from isoline.formats.times import find_times, seem_times

# Names in a `.npz` that stand for what they say, and for no lead.
_RATES = ("sampling_rate", "sampling_rate_hz", "fs")
_NUMBERS = {*_RATES, "gain", "baseline"}
# In how many bytes the length of the header is written, by version of the format.
_BYTES_OF_LENGTH = {(1, 0): 2, (2, 0): 4, (3, 0): 4}
# That of an array of numbers takes a hundred or two.
_LONGEST_HEADER = 2**16
# What numpy writes. Of others zipfile unpacks, for one byte, whatever a few kilobytes stand for.
_PACKED = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}


def read(path: Path, sampling_rate_hz: float | None) -> Iterator[Found]:
    """Read integers as counts, anything else as decimals; the longer axis is that of time."""
    if path.suffix.lower() == ".npy":
        with path.open("rb") as file:
            arrays = {"": _load(file, path.stat().st_size)}
    else:
        arrays = _load_all(path)
    numbers = {name: _number(name, arrays.pop(name)) for name in _NUMBERS & arrays.keys()}
    rates = {numbers[name] for name in _RATES if name in numbers}
    if len(rates) > 1:
        raise UnreadableFile("It gives more than one sampling rate.")
    rate = rates.pop() if rates else None
    # By name they have no order: times go first, as `find_times` looks for them there.
    by_name = sorted(arrays.items(), key=lambda item: not TIME.match(item[0]))
    columns = [column for name, array in by_name for column in _columns(name, array)]
    rate_hz, leads = _without_times(columns, rate, sampling_rate_hz)
    if not leads:
        raise UnreadableFile("There is no signal in it.")
    yield (
        None,
        Ecg(
            leads,
            sampling_rate=rate_hz,
            gain=numbers.get("gain"),
            baseline=numbers.get("baseline"),
        ),
    )


def _load_all(path: Path) -> dict[str, NDArray[Any]]:
    """Read all arrays of an archive, having added up what their headers claim."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            names = [member.filename.removesuffix(".npy") for member in members]
            if len(set(names)) < len(names):
                raise UnreadableFile("Two of its arrays have the same name.")
            if any(member.compress_type not in _PACKED for member in members):
                raise UnreadableFile("It is compressed in a way that numpy does not write.")
            claimed = 0
            for member in members:
                with archive.open(member) as file:
                    claimed += math.prod(_read_header(file)[0])
            check_samples(claimed)
            arrays = {}
            for name, member in zip(names, members, strict=True):
                with archive.open(member) as file:
                    arrays[name] = _load(file, member.file_size)
            return arrays
    except zipfile.BadZipFile:
        raise UnreadableFile("It is no .npz file, or damaged.") from None


def _read_header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, whether it is in Fortran's order, and type; nothing but numbers is let through."""
    try:
        version = npy.read_magic(file)
        if version not in _BYTES_OF_LENGTH:
            major, minor = version
            raise UnreadableFile(
                f"It is written in version {major}.{minor} of numpy's format, which is not read."
            )
        length = file.read(_BYTES_OF_LENGTH[version])
        # numpy would ask for memory for it first, and then look whether it is too long.
        promised = int.from_bytes(length, "little")
        if promised > _LONGEST_HEADER:
            raise UnreadableFile(
                f"Its header is {promised:,} bytes long, and {_LONGEST_HEADER:,} are the most."
            )
        read_it = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, is_fortran, dtype = read_it(io.BytesIO(length + file.read(promised)))
    # What its header is written in is Python.
    except (ValueError, SyntaxError, TokenError):
        raise UnreadableFile("It is no array of numpy's.") from None
    if dtype.kind not in "iuf" or dtype.itemsize > 8:
        raise UnreadableFile(f"It holds {dtype}, not numbers that can be sent.")
    if any(length < 0 for length in shape):
        raise UnreadableFile("It is no array of numpy's.")
    return shape, is_fortran, dtype


def _load(file: IO[bytes], size: int) -> NDArray[Any]:
    """Read one array, having held what its header claims against its size."""
    shape, is_fortran, dtype = _read_header(file)
    claimed = math.prod(shape) * dtype.itemsize
    if claimed > size:
        raise UnreadableFile("It is shorter than its header says.")
    check_samples(math.prod(shape))
    content = file.read(claimed)
    if len(content) != claimed:
        raise UnreadableFile("It is shorter than its header says.")
    if file.read(1):
        raise UnreadableFile("It is longer than its header says.")
    order = "F" if is_fortran else "C"
    return np.frombuffer(content, dtype).reshape(shape, order=order)  # type: ignore[call-overload,no-any-return]


def _number(name: str, array: NDArray[Any]) -> float:
    number = float(array.reshape(-1)[0]) if array.size == 1 else math.nan
    if not math.isfinite(number) or (number <= 0 and name != "baseline"):
        raise UnreadableFile(f"Its {name} is not one number that can be used.")
    return number


def _columns(name: str, array: NDArray[Any]) -> Iterator[tuple[str, NDArray[Any]]]:
    """Its leads, or times, and what they are called; of an array without a name that is nothing."""
    if array.ndim not in (1, 2):
        hint = "; a sampling rate is called fs" if name and array.ndim == 0 else ""
        which = f"Array {name}" if name else "The array"
        raise UnreadableFile(
            f"{which} has {array.ndim} dimensions, and leads have one or two{hint}."
        )
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise UnreadableFile("Some samples are NaN or infinite, and nothing stands for that.")
    if array.ndim == 1:
        yield name, array
        return
    if array.shape[0] == array.shape[1] > 1:
        raise UnreadableFile(
            "It is as long as it is wide: nothing says which axis is that of time."
        )
    by_lead = array.T if array.shape[0] >= array.shape[1] else array
    for number, samples in enumerate(by_lead, start=1):
        yield f"{name} {number}" if name else "", samples


def _without_times(
    columns: list[tuple[str, NDArray[Any]]], stated_hz: float | None, given_hz: float | None
) -> tuple[float | None, list[Lead]]:
    """The sampling rate, and the leads: what is left where there are times, as in a table.

    Raises
    ------
    UnreadableFile : the times are not those of the leads or of the rate, or something seems to be
        times and is not called so.
    """
    if not columns:
        return None, []
    rate_hz = agreed(stated_hz, given_hz)
    names, arrays = [name for name, _ in columns], [array for _, array in columns]
    try:
        rate_hz, first = find_times(names if any(names) else None, arrays, rate_hz)
    except AnotherRate:
        if stated_hz is None:
            raise
        raise UnreadableFile("Its times are those of another sampling rate than it says.") from None
    leads = []
    for number, (name, samples) in enumerate(columns[first:], start=1):
        lead = Lead(name or f"{number}", samples)
        if seem_times(samples, is_first_of_several=number == 1 and first == 0 < len(columns) - 1):
            raise UnreadableFile(
                f"Lead {lead.name} only goes up, as times and numbers of rows do: times are known "
                "by their name, 'time', in .npz."
            )
        if first and samples.size != arrays[0].size:
            raise UnreadableFile(
                f"There are {arrays[0].size} times, and {samples.size} samples of lead {lead.name}."
            )
        leads.append(lead)
    return rate_hz, leads
