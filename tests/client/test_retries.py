"""What is tried again, how often, and when: against a small server that misbehaves as told."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest

import isoline as package
from api import exports, problems
from isoline import (
    Client,
    Ecg,
    NotFound,
    NotIsoline,
    Unavailable,
    Unreachable,
    header_digest,
    retries,
)

PENDING = b'{"ecg_id": "x", "status": "pending", "detail": ""}'
LINE = b'{"line": %d, "ecg_id": "x", "status": "finished", "leads": []}\n'


# A table with two leads a line, and a line break in a name.
ROWS = [
    b"line,custom_id,lead,name\r\n",
    *(b'7,"a ""\n8,",0,I\r\n', b'7,"a ""\n8,",1,II\r\n'),
    *(b'8,"b\r\n9,b",0,I\r\n', b'8,"b\r\n9,b",1,II\r\n'),
    b"12,c,0,I\r\n",
]
LINE_OF = [0, 7, 7, 8, 8, 12]
SLUGS = {kind.slug: kind for kind in problems.ALL_KINDS}
LINES = {"Transfer-Encoding": "chunked", "Content-Type": "application/x-ndjson"}


class Misbehaving(BaseHTTPRequestHandler):
    """Answers as the script says, one entry a request."""

    script: ClassVar[list[str]] = []
    seen: ClassVar[list[dict[str, str]]] = []

    def do_GET(self) -> None:
        self.seen.append({**dict(self.headers), "path": self.path})
        how = self.script.pop(0)
        if how == "hang up":
            self.connection.close()
        elif how == "503":
            self._answer(503, b'{"detail": "away"}', {"Retry-After": "7"})
        elif how.startswith("ask again"):
            _, _, status, text = how.split(" ", 3)
            self._answer(int(status), b'{"detail": "away"}', {"Retry-After": text})
        elif how.startswith("problem"):
            kind = SLUGS[how.split(" ")[1]]
            problem = problems.make_problem(kind, "no", "id")
            self._answer(kind.status, msgspec.json.encode(problem), {})
        elif how.startswith("table"):
            _, cut = how.split(" ")
            asked = parse_qs(urlsplit(self.path).query)
            after, below = int(asked["after"][0]), asked.get("columns", [])
            assert below in ([], [header_digest(ROWS[0])])
            rows = (row for row, line in zip(ROWS, LINE_OF, strict=True) if line > after)
            whole = b"".join([*([] if below else ROWS[:1]), *rows])
            self._begin(200, {**LINES, "Content-Type": "text/csv", "Connection": "close"})
            self._chunk(whole[: int(cut)])
            if int(cut) >= len(whole):
                self._chunk(b"")
            self.close_connection = True
        elif how in {"502", "504"}:
            self._answer(int(how), b"<html>", {})
        elif how == "not found":
            self._answer(404, b"<html>", {})
        elif how == "other JSON":
            self._answer(404, b'{"error": "no"}', {})
        elif how == "404":
            self._answer(404, b'{"type": "/problems/not-found", "detail": "no"}', {})
        elif how == "page":
            self._answer(200, b"<html>", {})
        elif how == "elsewhere":
            self._answer(302, b"", {"Location": "http://127.0.0.1:9/"})
        elif how == "cut":
            self._begin(200, LINES)
            self._chunk(LINE % 1)
            self._chunk((LINE % 2)[:20])
            self.close_connection = True
        elif how == "told":
            self._begin(200, LINES)
            self._chunk(LINE % 1)
            self._chunk(exports.cut_short("ndjson", "id"))
            self._chunk(b"")
        elif how == "told table":
            self._begin(200, {**LINES, "Content-Type": "text/csv", "Connection": "close"})
            self._chunk(b"".join(ROWS[:3]))
            self._chunk(exports.cut_short("csv", "id"))
            self._chunk(b"")
            self.close_connection = True
        elif how == "lines":
            self._begin(200, LINES)
            self._chunk(LINE % 2)
            self._chunk(LINE % 3)
            self._chunk(b"")
        else:
            self._answer(200, PENDING, {})

    do_POST = do_GET  # noqa: N815 - what http.server looks for

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        length = {"Content-Length": str(len(body)), "Connection": "close"}
        self._begin(status, {**headers, **length})
        self.wfile.write(body)
        # What was sent along is not read.
        self.close_connection = True

    def _begin(self, status: int, headers: dict[str, str]) -> None:
        self.protocol_version = "HTTP/1.1"
        self.send_response(status)
        for name, text in headers.items():
            self.send_header(name, text)
        self.end_headers()

    def _chunk(self, content: bytes) -> None:
        self.wfile.write(b"%x\r\n%b\r\n" % (len(content), content))

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long it would have slept."""
    slept: list[float] = []
    monkeypatch.setattr("isoline.retries.sleep", slept.append)
    return slept


@pytest.fixture
def isoline(pauses: list[float]) -> Iterator[Client]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Misbehaving)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    Misbehaving.script.clear()
    Misbehaving.seen.clear()
    with Client(f"http://127.0.0.1:{server.server_port}", "my-token", most_attempts=4) as client:
        yield client
    server.shutdown()
    server.server_close()
    thread.join()


def test_what_passes_by_itself_is_tried_again(isoline: Client, pauses: list[float]) -> None:
    Misbehaving.script += ["hang up", "503", "hang up", "fine"]
    assert isoline.insights("x").status == "pending"
    assert len(pauses) == 3
    # It was asked for seven seconds.
    assert pauses[1] >= 7
    assert pauses[0] < pauses[2]


def test_an_upload_carries_the_same_key_each_time(isoline: Client) -> None:
    Misbehaving.script += ["503", "503", "404"]
    with pytest.raises(NotFound):
        isoline.upload(Ecg([]))
    keys = {seen["Idempotency-Key"] for seen in Misbehaving.seen}
    assert len(Misbehaving.seen) == 3
    assert len(keys) == 1
    assert keys != {""}


def test_there_is_an_end_to_it(isoline: Client, pauses: list[float]) -> None:
    Misbehaving.script += ["503"] * 4
    with pytest.raises(Unavailable, match="away"):
        isoline.insights("x")
    assert len(pauses) == 3
    Misbehaving.script += ["hang up"] * 4
    with pytest.raises(Unreachable):
        isoline.insights("x")


@pytest.mark.parametrize("status", [503, 429])
@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        *(("120", 120), ("2.5", 2.5), (" 7 ", 7), ("299", 299)),
        *((timedelta(seconds=90), 90), (timedelta(seconds=-90), 0)),
        *(("0", 0), ("-5", 0), ("soon", 0), ("1e3", 0), ("7 s", 0), ("Thu, 99 Nov 2026", 0)),
    ],
)
def test_it_is_asked_again_when_the_server_wants_it(
    isoline: Client, pauses: list[float], status: int, text: str | timedelta, seconds: float
) -> None:
    if isinstance(text, timedelta):
        text = format_datetime(datetime.now(UTC) + text, usegmt=True)
    Misbehaving.script += [f"ask again {status} {text}", "fine"]
    assert isoline.insights("x").status == "pending"
    [slept] = pauses
    # A date has no fractions.
    assert max(seconds - 2, 0.25) <= slept <= max(seconds, 0.75)


def test_who_asks_for_too_much_patience_is_not_waited_for(
    isoline: Client, pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    Misbehaving.script.append("ask again 503 3600")
    with pytest.raises(Unavailable, match=r"away; it asks .* for 3600 seconds") as refused:
        isoline.insights("x")
    assert refused.value.retry_after_s == 3600
    assert pauses == []
    # In all, that is: five minutes, or as long as one who has more patience.
    error = Unavailable("away", status=503)
    error.retry_after_s = 200

    def away() -> None:
        raise error

    for patience_s, seconds in ((0, 200), (500, 400), (3600, 3600)):
        clock = Clock(monkeypatch)
        patience = retries.Patience(100, patience_s)
        with pytest.raises(Unavailable):
            retries.insist(away, patience)
        assert clock.now_s == seconds


class Clock:
    """Time that passes only while one sleeps between attempts."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = 0.0
        monkeypatch.setattr(retries, "monotonic", self.monotonic)
        monkeypatch.setattr(retries, "sleep", self.sleep)

    def monotonic(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds


def test_with_patience_it_goes_on_for_that_long_after_it_last_got_further(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock(monkeypatch)
    tried_s: list[float] = []

    def act() -> None:
        tried_s.append(clock.now_s)
        raise Unreachable("away")

    with pytest.raises(Unreachable):
        retries.insist(act, retries.Patience(4, 60))
    assert tried_s[-1] == 60
    tried_s.clear()
    with pytest.raises(Unreachable):
        retries.insist(act, retries.Patience(4, 60), lambda: len(tried_s) == 6)
    assert tried_s[-1] == tried_s[5] + 60


def test_what_does_not_pass_is_said_at_once(isoline: Client, pauses: list[float]) -> None:
    for how, error in (("404", NotFound), ("page", NotIsoline)):
        Misbehaving.script.append(how)
        with pytest.raises(error):
            isoline.insights("x")
    assert pauses == []


def test_what_is_not_isoline_is_named(isoline: Client, pauses: list[float]) -> None:
    asks: list[Callable[[], object]] = [
        lambda: isoline.batch("x"),
        lambda: list(isoline.batches()),
        lambda: list(isoline.batch_insights("x")),
        lambda: list(isoline.batch_csv("x")),
        lambda: isoline.upload(Ecg([])),
        lambda: isoline.submit_batch([]),
    ]
    for how, words in (
        ("page", f"{isoline.url}/.* answers 200, but not as Isoline does"),
        ("elsewhere", f"{isoline.url}/.* answers 302 and points to http://127.0.0.1:9/"),
    ):
        for ask in asks:
            Misbehaving.script.append(how)
            with pytest.raises(NotIsoline, match=words):
                ask()
    for how in ("not found", "other JSON"):
        Misbehaving.script.append(how)
        with pytest.raises(NotIsoline, match="answers 404, but not as Isoline does"):
            isoline.batch("x")
    assert pauses == []


def test_a_proxy_whose_server_is_away_is_tried_again(isoline: Client) -> None:
    Misbehaving.script += ["502", "504", "fine"]
    assert isoline.insights("x").status == "pending"


def test_a_token_does_not_travel_elsewhere(isoline: Client) -> None:
    Misbehaving.script.append("elsewhere")
    with pytest.raises(Exception, match="302"):
        isoline.insights("x")
    assert len(Misbehaving.seen) == 1


def test_results_go_on_after_the_last_line_that_has_come(isoline: Client) -> None:
    Misbehaving.script += ["cut", "503", "lines"]
    assert [line.line for line in isoline.batch_insights("b")] == [1, 2, 3]
    asked = [seen["path"].rpartition("after=")[2] for seen in Misbehaving.seen]
    assert asked == ["0", "1", "1"]


def test_results_that_end_before_their_end_as_the_server_says_go_on(isoline: Client) -> None:
    Misbehaving.script += ["told", "lines"]
    assert [line.line for line in isoline.batch_insights("b")] == [1, 2, 3]
    Misbehaving.script += ["told table", "table 999"]
    assert b"".join(isoline.batch_csv("b")) == b"".join(ROWS)
    asked = [seen["path"].partition("after=")[2].partition("&")[0] for seen in Misbehaving.seen]
    assert asked == ["0", "1", "0", "0"]


def test_a_table_goes_on_after_the_last_line_that_was_whole(isoline: Client) -> None:
    table = b"".join(ROWS)
    for cut in range(1, len(table)):
        Misbehaving.script += [f"table {cut}", "503", "table 20", "table 999"]
        pieces = list(isoline.batch_csv("b"))
        assert b"".join(pieces) == table, cut
        assert pieces[1:] == [b"".join(ROWS[1:3]), b"".join(ROWS[3:5]), ROWS[5]]
        Misbehaving.script.clear()


def test_a_table_whose_columns_have_changed_does_not_go_on(isoline: Client) -> None:
    Misbehaving.script += ["table 60", "problem columns-changed"]
    coming = isoline.batch_csv("b")
    assert next(coming) == ROWS[0]
    with pytest.raises(package.Conflict) as refused:
        list(coming)
    assert refused.value.kind == "columns-changed"
    assert header_digest(ROWS[0]) in Misbehaving.seen[1]["path"]


def test_every_problem_has_its_class(isoline: Client) -> None:
    classes = {
        **dict.fromkeys(("malformed-request", "invalid-request", "too-slow"), "BadRequest"),
        **dict.fromkeys(("too-large", "not-acceptable", "unsupported-media-type"), "BadRequest"),
        **dict.fromkeys(("idempotency-conflict", "method-not-allowed"), "BadRequest"),
        "analysis-failed": "BadRequest",
        "unauthenticated": "Unauthenticated",
        "not-found": "NotFound",
        **dict.fromkeys(("username-taken", "batch-cancelled", "columns-changed"), "Conflict"),
        "batch-taken-over": "TakenOver",
        **dict.fromkeys(("overloaded", "unavailable"), "Unavailable"),
        "internal": "ServerFault",
    }
    found = {}
    for slug, kind in SLUGS.items():
        Misbehaving.script[:] = [f"problem {slug}"] * 4
        with pytest.raises(package.ProblemError) as refused:
            isoline.insights("x")
        assert (refused.value.kind, refused.value.status) == (slug, kind.status)
        found[slug] = type(refused.value).__name__
    assert found == classes


def test_pauses_grow_and_differ() -> None:
    error = Unreachable("")
    for attempt in range(1, 12):
        expected = min(0.5 * 2 ** (attempt - 1), 30)
        assert 0.5 * expected <= retries.pause_s(attempt, error) <= 1.5 * expected
    assert len({retries.pause_s(1, error) for _ in range(10)}) > 1
