"""Ports: what a person is told when one is taken, and the Valkey behind one of them."""

from __future__ import annotations

import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import redis

from shared.errors import SettingsError
from standalone import valkey
from standalone.ports import Door, check, free_port
from standalone.processes import spawn
from tests.parts import wait_until


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_all_taken_ports_are_named_at_once_with_one_choice_of_free_ones() -> None:
    # Beside one another: the next free port from either is the same.
    port = free_port(first=20_000)
    with (
        socket.create_server(("127.0.0.1", port)),
        socket.create_server(("127.0.0.1", free_port(first=port + 1))) as other,
    ):
        also_taken = other.getsockname()[1]
        doors = [
            Door("the API", "127.0.0.1", port, "ISOLINE_PORT"),
            Door("Flower", "127.0.0.1", also_taken, "ISOLINE_FLOWER_PORT"),
        ]
        with pytest.raises(SettingsError) as refused:
            check(doors)
    first, second = str(refused.value).splitlines()
    assert first == f"Port {port}, for the API, is taken."
    said, _, command = second.partition(" Choose others: ")
    assert said == f"Port {also_taken}, for Flower, is taken."
    *choices, make, run = command.split()
    assert (make, run) == ("make", "run")
    chosen = dict(choice.split("=") for choice in choices)
    assert list(chosen) == ["ISOLINE_PORT", "ISOLINE_FLOWER_PORT"]
    assert len(set(chosen.values())) == 2
    check([Door(name, "127.0.0.1", int(chosen[name]), name) for name in chosen])


def test_the_port_that_is_offered_is_not_the_one_of_another_door(taken: int) -> None:
    wanted = free_port(first=taken + 1)
    doors = [
        Door("the API", "127.0.0.1", taken, "ISOLINE_PORT"),
        Door("Flower", "127.0.0.1", wanted, "ISOLINE_FLOWER_PORT"),
    ]
    with pytest.raises(SettingsError, match="Choose another: ISOLINE_PORT=") as refused:
        check(doors)
    assert f"={wanted} " not in str(refused.value)


def test_a_port_that_is_taken_on_every_address_is_taken(taken: int) -> None:
    with pytest.raises(SettingsError, match="is taken"):
        check([Door("the API", "0.0.0.0", taken, "ISOLINE_PORT")])


def test_a_host_that_is_not_this_machine_is_refused() -> None:
    with pytest.raises(SettingsError, match="is no address of this machine"):
        check([Door("the API", "203.0.113.7", free_port(), "ISOLINE_PORT")])


def test_a_port_that_is_taken_is_not_given_as_free(taken: int) -> None:
    assert free_port(first=taken) != taken


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], int, Path]]:
    folder = tmp_path / "a folder with 'spaces'"
    port = free_port()
    process = spawn(valkey.program(folder, port, "the-password-of-a-test"))
    yield process, port, folder
    process.terminate()
    process.wait(10)


def test_valkey_wants_its_password_and_shows_it_to_nobody(
    server: tuple[subprocess.Popen[bytes], int, Path],
) -> None:
    process, port, folder = server
    url = valkey.url(port, "the-password-of-a-test")
    wait_until(lambda: valkey.answers(url), what="for Valkey")
    assert not valkey.answers(valkey.url(port, "another-password"))
    assert "password-of" not in " ".join(psutil.Process(process.pid).cmdline())
    assert "password-of" not in (folder / "valkey.log").read_text()
    listening = {c.laddr.ip for c in psutil.Process(process.pid).net_connections() if not c.raddr}
    assert listening == {"127.0.0.1"}


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("redis://:a-password@example.org:6380/1", "example.org:6380"),
        ("rediss://somebody:a-password@example.org", "example.org:6379"),
        ("redis:///0", "localhost:6379"),
    ],
)
def test_the_place_of_a_broker_is_named_without_its_password(url: str, place: str) -> None:
    assert valkey.place_of(url) == place


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_valkey_leaves_nothing_that_could_keep_the_next_one_from_starting(
    server: tuple[subprocess.Popen[bytes], int, Path], how: signal.Signals
) -> None:
    process, port, folder = server
    url = valkey.url(port, "the-password-of-a-test")
    wait_until(lambda: valkey.answers(url), what="for Valkey")
    with redis.Redis.from_url(url) as client:
        client.rpush("queue", "message")
    process.send_signal(how)
    process.wait(10)
    assert [file.name for file in folder.iterdir()] == ["valkey.log"]


def test_valkey_starts_whatever_an_earlier_one_left_behind(
    server: tuple[subprocess.Popen[bytes], int, Path],
) -> None:
    process, port, folder = server
    url = valkey.url(port, "the-password-of-a-test")
    wait_until(lambda: valkey.answers(url), what="for Valkey")
    process.kill()
    process.wait()
    # Half a log, and half an image, as a disk without room or a power cut leaves them.
    (folder / "appendonlydir").mkdir(exist_ok=True)
    for name in ("appendonly.aof.1.incr.aof", "appendonly.aof.manifest"):
        (folder / "appendonlydir" / name).write_bytes(bytes(64))
    (folder / "dump.rdb").write_bytes(b"REDIS0011" + bytes(64))
    second = spawn(valkey.program(folder, port, "the-password-of-a-test"))
    wait_until(lambda: valkey.answers(url), what="for Valkey")
    second.terminate()
    second.wait(10)
    assert not (folder / "dump.rdb").exists()
