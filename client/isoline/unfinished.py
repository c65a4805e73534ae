"""Which submissions were begun on this machine and not sent to their end: a small file for each.

The server does not say with which key a batch was begun; whoever has lost it cannot go on.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from isoline import config

# How far the clocks of two machines and the way between them may be apart.
_NEAR = timedelta(seconds=90)


class _Begun(msgspec.Struct):
    url: str
    key: str
    begun_at: datetime


def is_known(url: str, key: str) -> bool:
    """Whether this submission was begun and not ended."""
    return _file(url, key).exists()


def begin(url: str, key: str) -> None:
    """Keep that lines are on their way; a folder that cannot be written keeps nobody from it."""
    if is_known(url, key):
        return
    file = _file(url, key)
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # With the key whoever opens the batch could add to it; nobody else's business it is anyway.
        with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as kept:
            kept.write(msgspec.json.encode(_Begun(url, key, datetime.now(UTC))))


def end(url: str, key: str) -> None:
    """Forget it: the last line has come, or none may come any more."""
    with contextlib.suppress(OSError):
        _file(url, key).unlink()


def find_key(url: str, created_at: datetime) -> str | None:
    """The key of a batch that was created then, if only one submission was begun at that time."""
    found = set()
    for file in _folder().glob("*.json"):
        with contextlib.suppress(OSError, msgspec.DecodeError):
            begun = msgspec.json.decode(file.read_bytes(), type=_Begun)
            if begun.url == url and abs(begun.begun_at - created_at) < _NEAR:
                found.add(begun.key)
    return found.pop() if len(found) == 1 else None


def _folder() -> Path:
    return config.path().parent / "unfinished"


def _file(url: str, key: str) -> Path:
    return _folder() / f"{hashlib.sha256(f'{url} {key}'.encode()).hexdigest()[:32]}.json"
