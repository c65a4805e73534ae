"""What can be configured, read once from the environment and from nowhere else."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from shared.errors import SettingsError

T = TypeVar("T")

# What was measured to fit: the samples of such a body, one lead of decimals, take a worker almost
# to what it may allocate (docs/adr/0006-durability.md). A larger one would be stored, and fail.
MOST_UPLOAD_BYTES = 64 * 2**20
SHORTEST_ADMIN_TOKEN = 16
FEWEST_DISTINCT_CHARACTERS = 6
# What people put where a secret belongs, also several of them in a row: change-me-please1.
WELL_KNOWN_WORDS = (
    *("administrator", "admin", "root", "user", "isoline", "ecg", "api"),
    *("secret", "password", "passphrase", "pass", "token", "key", "credential"),
    *("changeme", "change", "me", "please", "now", "letmein", "welcome", "replace", "insert"),
    *("test", "testing", "example", "default", "dummy", "demo", "dev", "development"),
    *("production", "local", "my", "your", "the", "this", "a", "is", "it", "here", "super"),
    *("very", "not", "so", "qwerty", "abc"),
)
_ONLY_WELL_KNOWN = re.compile(f"(?:{'|'.join(WELL_KNOWN_WORDS)})+")


@dataclass(frozen=True)
class Settings:
    """Everything a process may be told. Secrets stay out of the repr."""

    host: str
    port: int
    flower_port: int
    data_dir: Path
    database_url: str = field(repr=False)
    redis_url: str | None = field(repr=False)
    admin_token: str | None = field(repr=False)
    api_processes: int
    workers: int
    max_upload_bytes: int

    @classmethod
    def from_environ(
        cls, environ: Mapping[str, str] | None = None, *, needs: Collection[str] = ()
    ) -> Settings:
        """Read the ISOLINE_… variables.

        Parameters
        ----------
        environ : the variables; the process's own by default.
        needs : names without a default that this process cannot do without.

        Raises
        ------
        SettingsError : one message that names every variable that is missing or unreadable.
        """
        environ = os.environ if environ is None else environ
        problems = [f"{name} is not set" for name in needs if not environ.get(name)]

        def read(name: str, default: T, parse: Callable[[str], T]) -> T:
            text = environ.get(name, "")
            if not text:
                return default
            try:
                return parse(text)
            except ValueError as error:
                problems.append(f"{name} {error}")
                return default

        data_dir = read("ISOLINE_DATA_DIR", Path(".isoline"), Path).expanduser().absolute()
        settings = cls(
            host=read("ISOLINE_HOST", "127.0.0.1", _address),
            port=read("ISOLINE_PORT", 8000, _whole_number(1, 65535)),
            flower_port=read("ISOLINE_FLOWER_PORT", 5555, _whole_number(0, 65535)),
            data_dir=data_dir,
            database_url=read(
                "ISOLINE_DATABASE_URL", f"sqlite:///{data_dir / 'isoline.db'}", _database_url
            ),
            redis_url=read("ISOLINE_REDIS_URL", None, _redis_url),
            admin_token=read("ISOLINE_ADMIN_TOKEN", None, _admin_token),
            api_processes=read("ISOLINE_API_PROCESSES", _api_processes(), _whole_number(1, 1024)),
            workers=read("ISOLINE_WORKERS", _processors(), _whole_number(1, 1024)),
            max_upload_bytes=read(
                "ISOLINE_MAX_UPLOAD_BYTES",
                MOST_UPLOAD_BYTES,
                _whole_number(1024, MOST_UPLOAD_BYTES),
            ),
        )
        if settings.flower_port == settings.port:
            problems.append("ISOLINE_FLOWER_PORT must differ from ISOLINE_PORT")
        if problems:
            raise SettingsError("Isoline cannot start: " + "; ".join(problems) + ".")
        return settings


def environ_with(variables: Mapping[str, str]) -> dict[str, str]:
    """Copy the process's own environment for a child, with these variables set in it.

    The admin token is nobody's by inheritance: who needs it is given it.
    """
    inherited = {name: text for name, text in os.environ.items() if name != "ISOLINE_ADMIN_TOKEN"}
    return {**inherited, **variables}


def database_url_of(text: str) -> str:
    """Read the URL of a database, or the path of a SQLite file; raises `SettingsError`."""
    if "://" not in text:
        return f"sqlite:///{Path(text).expanduser().absolute()}"
    try:
        return _database_url(text)
    except ValueError as error:
        raise SettingsError(f"{text.partition('://')[0]}://… {error}.") from None


def _api_processes() -> int:
    """Two fifths as many as processors, rounded up.

    One holds its interpreter's lock for two fifths of the processor's time that a short ECG takes
    in all: with fewer, they would be what all others wait for (docs/scale.md).
    """
    return -(-2 * _processors() // 5)


def _processors() -> int:
    """How many this process may run on, as those of its container are; so many workers there are.

    Each computes on one at a time. With fewer, processors would be left over where workers have
    most to do, which is in batches and with every insight; with more, all that grows is memory.
    Without every insight a third as many would do (docs/scale.md), and the rest sleep.
    """
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _whole_number(least: int, most: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not (text.isascii() and text.isdigit() and least <= int(text[:12]) <= most):
            raise ValueError(f"must be a whole number from {least} to {most}")
        return int(text)

    return parse


def _address(text: str) -> str:
    if text == "localhost":
        return "127.0.0.1"
    try:
        return str(ip_address(text))
    except ValueError:
        raise ValueError("must be an IP address, such as 127.0.0.1 or 0.0.0.0") from None


def _admin_token(text: str) -> str:
    letters = "".join(filter(str.isalpha, text.lower()))
    if _ONLY_WELL_KNOWN.fullmatch(letters):
        raise ValueError("is made of well-known words, which anyone would try; choose a random one")
    if len(text) < SHORTEST_ADMIN_TOKEN:
        raise ValueError(f"is shorter than {SHORTEST_ADMIN_TOKEN} characters")
    if len(set(text)) < FEWEST_DISTINCT_CHARACTERS:
        raise ValueError("repeats a few characters, which is soon guessed; choose a random one")
    if not (text.isascii() and text.isprintable() and " " not in text):
        raise ValueError("must be printable ASCII without spaces, since it travels in a header")
    return text


def _database_url(text: str) -> str:
    """Accept SQLite and PostgreSQL, the latter also without naming its driver."""
    scheme, _, rest = text.partition("://")
    if scheme == "sqlite" and rest.startswith("/"):
        return text
    if scheme in {"postgres", "postgresql", "postgresql+psycopg"}:
        return f"postgresql+psycopg://{rest}"
    raise ValueError("must begin with sqlite:/// or postgresql://")


def _redis_url(text: str) -> str:
    if urlsplit(text).scheme not in {"redis", "rediss"}:
        raise ValueError("must begin with redis:// or rediss://")
    try:
        urlsplit(text).port  # noqa: B018 - to be asked is to be parsed
    except ValueError:
        raise ValueError("has a port that is no number up to 65535") from None
    return text
