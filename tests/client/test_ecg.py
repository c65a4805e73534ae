"""An ECG as JSON: whatever numpy calls a number goes out as the same number."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from isoline import Ecg, Lead
from isoline.ecg import encode
from isoline.errors import UnusableEcg

NUMBERS = ["b", "B", "<i2", ">i2", "<u2", ">u4", "<i8", ">i8", "e", "<f4", ">f4", "<f8", ">f8"]


def written(signal: Any) -> Any:
    return json.loads(encode(Ecg([Lead("I", signal)])))["leads"][0]["signal"]


@pytest.mark.parametrize("dtype", NUMBERS)
def test_every_type_and_byte_order_of_an_array(dtype: str) -> None:
    # More than are written in one go; and of decimals, such as need all their digits.
    numbers = np.arange(70_000) % 101
    samples = (numbers / 7 if np.dtype(dtype).kind == "f" else numbers).astype(dtype)
    found = written(samples)
    assert found == [float(one) for one in samples]
    assert {type(one) for one in found} == {float if samples.dtype.kind == "f" else int}


def test_counts_as_large_as_can_be() -> None:
    for dtype in ("i1", "i2", ">i4", "i8", "u8"):
        least, most = np.iinfo(dtype).min, np.iinfo(dtype).max
        assert written(np.array([least, most], dtype)) == [least, most]


@pytest.mark.parametrize("dtype", ["<i2", ">f8"])
def test_arrays_that_do_not_lie_in_one_piece(dtype: str) -> None:
    table = np.arange(3 * 70_000).reshape(70_000, 3).astype(dtype)
    fortran: NDArray[Any] = np.asfortranarray(table)
    views = [table[:, 1], table[::-2, 0], fortran[5], table.T[2], table[:0, 0]]
    read_only = table[:, 2]
    read_only.flags.writeable = False
    for view in (*views, read_only):
        assert written(view) == [int(one) for one in view]


@pytest.mark.parametrize("kind", [np.float64, np.float32, np.float16, np.int8, np.uint64, np.int64])
def test_single_values_of_numpy(kind: Any) -> None:
    assert written([kind(100), 1, kind(100), kind(100)]) == [100, 1, 100, 100]
    assert written((kind(1), 1.5)) == [1, 1.5]
    value = kind(50)
    ecg = Ecg([Lead(np.str_("I"), [1])], sampling_rate=value, gain=value, baseline=value)
    assert json.loads(encode(ecg)) == {
        **dict.fromkeys(("sampling_rate", "gain", "baseline"), 50),
        "leads": [{"name": "I", "signal": [1]}],
    }


@pytest.mark.parametrize("name", ["sampling_rate", "gain", "baseline"])
@pytest.mark.parametrize("value", [math.nan, math.inf, np.float32("-inf")])
def test_what_is_said_of_the_samples_is_finite_or_nothing(name: str, value: Any) -> None:
    # As null it would be read as: nothing is known of it, and a baseline as 0.
    with pytest.raises(UnusableEcg, match=f"{name} is"):
        encode(Ecg([Lead("I", [1])], **{name: value}))


def test_leads_may_come_from_an_iterator() -> None:
    of_three = Ecg(Lead(name, [1, -1]) for name in ("I", "II", "III"))  # type: ignore[arg-type]
    assert len(json.loads(encode(of_three))["leads"]) == 3


def test_a_date_that_is_none_is_not_sent_as_now() -> None:
    with pytest.raises(UnusableEcg, match="date is NaT"):
        encode(Ecg([Lead("I", [1])], date=np.datetime64("NaT")))  # type: ignore[arg-type]


@pytest.mark.parametrize("ecg", [Ecg(None), {"leads": []}, Ecg([("I", [1])]), Ecg(["I"]), None])  # type: ignore[list-item, arg-type]
def test_what_is_no_ecg_is_refused_in_words(ecg: Any) -> None:
    with pytest.raises(UnusableEcg, match=r"isoline\.Ecg"):
        encode(ecg)


def test_what_numpy_has_masked_is_no_zero() -> None:
    masked = np.ma.masked_equal([5, -5, 7], 7)
    signals: list[Any] = [masked, list(masked), [5, 5, np.ma.array(7, mask=True)]]
    for signal in signals:
        with pytest.raises(UnusableEcg, match="sample 2 is not a number"):
            encode(Ecg([Lead("I", signal)]))
    assert written(list(masked[:2])) == [5, -5]
    for name in ("sampling_rate", "gain", "baseline", "date"):
        with pytest.raises(UnusableEcg, match=f"{name} is --"):
            encode(Ecg([Lead("I", [1])], **{name: np.ma.masked}))  # type: ignore[arg-type]
    with pytest.raises(UnusableEcg, match="custom_id is --"):
        encode(Ecg([]), np.ma.masked)  # type: ignore[arg-type]
