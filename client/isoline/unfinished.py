"""Which submissions were begun on this machine and not sent to their end: a small file for each.

The server does not say with which key a batch was begun; whoever has lost it cannot go on.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from isoline import config
from isoline.escapes import printable

# How far the clocks of two machines and the way between them may be apart.
_NEAR = timedelta(seconds=90)


class Begun(msgspec.Struct):
    """A submission: the files and folders it was typed with, as they are called from anywhere."""

    url: str
    key: str
    begun_at: datetime
    paths: list[str] = []


def is_known(url: str, key: str) -> bool:
    """Whether this submission was begun and not ended."""
    return _file(url, key).exists()


def begin(url: str, key: str, paths: Iterable[Path]) -> None:
    """Keep that lines are on their way; a folder that cannot be written keeps nobody from it."""
    if is_known(url, key):
        return
    file = _file(url, key)
    with contextlib.suppress(OSError):
        named = [printable(os.path.abspath(path)) for path in paths]
        begun = Begun(url, key, datetime.now(UTC), named)
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # With the key whoever opens the batch could add to it; nobody else's business it is anyway.
        with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as kept:
            kept.write(msgspec.json.encode(begun))


def end(url: str, key: str) -> None:
    """Forget it: the last line has come, or none may come any more."""
    with contextlib.suppress(OSError):
        _file(url, key).unlink()


def find(url: str, created_at: datetime) -> Begun | None:
    """What a batch that was created then was begun with, if nothing else was at that time."""
    found = []
    for file in _folder().glob("*.json"):
        with contextlib.suppress(OSError, msgspec.DecodeError):
            begun = msgspec.json.decode(file.read_bytes(), type=Begun)
            if begun.url == url and abs(begun.begun_at - created_at) < _NEAR:
                found.append(begun)
    return found.pop() if len(found) == 1 else None


def _folder() -> Path:
    return config.path().parent / "unfinished"


def _file(url: str, key: str) -> Path:
    return _folder() / f"{hashlib.sha256(f'{url} {key}'.encode()).hexdigest()[:32]}.json"
