"""Batches on a real server: cut anywhere, killed anywhen, each line is answered once."""

from __future__ import annotations

import gzip
import json
import random
import socket
import threading
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.parts import wait_until
from tests.stack import Stack

NDJSON = {"Content-Type": "application/x-ndjson"}


@pytest.fixture(scope="module")
def stack(empty_database: str, stack_folder: Path, redis_url: str) -> Iterator[Stack]:
    # Of the hasty workers, for their short leases: nothing here is poison.
    with Stack(
        stack_folder, database_url=empty_database, redis_url=redis_url, poisoned=True
    ) as stack:
        yield stack


def line(number: int) -> bytes:
    signal = [1, -1] * number + [1]
    leads = [{"name": "I", "signal": signal}]
    return json.dumps({"custom_id": f"line {number}", "leads": leads}).encode() + b"\n"


def ended(isoline: httpx.Client, batch_id: str, within_s: float = 60) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        headers = {"Prefer": "wait=5"}
        batch: dict[str, Any] = isoline.get(f"/batches/{batch_id}", headers=headers).json()
        counts = batch["counts"]
        assert counts["total"] == sum(counts.values()) - counts["total"]
        return batch if batch["finished_at"] else None

    found: dict[str, Any] = wait_until(look, within_s, f"for batch {batch_id}")
    return found


def results(isoline: httpx.Client, batch_id: str) -> dict[str | None, int]:
    """What each line has come to, by its name; a name that is there twice is an error."""
    text = isoline.get(f"/batches/{batch_id}/insights").text
    found = [json.loads(one) for one in text.splitlines()]
    assert [one["line"] for one in found] == sorted(one["line"] for one in found)
    by_name = {one["custom_id"]: one["leads"][0]["number_of_zero_crossings"] for one in found}
    assert len(by_name) == len(found)
    return by_name


def send_in_part(stack: Stack, head: str, body: bytes, ending: str) -> None:
    """Send the beginning of a request, and be gone."""
    address = ("127.0.0.1", httpx.URL(stack.url).port or 0)
    with socket.create_connection(address) as connection:
        connection.sendall(head.encode() + b"\r\n\r\n" + body)
        time.sleep(0.05)
        if ending == "reset":
            linger = (1).to_bytes(4, "little") + bytes(4)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)


def mixed(number: int, ending: bytes) -> bytes:
    """So many good lines and one without a name; every tenth time a bad one, or an empty one."""
    lines = [b'{"leads": [{"name": "I", "signal": [1, -1]}]}']
    for n in range(number):
        lines.append(line(n).rstrip())
        if n % 10 == 7:
            lines += [b'{"custom_id": "bad %d", "leads": 3}' % n, b"nonsense", b"", b"[]"]
    return ending.join(lines) + ending


def chunked(body: bytes) -> bytes:
    pieces = [body[start : start + 700] for start in range(0, len(body), 700)]
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


@pytest.mark.parametrize("way", ["length", "chunked", "gzip"])
@pytest.mark.parametrize("seed", range(2))
def test_a_client_that_is_gone_at_any_byte_can_go_on(
    isoline: httpx.Client, stack: Stack, way: str, seed: int
) -> None:
    chance = random.Random(f"{way} {seed}")
    number = 300
    body = mixed(number, chance.choice([b"\n", b"\r\n", b"\n\n"]))
    rejected = 3 * (number // 10)
    key = f"cut-{way}-{seed}"
    head = [
        *("POST /batches HTTP/1.1", "Host: isoline", f"Idempotency-Key: {key}"),
        f"x-user-token: {isoline.headers['x-user-token']}",
        "Content-Type: application/x-ndjson",
    ]
    sent = gzip.compress(body) if way == "gzip" else body
    if way == "chunked":
        sent = chunked(body)
        head.append("Transfer-Encoding: chunked")
    else:
        head.append(f"Content-Length: {len(sent)}")
        head += ["Content-Encoding: gzip"] if way == "gzip" else []
    for _ in range(3):
        cut_at = chance.randrange(1, len(sent))
        send_in_part(stack, "\r\n".join(head), sent[:cut_at], chance.choice(["closed", "reset"]))
    answer = isoline.post("/batches", content=body, headers={**NDJSON, "Idempotency-Key": key})
    while answer.status_code == 409:
        # One of those that are gone was late, and has taken over.
        assert answer.json()["type"] == "/problems/batch-taken-over"
        answer = isoline.post("/batches", content=body, headers={**NDJSON, "Idempotency-Key": key})
    assert answer.status_code == 202
    assert answer.json()["counts"]["rejected"] == rejected
    assert answer.json()["total"] == number + 1 + rejected
    batch = ended(isoline, answer.json()["id"])
    assert batch["counts"]["finished"] == number + 1
    expected: dict[str | None, int] = {None: 1}
    expected |= {f"line {n}": 2 * n for n in range(number)}
    assert results(isoline, batch["id"]) == expected
    errors = isoline.get(f"/batches/{batch['id']}/errors").text.splitlines()
    names = [json.loads(one)["custom_id"] for one in errors]
    for n in range(7, number, 10):
        assert names.count(f"bad {n}") == 1
    assert names.count(None) == 2 * (number // 10)


def test_of_a_slow_feeder_each_line_is_stored_soon(isoline: httpx.Client, stack: Stack) -> None:
    key = {"Idempotency-Key": "slow"}
    is_over = threading.Event()

    def trickle() -> Iterator[bytes]:
        # Far less than what a server that waits for a full buffer is content with.
        for number in range(100):
            yield line(number)
            if is_over.wait(0.2):
                return

    def stored() -> int:
        newest = isoline.get("/batches?limit=1").json()["data"]
        return int(newest[0]["counts"]["total"]) if newest and newest[0]["detail"] else 0

    with ThreadPoolExecutor(1) as pool, stack.client() as feeder:
        feeder.headers = isoline.headers
        fed = pool.submit(feeder.post, "/batches", content=trickle(), headers={**NDJSON, **key})
        try:
            seen = wait_until(stored, 15, "for the first lines, while more are on their way")
            assert wait_until(lambda: stored() > seen, 15, "for more")
        finally:
            is_over.set()
        assert fed.result().json()["total"] > seen


@pytest.mark.parametrize("way", ["chunked", "length", "gzip"])
def test_lines_that_nothing_follows_are_stored_all_the_same(
    isoline: httpx.Client, stack: Stack, way: str
) -> None:
    head = [
        *("POST /batches HTTP/1.1", "Host: isoline", "Content-Type: application/x-ndjson"),
        f"x-user-token: {isoline.headers['x-user-token']}",
        "Content-Length: 100000" if way == "length" else "Transfer-Encoding: chunked",
    ]
    # Only wrapped, as our client does.
    packer = zlib.compressobj(0, wbits=31)

    def written(body: bytes) -> bytes:
        if way == "gzip":
            body = packer.compress(body) + packer.flush(zlib.Z_SYNC_FLUSH)
        return body if way == "length" else b"%x\r\n%b\r\n" % (len(body), body)

    def total() -> int:
        newest = isoline.get("/batches?limit=1").json()["data"]
        return int(newest[0]["counts"]["total"]) if newest and newest[0]["detail"] else 0

    if way == "gzip":
        head.append("Content-Encoding: gzip")
    address = ("127.0.0.1", httpx.URL(stack.url).port or 0)
    with socket.create_connection(address) as connection:
        connection.sendall("\r\n".join(head).encode() + b"\r\n\r\n")
        connection.sendall(written(b"".join(line(n) for n in range(3))))
        wait_until(lambda: total() == 3, 15, "for three lines, and no more")
        # A line that is begun is none, and waits for its end.
        connection.sendall(written(line(3) + line(4) + line(5)[:20]))
        wait_until(lambda: total() == 5, 15, "for two more")
    isoline.post(f"/batches/{isoline.get('/batches').json()['data'][0]['id']}/cancel")


@pytest.mark.timeout(240)
def test_whatever_is_killed_each_line_is_answered_once(isoline: httpx.Client, stack: Stack) -> None:
    number = 1000
    body = [line(n % 200).replace(b"line ", b"%d-" % n) for n in range(number)]
    chance = random.Random(7)
    is_over = threading.Event()

    def kill() -> None:
        while not is_over.wait(chance.uniform(0.2, 0.8)):
            name = chance.choice(["bulk", "bulk", "child", "relay", "api", "broker"])
            if name == "child":
                children = psutil.Process(stack.process("bulk").pid).children()
                if children:
                    chance.choice(children).kill()
            elif name == "broker":
                stack.redis.flushall()
            else:
                stack.kill(name)
                stack.start(name)

    def made() -> Iterator[bytes]:
        for start in range(0, number, 50):
            yield b"".join(body[start : start + 50])
            time.sleep(0.05)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        answer = None
        headers = {**NDJSON, "Idempotency-Key": "killed"}
        # An API that is killed every few seconds needs as long to start, on a busy machine.
        end_s = time.monotonic() + 120
        while time.monotonic() < end_s:
            try:
                answer = isoline.post("/batches", content=made(), headers=headers)
            except httpx.TransportError:
                time.sleep(0.5)
                continue
            if answer.status_code == 202:
                break
    finally:
        is_over.set()
        killer.join()
    assert answer is not None
    assert answer.status_code == 202
    wait_until(stack.answers, 30, "for the API")
    batch = ended(isoline, answer.json()["id"], 180)
    assert batch["counts"] == {
        "total": number,
        "pending": 0,
        "finished": number,
        "failed": 0,
        "rejected": 0,
    }
    expected = {f"{n}-{n % 200}": 2 * (n % 200) for n in range(number)}
    assert results(isoline, batch["id"]) == expected


def test_a_hundred_at_once(isoline: httpx.Client) -> None:
    def submit(number: int) -> str:
        body = b"".join(line(n) for n in range(number, number + 12)) + b"bad\n"
        answer = isoline.post("/batches", content=body, headers=NDJSON)
        assert answer.status_code == 202
        return str(answer.json()["id"])

    with ThreadPoolExecutor(100) as pool:
        ids = list(pool.map(submit, range(100)))
    for number, batch_id in enumerate(ids):
        counts = ended(isoline, batch_id)["counts"]
        assert (counts["finished"], counts["rejected"]) == (12, 1)
        assert results(isoline, batch_id)[f"line {number}"] == 2 * number


def test_nobody_waits_for_the_end_of_somebody_elses_batch(
    isoline: httpx.Client, stack: Stack
) -> None:
    stack.stop("bulk")
    large = b"".join(line(n % 100).replace(b"line ", b"%d-" % n) for n in range(2500))
    theirs = isoline.post("/batches", content=large, headers=NDJSON).json()["id"]
    with stack.client() as bob:
        bob.headers["x-user-token"] = stack.register(bob, "bob")
        mine = bob.post("/batches", content=line(1) + line(2), headers=NDJSON).json()["id"]
        stack.start("bulk")
        small = ended(bob, mine)
    rest = isoline.get(f"/batches/{theirs}").json()
    assert small["counts"]["finished"] == 2
    assert rest["counts"]["pending"] > 0
    assert ended(isoline, theirs, 90)["counts"]["finished"] == 2500


def test_a_line_longer_than_an_upload_may_be_is_one_line(
    isoline: httpx.Client, stack: Stack
) -> None:
    def made() -> Iterator[bytes]:
        yield line(1)
        yield b'{"x": "'
        for _ in range(65):
            yield b"x" * 2**20
        yield b'"}\n' + line(2)

    parent = psutil.Process(stack.process("api").pid)
    before = max(one.memory_info().rss for one in [parent, *parent.children(True)])
    batch_id = isoline.post("/batches", content=made(), headers=NDJSON).json()["id"]
    after = max(one.memory_info().rss for one in [parent, *parent.children(True)])
    assert ended(isoline, batch_id)["counts"]["finished"] == 2
    [error] = isoline.get(f"/batches/{batch_id}/errors").text.splitlines()
    assert json.loads(error)["problem"]["type"] == "/problems/too-large"
    assert json.loads(error)["line"] == 2
    # What is thrown away is not kept first: the bound of one upload, and not of all that came.
    assert after - before < 150 * 2**20


def test_the_log_of_the_bulk_worker_names_ids_and_nothing_else(
    isoline: httpx.Client, stack: Stack, tmp_path: Path
) -> None:
    body = b'{"custom_id": "canary-name", "leads": [{"name": "canary-lead", "signal": [1]}]}\n'
    batch_id = isoline.post("/batches", content=body, headers=NDJSON).json()["id"]
    ended(isoline, batch_id)
    for name in stack.MODULES:
        assert "canary" not in stack.log(name)
