"""The client against a real server: the walk, batches of every kind, and errors as errors."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import numpy as np
import pytest

from isoline import (
    BadRequest,
    Client,
    Conflict,
    Ecg,
    Interrupted,
    Lead,
    NotFinished,
    NotFound,
    Unauthenticated,
    Unreachable,
    Unusable,
    UnusableEcg,
)
from tests.parts import ADMIN_TOKEN, free_port, wait_until
from tests.stack import Stack

NOBODYS = "00000000-0000-0000-0000-000000000000"


def ecg(*signal: float) -> Ecg:
    return Ecg([Lead("I", signal)], sampling_rate=500)


def test_the_walk(isoline: Client) -> None:
    date = datetime(2026, 11, 23, 8, tzinfo=UTC)
    recording = Ecg(
        [Lead("I", np.array([1025, 1023, 1025], np.int16)), Lead("II", [1024])],
        date=date,
        sampling_rate=500,
        unit="adc",
        gain=200,
        baseline=1024,
    )
    accepted = isoline.upload(recording, wait_s=20)
    assert accepted.insights is not None
    assert [lead.number_of_zero_crossings for lead in accepted.insights.leads] == [2, 0]
    found = isoline.ecg(accepted.id)
    assert (found.date, found.gain, found.baseline) == (date, 200, 1024)
    assert [lead.number_of_samples for lead in found.leads] == [3, 1]
    assert isoline.wait(accepted.id) == isoline.insights(accepted.id)
    assert accepted.id in [one.id for one in isoline.ecgs()]
    isoline.erase(accepted.id)
    with pytest.raises(NotFound):
        isoline.insights(accepted.id)
    assert "zero_crossings" in [one.name for one in isoline.catalogue()]
    assert isoline.ready().database == "ok"


def test_the_same_key_stores_once(isoline: Client) -> None:
    first = isoline.upload(ecg(1, -1), idempotency_key="once")
    assert isoline.upload(ecg(1, -1), idempotency_key="once").id == first.id
    with pytest.raises(BadRequest) as refused:
        isoline.upload(ecg(1, -1, 1), idempotency_key="once")
    assert refused.value.kind == "idempotency-conflict"


def test_numbers_of_numpy_arrive_as_they_are(isoline: Client) -> None:
    for dtype in ("i1", "u1", "i2", ">i2", "u2", "i4", "f4", "f8"):
        samples = np.array([0, 1, 100], dtype)
        accepted = isoline.upload(Ecg([Lead(dtype, samples)]), wait_s=20)
        assert accepted.leads[0].number_of_samples == 3


@pytest.mark.parametrize(
    "signal",
    [
        *([1.0, float("nan")], np.array([np.inf]), [[1, 2]], np.zeros((2, 2)), ["x"], "12", 7),
        *(
            [1, None],
            np.array(["1"]),
            [1, 10**400, 0.5],
            [10**30, "x"],
            None,
            [1, {}],
            [np.array([1])],
            [np.datetime64("2026-01-01")],
        ),
    ],
)
def test_what_is_no_signal_is_not_sent(isoline: Client, signal: object) -> None:
    with pytest.raises(UnusableEcg, match="Lead 'I'"):
        isoline.upload(Ecg([Lead("I", signal)]))  # type: ignore[arg-type]


def test_what_json_has_no_word_for_is_not_sent(isoline: Client) -> None:
    with pytest.raises(UnusableEcg):
        isoline.upload(Ecg([Lead("I", [1])], unit=object()))  # type: ignore[arg-type]


def test_errors_carry_what_the_server_said(isoline: Client, stack: Stack) -> None:
    with pytest.raises(BadRequest) as refused:
        isoline.upload(b'{"leads": [{"name": "I", "signal": [1, "x"]}]}')
    error = refused.value
    assert (error.status, error.kind) == (422, "invalid-request")
    assert [fault.pointer for fault in error.faults] == ["/leads/0/signal/1"]
    assert "/leads/0/signal/1 must be a number" in str(error)
    assert error.request_id
    with Client(stack.url, "a-secret-that-opens-nothing") as nobody:
        with pytest.raises(Unauthenticated) as unknown:
            nobody.ecg(NOBODYS)
        assert "a-secret" not in f"{unknown.value!r} {unknown.value} {nobody!r}"
    nowhere = Client(f"http://127.0.0.1:{free_port()}", most_attempts=1)
    with pytest.raises(Unreachable):
        nowhere.ready()


@pytest.mark.parametrize("name", ["", ".", ".."])
def test_an_id_leads_nowhere_else(name: str) -> None:
    nowhere = Client(f"http://127.0.0.1:{free_port()}", admin_token="secret", most_attempts=1)
    asks: list[Callable[[str], object]] = [
        *(nowhere.insights, nowhere.ecg, nowhere.erase, nowhere.batch, nowhere.cancel_batch),
        *(nowhere.erase_batch, nowhere.frame, nowhere.rotate_token, nowhere.erase_user),
        lambda one: list(nowhere.batch_insights(one)),
        lambda one: list(nowhere.batch_csv(one)),
    ]
    for ask in asks:
        with pytest.raises(Unusable, match="is no id and no name"):
            ask(name)
        with pytest.raises(Unreachable):
            ask(f"x{name}")


def test_users_are_for_the_administrator(stack: Stack) -> None:
    with Client(stack.url, admin_token=ADMIN_TOKEN) as admin:
        first = admin.register("cy")
        assert first.token not in repr(first)
        assert "cy" in [user.username for user in admin.users()]
        second = admin.rotate_token("cy")
        with Client(stack.url, first.token) as old, pytest.raises(Unauthenticated):
            next(old.ecgs(), None)
        with Client(stack.url, second.token) as new:
            assert list(new.ecgs()) == []
        admin.erase_user("cy")


def many(number: int) -> Iterator[tuple[str, Ecg]]:
    for n in range(number):
        yield f"ecg {n}", ecg(*[1, -1] * n, 1)


@pytest.mark.parametrize("compression", [0, 6])
def test_a_batch_from_a_generator(isoline: Client, compression: int) -> None:
    sent: list[int] = []
    batch = isoline.submit_batch(many(300), compression=compression, on_sent=sent.append)
    assert sent == list(range(1, 301))
    batch = isoline.wait_for_batch(batch.id, timeout_s=60)
    assert (batch.status, batch.progress, batch.counts.finished) == ("finished", 1, 300)
    lines = list(isoline.batch_insights(batch.id))
    assert [line.custom_id for line in lines] == [f"ecg {n}" for n in range(300)]
    assert [line.leads[0].number_of_zero_crossings for line in lines] == [2 * n for n in range(300)]
    assert [line.line for line in isoline.batch_insights(batch.id, after=298)] == [299, 300]
    frame = isoline.frame(batch.id)
    assert frame["zero_crossings_count"].tolist() == [2 * n for n in range(300)]
    assert frame["custom_id"].tolist() == [f"ecg {n}" for n in range(300)]
    assert batch.id in [one.id for one in isoline.batches()]
    isoline.erase_batch(batch.id)
    with pytest.raises(NotFound):
        isoline.batch(batch.id)


def test_a_frame_has_the_names_as_they_are(isoline: Client) -> None:
    pandas = pytest.importorskip("pandas")
    items = [("=1+1", Ecg([Lead("-V1", [1, -1]), Lead("'+x", []), Lead("NA", [1])]))]
    batch = isoline.wait_for_batch(isoline.submit_batch([*items, ("@", Ecg([]))]).id)
    frame = isoline.frame(batch.id)
    assert frame["custom_id"].tolist() == ["=1+1"] * 3
    assert frame["name"].tolist() == ["-V1", "'+x", "NA"]
    # Whatever else is as in the table that the server writes.
    table = pandas.read_csv(io.BytesIO(b"".join(isoline.batch_csv(batch.id))))
    assert list(frame.columns) == list(table.columns)
    assert frame["zero_crossings_count"].tolist() == table["zero_crossings_count"].tolist()
    # Not even without a sampling rate is a figure a column of objects.
    for name in ("zero_crossings_rate_hz", "ecg_heart_rate_mean_bpm"):
        assert frame[name].dtype.kind == "f"
    empty = isoline.frame(isoline.wait_for_batch(isoline.submit_batch([]).id).id)
    assert list(empty.columns) == list(table.columns)


def test_lines_that_are_ready_and_lines_that_are_bad(isoline: Client) -> None:
    batch = isoline.submit_batch([ecg(1), b'{"leads": []}\n', b"bad", ("named", ecg(1, -1))])
    batch = isoline.wait_for_batch(batch.id, timeout_s=60)
    assert (batch.counts.finished, batch.counts.rejected) == (3, 1)
    [error] = isoline.batch_errors(batch.id)
    assert (error.line, error.verdict, error.problem.status) == (3, "rejected", 400)
    with pytest.raises(Interrupted, match=r"Line 1 cannot be sent: .* one line"):
        isoline.submit_batch([b"{}\n{}"])


def test_cancelling(isoline: Client, stack: Stack) -> None:
    stack.stop("bulk")
    batch = isoline.submit_batch(many(10))
    with pytest.raises(NotFinished):
        isoline.frame(batch.id)
    assert isoline.frame(batch.id, partial=True).empty
    assert isoline.cancel_batch(batch.id).status == "cancelled"
    stack.start("bulk")
    batch = isoline.wait_for_batch(batch.id, timeout_s=60)
    assert (batch.counts.failed, batch.counts.finished) == (10, 0)
    assert isoline.frame(batch.id).empty


def test_an_iterator_that_breaks_off_can_be_gone_on_with(isoline: Client) -> None:
    def breaking() -> Iterator[tuple[str, Ecg]]:
        yield from many(150)
        raise RuntimeError("the disk is gone")

    with pytest.raises(Interrupted, match="Line 151 was not made: RuntimeError: the disk") as cut:
        isoline.submit_batch(breaking())
    assert isinstance(cut.value.__cause__, RuntimeError)
    key = cut.value.idempotency_key
    # The server may hear of the first request after it has heard of this one.
    batch = isoline.submit_batch(list(many(200)), idempotency_key=key)
    assert batch.counts.total == 200
    batch = isoline.wait_for_batch(batch.id, timeout_s=60)
    assert batch.counts.finished == 200
    assert len({line.custom_id for line in isoline.batch_insights(batch.id)}) == 200


def test_whatever_ends_a_submission_bears_its_key(isoline: Client, stack: Stack) -> None:
    def meanwhile(act: Callable[[], object]) -> Iterator[tuple[str, Ecg]]:
        for number, item in enumerate(many(3_000)):
            if number == 2_000:
                act()
            yield item

    def key_of(error: BaseException) -> str:
        [note] = error.__notes__
        key = note.split()[-1].rstrip(".")
        assert isinstance(error, KeyboardInterrupt) or error.idempotency_key == key  # type: ignore[attr-defined]
        return str(key)

    # More lines than a batch has: empty ones are counted.
    with pytest.raises(BadRequest) as refused:
        isoline.submit_batch(b'{"leads": []}' * (n % 1_000_000 == 0) for n in range(1_000_001))
    assert refused.value.status == 413
    assert isoline.submit_batch([ecg(1)], idempotency_key=key_of(refused.value)).counts.total == 1

    def cancel() -> None:
        wait_until(lambda: next(isoline.batches()).status == "receiving", what="for the batch")
        isoline.cancel_batch(next(isoline.batches()).id)

    with pytest.raises(Conflict) as conflict:
        isoline.submit_batch(meanwhile(cancel))
    key_of(conflict.value)
    with Client(stack.url, admin_token=ADMIN_TOKEN) as admin:
        token = admin.register("eve").token
        with Client(stack.url, token) as eve, pytest.raises(Unauthenticated) as erased:
            eve.submit_batch(meanwhile(lambda: admin.erase_user("eve")))
    key_of(erased.value)

    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as stopped:
        isoline.submit_batch(meanwhile(stop))
    key = key_of(stopped.value)
    assert isoline.submit_batch(list(many(3_000)), idempotency_key=key).counts.total == 3_000
    nowhere = Client(f"http://127.0.0.1:{free_port()}", most_attempts=1)
    with pytest.raises(Unreachable) as unreachable:
        nowhere.submit_batch([ecg(1)])
    key_of(unreachable.value)


def test_what_cannot_be_begun_says_so_with_the_key(isoline: Client) -> None:
    class Unopened:
        def __iter__(self) -> Iterator[Ecg]:
            raise OSError("the disk is gone")

    for items in (Unopened(), lambda: iter(Unopened()), lambda: 7):
        with pytest.raises(Interrupted, match=r"The lines were not begun: (OS|Type)Error") as cut:
            isoline.submit_batch(items)  # type: ignore[arg-type]
        assert isinstance(cut.value.__cause__, OSError | TypeError)
        assert cut.value.idempotency_key in str(cut.value)


@pytest.mark.parametrize(
    ("signal", "said"),
    [
        ([1.0, float("nan")], "Lead 'I': sample 1 is nan"),
        ([1, None], "Lead 'I': sample 1 is not a number"),
        (np.ma.masked_array([1, 2, 3], [False, False, True]), "Lead 'I': sample 2 is not a number"),
        (["1"], "Lead 'I': sample 0 is not a number"),
        (np.array([1 + 2j]), "Lead 'I': sample 0 is not a number"),
    ],
)
def test_an_ecg_that_is_none_is_named_and_the_others_can_be_sent(
    isoline: Client, signal: object, said: str
) -> None:
    bad = ("the bad one", Ecg([Lead("I", signal)]))  # type: ignore[arg-type]
    for items in (iter([*many(3), bad]), [*many(3), bad]):
        with pytest.raises(Interrupted) as cut:
            isoline.submit_batch(items)
        assert str(cut.value).startswith(f"Line 4 ('the bad one') cannot be sent: {said}.")
        key = cut.value.idempotency_key
        assert isoline.submit_batch(list(many(5)), idempotency_key=key).counts.total == 5


@pytest.mark.parametrize("item", [None, 7, "text", (), ("a",), ("a", None), ("a", b"{}")])
def test_what_is_no_item_of_a_batch_is_said(isoline: Client, item: object) -> None:
    with pytest.raises(Interrupted, match=r"Line 1 .*cannot be sent: A line is an Ecg, a pair"):
        isoline.submit_batch([item])  # type: ignore[list-item]


def test_a_server_that_is_killed_meanwhile_is_waited_for(isoline: Client, stack: Stack) -> None:
    kills = [True]

    def killing() -> Iterator[tuple[str, Ecg]]:
        for number, item in enumerate(many(400)):
            if number == 300 and kills:
                kills.clear()
                stack.kill("api")
                stack.start("api")
            yield item

    batch = isoline.submit_batch(killing)
    assert batch.counts.total == 400
    batch = isoline.wait_for_batch(batch.id, timeout_s=60)
    assert (batch.status, batch.counts.finished) == ("finished", 400)
    # An iterator cannot be begun anew: it says with which key to go on.
    kills.append(True)
    with pytest.raises(Interrupted) as cut:
        isoline.submit_batch(killing())
    key = cut.value.idempotency_key
    again = isoline.submit_batch(list(many(400)), idempotency_key=key)
    assert again.counts.total == 400
    assert isoline.wait_for_batch(again.id, timeout_s=60).counts.finished == 400


def test_a_line_as_it_travels() -> None:
    from isoline.lines import line_of

    line = line_of(("a", Ecg([Lead("I", np.array([1, 2], np.int16))], baseline=0)))
    assert json.loads(line) == {
        "custom_id": "a",
        "baseline": 0,
        "leads": [{"name": "I", "signal": [1, 2]}],
    }
