"""What tests of any room build with."""

from __future__ import annotations

import io
import logging
import socket
import time
from collections.abc import Callable, Iterable
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any, cast

from shared import logs

HOUSE = Path(__file__).resolve().parent.parent
ADMIN_TOKEN = "the-admin-token-of-the-tests"
ADMIN = {"x-admin-token": ADMIN_TOKEN}


def free_port() -> int:
    """A port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(condition: Any, deadline_s: float = 20.0, what: str = "") -> Any:
    """Ask again and again until the answer is truthy, and return it; fail at the deadline."""
    end_s = time.monotonic() + deadline_s
    while True:
        if answer := condition():
            return answer
        assert time.monotonic() < end_s, f"waited {deadline_s} s in vain {what}"
        time.sleep(0.02)


def lines_of(act: Callable[[], None], stderr: io.StringIO | None = None) -> str:
    """What production would write to stderr while this is done."""
    root = logging.getLogger()
    before = root.handlers
    stderr = stderr or io.StringIO()
    try:
        with redirect_stderr(stderr):
            logs.configure()
            act()
    finally:
        root.handlers = before
    return stderr.getvalue()


def told_by(logger: str, records: Iterable[logging.LogRecord]) -> list[dict[str, Any]]:
    """What this logger has told, among these records."""
    return [{**cast("dict[str, Any]", one.msg)} for one in records if one.name == logger]
