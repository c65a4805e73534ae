"""Which server, and with which tokens: from options, the environment, or what `login` has kept."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path

import msgspec

from isoline.client import DEFAULT_URL, Client
from isoline.errors import IsolineError
from isoline.output import say
from isoline.screen import typed

# Somebody sits in front of it.
MOST_ATTEMPTS = 4


class Tokens(msgspec.Struct):
    """What opens a server."""

    token: str | None = None
    admin_token: str | None = None

    def __post_init__(self) -> None:
        """Whoever writes the file by hand ends a token with a line break easily."""
        self.token = self.token and self.token.strip()
        self.admin_token = self.admin_token and self.admin_token.strip()


class Kept(Tokens):
    """What the file holds: the server that is meant where none is named, and its tokens."""

    url: str | None = None
    # Of the other servers that somebody has logged in to, by their URLs.
    elsewhere: dict[str, Tokens] = msgspec.field(default_factory=dict)

    def __post_init__(self) -> None:
        """Nor is a slash at the end of a URL another server."""
        super().__post_init__()
        self.url = self.url and self.url.strip().rstrip("/")

    def of(self, url: str) -> Kept:
        """What is kept, with this server as the one that is meant; no token is forgotten."""
        if url == self.url:
            return self
        elsewhere = dict(self.elsewhere)
        if self.url:
            elsewhere[self.url] = Tokens(self.token, self.admin_token)
        here = elsewhere.pop(url, Tokens())
        return Kept(here.token, here.admin_token, url=url, elsewhere=elsewhere)


@dataclass(frozen=True)
class Access:
    """A server, and what opens it."""

    url: str
    token: str | None
    admin_token: str | None
    # What names the server and the tokens, for whoever wonders why it is these.
    url_from: str
    token_from: str = ""
    admin_token_from: str = ""

    def client(self, *, most_attempts: int = MOST_ATTEMPTS, patience_s: float = 0.0) -> Client:
        """A client for this server, with this patience while it is away."""
        return Client(
            self.url,
            self.token,
            admin_token=self.admin_token,
            most_attempts=most_attempts,
            patience_s=patience_s,
            on_retry=lambda error, wait_s: say(f"{error} Again in {math.ceil(wait_s)} s."),
        )

    def advice(self, *, is_admin: bool) -> str:
        """Words for whom the server does not let in: where the token is from, and how to another.

        Parameters
        ----------
        is_admin : whether it was the administrator's token that was asked for.
        """
        login, option, variable = "isoline login", "--token", "ISOLINE_TOKEN"
        token, source = self.token, self.token_from
        if is_admin:
            login, option, variable = f"{login} --admin", "--admin-token", "ISOLINE_ADMIN_TOKEN"
            token, source = self.admin_token, self.admin_token_from
        if self.url_from == "--url":
            # Without it, it would be one for another server that is kept.
            login += f" {self.url}"
        whose = "The administrator's token" if is_admin else "Your token"
        told = f"{whose} came from {source}"
        if not token:
            told = f"{whose} for {self.url} is not kept here"
            if not is_admin and self.admin_token:
                # Who has logged in as the administrator alone has no user to upload as.
                made = typed("isoline users add NAME")
                told += f" (only the administrator's); {made} makes one"
        return (
            f"{told}. {typed(login)} keeps {'another' if token else 'one'}; "
            f"{option} and {variable} give one for once."
        )


def path() -> Path:
    """Where the file is."""
    folder = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(folder) / "isoline" / "config.json"


def load() -> Kept:
    """Read the file; nothing when there is none. Raises `IsolineError` when it is damaged."""
    try:
        return msgspec.json.decode(path().read_bytes(), type=Kept)
    except FileNotFoundError:
        return Kept()
    except (OSError, msgspec.DecodeError) as error:
        raise IsolineError(
            f"{path()} cannot be read ({_reason(error)}); `isoline login URL` writes it anew."
        ) from None


def _reason(error: Exception) -> str:
    return (isinstance(error, OSError) and error.strerror) or str(error)


def keep(kept: Kept) -> None:
    """Write the file, for its owner alone: all of it, or none."""
    target = path()
    beside = target.with_suffix(".new")
    try:
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        beside.unlink(missing_ok=True)
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(kept)))
        beside.replace(target)
    except OSError as error:
        raise IsolineError(f"{target} cannot be written ({_reason(error)}).") from None


@dataclass(frozen=True)
class Given:
    """What options and environment say; each goes before what is kept."""

    url: str | None
    # "--url" or "ISOLINE_URL", where one of them says it.
    url_from: str
    token: str | None
    token_from: str
    admin_token: str | None
    admin_token_from: str

    def access(self, kept: Kept | None = None) -> Access:
        """Put it together with what is kept; a token is for the server it was kept for.

        Only a command that asks a server needs this: help is there however damaged the file is.
        """
        kept = load() if kept is None else kept
        url = (self.url or kept.url or DEFAULT_URL).strip().rstrip("/")
        here = kept.of(url)
        return Access(
            url=url,
            token=self.token or here.token,
            token_from=self.token_from if self.token else str(path()),
            admin_token=self.admin_token or here.admin_token,
            admin_token_from=self.admin_token_from if self.admin_token else str(path()),
            url_from=self.url_from if self.url else (str(path()) if kept.url else ""),
        )
