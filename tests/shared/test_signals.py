"""The codec gives back what it was given, or says that the bytes are damaged: nothing between."""

from __future__ import annotations

import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from shared.errors import DamagedSignal
from shared.signals import FORMAT, decode, encode, narrowest

INTEGERS = [np.int8, np.int16, np.int32, np.int64]
CODES = ["i1", "i2", "i4", "i8", "f8"]

dtypes = st.sampled_from([order + code for order in "<>" for code in CODES])
leads_of_an_ecg = st.lists(hnp.arrays(dtypes, st.integers(0, 50)), max_size=5)


def assert_equal_to_the_bit(decoded: list[NDArray[Any]], leads: list[NDArray[Any]]) -> None:
    assert len(decoded) == len(leads)
    for got, lead in zip(decoded, leads, strict=True):
        assert got.shape == lead.shape
        assert got.dtype == (np.float64 if lead.dtype.kind == "f" else narrowest(lead).dtype)
        # As bytes: -0.0 is not 0.0, and a NaN is equal to itself.
        native = lead.dtype.newbyteorder("=")
        assert got.astype(native).tobytes() == lead.astype(native).tobytes()


@settings(deadline=None)
@given(leads_of_an_ecg)
def test_leads_come_back_to_the_bit_and_in_order(leads: list[NDArray[Any]]) -> None:
    assert_equal_to_the_bit(decode(encode(leads)), leads)


@pytest.mark.parametrize("dtype", INTEGERS)
def test_extremes_side_by_side_come_back(dtype: type[np.signedinteger[Any]]) -> None:
    low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
    lead = np.array([low, high, 0, high, low, -1, 1, low, low], dtype)

    (decoded,) = decode(encode([lead]))

    assert decoded.dtype == dtype
    assert decoded.tolist() == lead.tolist()


def test_float_extremes_and_signed_zeros_come_back() -> None:
    finite = np.finfo(np.float64)
    lead = np.array([0.0, -0.0, finite.max, finite.min, 5e-324, -5e-324, 0.1, 1 / 3])

    assert_equal_to_the_bit(decode(encode([lead])), [lead])


def test_an_ecg_without_leads_comes_back() -> None:
    assert decode(encode([])) == []


def test_empty_leads_keep_their_places_among_the_others() -> None:
    leads = [np.zeros(0, np.int16), np.array([7]), np.zeros(0), np.array([0.5]), np.zeros(0, int)]

    assert [lead.tolist() for lead in decode(encode(leads))] == [[], [7], [], [0.5], []]


def test_ten_thousand_leads_of_every_type_come_back() -> None:
    leads = [np.arange(index % 7).astype(CODES[index % 5]) for index in range(10_000)]

    blob = encode(leads)

    assert_equal_to_the_bit(decode(blob), leads)
    assert len(blob) < 60_000


@pytest.mark.parametrize("number_of_samples", [32_767, 32_768, 32_769, 100_000])
def test_long_leads_come_back_across_the_borders_of_blocks(number_of_samples: int) -> None:
    random = np.random.default_rng(number_of_samples)
    leads = [
        np.frombuffer(random.bytes(8 * number_of_samples), code)[:number_of_samples]
        for code in CODES
    ]

    assert_equal_to_the_bit(decode(encode(leads)), leads)


def test_strided_and_read_only_leads_are_read_where_they_lie() -> None:
    matrix = np.arange(-30, 30, dtype=np.int16).reshape(20, 3)
    matrix.flags.writeable = False

    assert_equal_to_the_bit(
        decode(encode([*matrix.T, matrix[::-2, 1]])), [*matrix.T, matrix[::-2, 1]]
    )


@settings(deadline=None)
@given(leads_of_an_ecg)
def test_encoding_leaves_its_input_alone(leads: list[NDArray[Any]]) -> None:
    before = [lead.tobytes() for lead in leads]

    encode(leads)

    assert [lead.tobytes() for lead in leads] == before


def test_decoded_leads_can_be_written_without_changing_each_other() -> None:
    first, second = decode(encode([np.array([1, 2]), np.array([3, 4])]))

    first[:] = 0

    assert second.tolist() == [3, 4]


def test_a_smooth_lead_takes_less_than_a_byte_a_sample() -> None:
    seconds = np.arange(60_000) / 500
    lead = np.round(800 * np.sin(2 * np.pi * 1.2 * seconds)).astype(np.int16)

    assert len(encode([lead])) < 0.7 * lead.size


@pytest.mark.parametrize(
    ("samples", "dtype"),
    [
        ([], np.int8),
        ([0], np.int8),
        ([-128, 127], np.int8),
        ([128], np.int16),
        ([-129], np.int16),
        ([-(2**15), 2**15 - 1], np.int16),
        ([2**15], np.int32),
        ([-(2**31), 2**31 - 1], np.int32),
        ([-(2**31) - 1], np.int64),
        ([-(2**63), 2**63 - 1], np.int64),
    ],
)
def test_samples_are_narrowed_as_far_as_they_stay_exact(
    samples: list[int], dtype: type[np.signedinteger[Any]]
) -> None:
    narrowed = narrowest(np.array(samples, np.int64))

    assert narrowed.dtype == dtype
    assert narrowed.tolist() == samples


@pytest.mark.parametrize("dtype", ["u1", "?", "f2", "f4", "g", "c16", "U1", "S1", "O", "m8[s]"])
def test_a_lead_of_another_type_is_a_programming_error(dtype: str) -> None:
    with pytest.raises(TypeError):
        encode([np.array([1]), np.zeros(3, dtype)])


def test_a_lead_that_is_no_array_of_one_dimension_is_a_programming_error() -> None:
    with pytest.raises(TypeError):
        encode([[1, 2]])  # type: ignore[list-item]
    for lead in (np.array(1), np.array([[1, 2]])):
        with pytest.raises(ValueError, match="one dimension"):
            encode([lead])


def test_threads_may_encode_and_decode_at_the_same_time() -> None:
    ecgs = [[np.arange(index, 5_000 + index)] * 3 for index in range(40)]

    with ThreadPoolExecutor(4) as pool:
        for leads, decoded in zip(
            ecgs, pool.map(lambda ecg: decode(encode(ecg)), ecgs), strict=True
        ):
            assert_equal_to_the_bit(decoded, leads)


LEADS_OF_ALL_KINDS: list[NDArray[Any]] = [
    np.array([3, -4, 5, 0, 0, 90], np.int8),
    np.zeros(0, np.int32),
    np.arange(-300, 300, 7),
    np.array([0.25, -0.0, 1e300]),
]


def assert_damaged_or_the_same(blob: bytes, leads: list[NDArray[Any]]) -> bool:
    """Say whether the damage was noticed; damage that changed nothing need not be."""
    try:
        decoded = decode(blob)
    except DamagedSignal:
        return True
    assert_equal_to_the_bit(decoded, leads)
    return False


def test_every_single_flipped_bit_is_noticed_or_changes_nothing() -> None:
    blob = encode(LEADS_OF_ALL_KINDS)
    noticed = 0

    for bit in range(8 * len(blob)):
        flipped = bytearray(blob)
        flipped[bit // 8] ^= 1 << (bit % 8)
        noticed += assert_damaged_or_the_same(bytes(flipped), LEADS_OF_ALL_KINDS)

    # A frame's header has one bit without a meaning.
    assert noticed >= 8 * len(blob) - 1


@settings(deadline=None)
@given(leads_of_an_ecg, st.data())
def test_random_damage_is_noticed_or_changes_nothing(
    leads: list[NDArray[Any]], data: st.DataObject
) -> None:
    damaged = bytearray(encode(leads))
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))

    assert_damaged_or_the_same(bytes(damaged), leads)


@settings(deadline=None)
@given(leads_of_an_ecg, st.binary(min_size=1, max_size=20))
def test_bytes_behind_the_end_are_damage(leads: list[NDArray[Any]], more: bytes) -> None:
    with pytest.raises(DamagedSignal):
        decode(encode(leads) + more)


def test_a_signal_cut_anywhere_is_damaged() -> None:
    blob = encode(LEADS_OF_ALL_KINDS)

    for end in range(len(blob)):
        with pytest.raises(DamagedSignal):
            decode(blob[:end])


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_any_other_bytes_are_damaged(noise: bytes) -> None:
    for blob in (noise, bytes([FORMAT]) + noise, bytes([FORMAT]) + b"\x28\xb5\x2f\xfd" + noise):
        with pytest.raises(DamagedSignal):
            decode(blob)


def frame(content: bytes, *, checksum: bool = True, size: bool = True) -> bytes:
    compressor = zstandard.ZstdCompressor(write_checksum=checksum, write_content_size=size)
    return bytes([FORMAT]) + compressor.compress(content)


def lead_of(code: int, number_of_samples: int) -> bytes:
    return bytes([code]) + number_of_samples.to_bytes(8, "little")


FORGERIES = {
    "unknown format": bytes([FORMAT + 1]) + encode([])[1:],
    "no content": frame(b""),
    "more leads than bytes": frame(b"\xff\xff\xff\xff" + lead_of(0, 0)),
    "half a lead": frame(b"\2\0\0\0" + lead_of(0, 0) + b"\0" * 4),
    "unknown dtype": frame(b"\1\0\0\0" + lead_of(5, 0)),
    "2**60 samples": frame(b"\1\0\0\0" + lead_of(0, 2**60) + b"\0" * 100),
    "lengths that come round": frame(b"\2\0\0\0" + lead_of(1, 2**63) + lead_of(0, 3) + b"\0" * 3),
    "fewer samples than there are": frame(b"\1\0\0\0" + lead_of(1, 1) + b"\0" * 4),
    "half a sample": frame(b"\1\0\0\0" + lead_of(1, 1) + b"\0" * 3),
    "no checksum": frame(b"\0\0\0\0", checksum=False),
    "no content size": frame(b"\0\0\0\0", size=False),
    "two frames": frame(b"\0\0\0\0") + frame(b"")[1:],
    "a skippable frame": bytes([FORMAT]) + b"\x50\x2a\x4d\x18\4\0\0\0abcd",
    # Single segment, checksum, content size in 8 bytes: more than anybody has.
    "2**60 bytes": bytes([FORMAT]) + b"\x28\xb5\x2f\xfd\xe4" + (2**60).to_bytes(8, "little") * 9,
}


@pytest.mark.parametrize("blob", FORGERIES.values(), ids=FORGERIES.keys())
def test_a_forged_signal_is_refused_before_memory_is_taken_for_it(blob: bytes) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(DamagedSignal):
            decode(blob)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak_bytes < 100_000
