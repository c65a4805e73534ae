"""The one codec: the leads of an ECG ⇄ the bytes that are stored of them.

Layout, format 1::

    byte 0   the number of the format, so that it can change
    rest     one Zstandard frame with content size and checksum, around

        uint32                 number of leads
        (uint8, uint64) each   dtype code and number of samples of every lead, in order
        one stream a dtype     all samples of the leads of that dtype, lead after lead

Everything is little-endian. The frame's checksum covers the table as well as the samples. In the
streams of integers a sample is the difference from the one before it, modulo the width of the type
and zigzag-coded (0, -1, 1, -2 → 0, 1, 2, 3), and all low bytes come before all high ones: of an ECG
the high bytes are nearly all zero. Twelve leads of 5,000 samples took 0.63 byte a sample; 1.08 as
they are, 0.82 without the zigzag. Floats are stored as they are: the decimals that an ECG consists
of repeat a few thousand bit patterns, 1.8 bytes a sample, which shuffling their bytes tore apart to
5.3; only noise of full precision would gain by it (6.6 instead of 7.6).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import zstandard
from numpy.typing import NDArray

from shared.errors import DamagedSignal

FORMAT = 1

# A dtype's place here is its code in the table of leads: append, never reorder.
_DTYPES = tuple(np.dtype(name) for name in ("<i1", "<i2", "<i4", "<i8", "<f8"))
_FLOAT = 4
_INTEGERS = tuple(
    (dtype, int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)) for dtype in _DTYPES[:_FLOAT]
)
_NUMBER_OF_LEADS = np.dtype("<u4")
_LEAD = np.dtype([("code", "u1"), ("number_of_samples", "<u8")])

_LEVEL = 1
# The densest block of a Zstandard frame (RFC 8878): 4 bytes that stand for 128 KiB.
_MOST_EXPANSION = 128 * 1024 // 4
# Integers pass through in blocks that stay in the processor's cache.
_BLOCK = 1 << 15


def narrowest(samples: NDArray[np.signedinteger[Any]]) -> NDArray[np.signedinteger[Any]]:
    """Cast samples to the narrowest signed integer type that holds every one of them exactly.

    Parameters
    ----------
    samples : ndarray of int8, int16, int32 or int64, any shape

    Returns
    -------
    ndarray of int8, int16, int32 or int64
        int8 when there are no samples. The input itself, not a copy, when it is narrowest already.
    """
    lowest, highest = (int(samples.min()), int(samples.max())) if samples.size else (0, 0)
    fitting = (dtype for dtype, low, high in _INTEGERS if low <= lowest and highest <= high)
    return samples.astype(next(fitting), copy=False)


def encode(leads: Sequence[NDArray[Any]]) -> bytes:
    """Make the bytes to store of all leads of one ECG.

    Parameters
    ----------
    leads : sequence of ndarray, each of shape (number_of_samples,)
        int8, int16, int32, int64 or float64, of any byte order, contiguous or not; lengths and
        types may differ from lead to lead. Left alone. Integers are stored in their narrowest exact
        type, floats bit by bit (-0.0 included).

    Raises
    ------
    TypeError
        A lead is no array, or of another dtype.
    ValueError
        A lead has not exactly one dimension.
    """
    stored = [_as_stored(lead) for lead in leads]
    table = np.empty(len(stored), _LEAD)
    table["code"] = [_code(lead.dtype) for lead in stored]
    table["number_of_samples"] = [lead.size for lead in stored]

    table_end = _NUMBER_OF_LEADS.itemsize + table.nbytes
    content = np.empty(table_end + sum(lead.nbytes for lead in stored), np.uint8)
    content[:table_end] = np.frombuffer(
        len(stored).to_bytes(_NUMBER_OF_LEADS.itemsize, "little") + table.tobytes(), np.uint8
    )
    position = table_end
    for code, dtype in enumerate(_DTYPES):
        alike = [lead for lead in stored if lead.dtype == dtype]
        if not alike:
            continue
        stream = content[position : position + sum(lead.nbytes for lead in alike)]
        position += stream.size
        if code == _FLOAT:
            np.concatenate(alike, out=stream.view(dtype))
        else:
            _write_integers(alike, stream.reshape(dtype.itemsize, -1))

    # A compressor must not be shared between threads; a new one costs some 10 µs.
    compressor = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True)
    return bytes([FORMAT]) + compressor.compress(content.data)


def decode(blob: bytes) -> list[NDArray[Any]]:
    """Give back the leads that `encode` was given, in order and bit for bit.

    Parameters
    ----------
    blob : bytes
        What `encode` returned.

    Returns
    -------
    list of ndarray, each of shape (number_of_samples,)
        float64 as it was; integers in the narrowest of int8, int16, int32 and int64 that is exact,
        so perhaps narrower than they were. Writable. Leads of one dtype are slices of one array
        and keep it alive together.

    Raises
    ------
    DamagedSignal
        The bytes are not, or no longer, what `encode` made: cut, changed, prolonged, or of a format
        unknown here. No size they claim is believed, nor memory taken for it, before it is held
        against the bytes that are there. Damage in the few bits of a frame that carry nothing goes
        unnoticed; the leads are then the right ones.
    """
    content = _decompress(blob)
    table = _read_table(content)
    codes, lengths = table["code"].tolist(), table["number_of_samples"].tolist()
    samples_alike = [0] * len(_DTYPES)
    for code, length in zip(codes, lengths, strict=True):
        samples_alike[code] += length

    streams: list[NDArray[Any]] = []
    position = _NUMBER_OF_LEADS.itemsize + table.nbytes
    for dtype, number in zip(_DTYPES, samples_alike, strict=True):
        stream = content[position : position + number * dtype.itemsize]
        position += stream.size
        if len(streams) == _FLOAT:
            streams.append(stream.view(dtype).copy())
        else:
            streams.append(_read_integers(stream.reshape(dtype.itemsize, -1), dtype))

    leads = []
    taken = [0] * len(_DTYPES)
    for code, length in zip(codes, lengths, strict=True):
        leads.append(streams[code][taken[code] : taken[code] + length])
        taken[code] += length
    return leads


def _as_stored(lead: NDArray[Any]) -> NDArray[Any]:
    if not isinstance(lead, np.ndarray):
        raise TypeError("a lead is an array")
    if lead.ndim != 1:
        raise ValueError(f"a lead has one dimension, not {lead.ndim}")
    if lead.dtype.kind == "i":
        return narrowest(lead)
    if lead.dtype.kind == "f" and lead.dtype.itemsize == 8:
        return lead.astype(_DTYPES[_FLOAT], copy=False)
    raise TypeError(f"a lead is of signed integers or float64, not {lead.dtype}")


def _code(dtype: np.dtype[Any]) -> int:
    return _FLOAT if dtype.kind == "f" else dtype.itemsize.bit_length() - 1


def _blocks(number_of_samples: int) -> Iterator[slice]:
    for start in range(0, number_of_samples, _BLOCK):
        yield slice(start, min(start + _BLOCK, number_of_samples))


def _write_integers(leads: Sequence[NDArray[Any]], planes: NDArray[np.uint8]) -> None:
    """Fill planes, shape (bytes a sample, samples), from leads of one integer type."""
    dtype = leads[0].dtype
    # The zero in front is what the very first sample differs from.
    samples = np.concatenate([np.zeros(1, dtype), *leads])
    for block in _blocks(samples.size - 1):
        difference = samples[block.start + 1 : block.stop + 1] - samples[block]
        zigzag = (difference << 1) ^ (difference >> (8 * dtype.itemsize - 1))
        for place, plane in enumerate(planes):
            np.copyto(plane[block], zigzag >> (8 * place), casting="unsafe")


def _read_integers(planes: NDArray[np.uint8], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Undo `_write_integers`: one array, shape (samples,), of all leads of that type."""
    unsigned = np.dtype(f"<u{dtype.itemsize}")
    samples = np.empty(planes.shape[1], unsigned)
    for block in _blocks(samples.size):
        zigzag = planes[0, block].astype(unsigned)
        for place in range(1, dtype.itemsize):
            zigzag |= planes[place, block].astype(unsigned) << (8 * place)
        difference = (zigzag >> 1) ^ -(zigzag & 1)
        if block.start:
            # Slices: a scalar that comes round would warn, an array does not.
            difference[:1] += samples[block.start - 1 : block.start]
        np.cumsum(difference, out=samples[block], dtype=unsigned)
    return samples.view(dtype)


def _decompress(blob: bytes) -> NDArray[np.uint8]:
    if not blob:
        raise DamagedSignal("The stored samples are empty.")
    if blob[0] != FORMAT:
        raise DamagedSignal("The stored samples are of a format unknown here.")
    frame = memoryview(blob)[1:]
    try:
        parameters = zstandard.get_frame_parameters(frame)
        # An unknown content size reads as 2**64 - 1, and is refused here too.
        if parameters.content_size > len(frame) * _MOST_EXPANSION or not parameters.has_checksum:
            raise DamagedSignal("The stored samples are damaged: their frame is not one of ours.")
        content = zstandard.ZstdDecompressor().decompress(frame, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise DamagedSignal("The stored samples are damaged: their checksum is off.") from error
    return np.frombuffer(content, np.uint8)


def _read_table(content: NDArray[np.uint8]) -> NDArray[Any]:
    """Read dtype code and length of every lead, having held them against the bytes there are."""
    start = _NUMBER_OF_LEADS.itemsize
    number_of_leads = int.from_bytes(content[:start].tobytes(), "little")
    table_end = start + number_of_leads * _LEAD.itemsize
    if content.size < table_end:
        raise DamagedSignal("The stored samples are damaged: their table of leads is cut.")
    table = content[start:table_end].view(_LEAD)
    codes, lengths = table["code"].tolist(), table["number_of_samples"].tolist()
    if max(codes, default=0) >= len(_DTYPES):
        raise DamagedSignal("The stored samples are damaged: a lead is of an unknown type.")
    # Python's integers: no length is so large that the sum comes round to the right one.
    pairs = zip(codes, lengths, strict=True)
    if table_end + sum(_DTYPES[code].itemsize * length for code, length in pairs) != content.size:
        raise DamagedSignal("The stored samples are damaged: their table of leads is wrong.")
    return table
