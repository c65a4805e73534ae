"""What a server is asked with: held against what can travel before anything is sent."""

from __future__ import annotations

import uuid
from urllib.parse import quote
from urllib.request import getproxies, proxy_bypass

import httpx

from isoline.errors import Unusable


def check_url(url: str) -> str:
    """A URL without a slash at its end; raises `Unusable` when no server can be there."""
    url = url.strip().rstrip("/")
    if not url.startswith(("http://", "https://")):
        raise Unusable(f"A server's URL begins with http:// or https://, and {url!r} does not.")
    try:
        host = httpx.URL(url).host
    except httpx.InvalidURL as error:
        raise Unusable(f"{url!r} is no URL: {error}") from None
    if not host:
        raise Unusable(f"{url!r} names no server.")
    return url


def by_way_of(url: str) -> str:
    """Words on the proxy that the environment puts before a server; none where there is none."""
    parsed = httpx.URL(url)
    proxies = getproxies()
    name = parsed.scheme if parsed.scheme in proxies else "all"
    if name not in proxies or proxy_bypass(parsed.host):
        return ""
    # Its own password, if it has one, is nobody's business.
    return f" (by way of the proxy {proxies[name].rpartition('@')[2]}, see {name.upper()}_PROXY)"


def check_token(whose: str, token: str | None) -> str | None:
    """A token as it is; raises `Unusable`, which says everything but the token.

    What is no header is refused by the libraries below, too, but with the secret in the sentence.
    """
    if token is not None and not all("!" <= letter <= "~" for letter in token):
        raise Unusable(
            f"{whose} token cannot be one: it holds something else than visible ASCII, such as a "
            "space, a line break or a letter with an accent."
        )
    return token


def check_key(key: str) -> str:
    """An Idempotency-Key as it is; raises `Unusable`."""
    if not (key.isascii() and key.isprintable() and key == key.strip()):
        raise Unusable(f"{key!r} cannot be an Idempotency-Key: it is not printable ASCII.")
    return key


def new_key() -> str:
    """An Idempotency-Key that nobody has used."""
    return uuid.uuid4().hex


def key_or_new(given: str | None) -> str:
    """An Idempotency-Key as it is given, or a new one; raises `Unusable`."""
    return new_key() if given is None else check_key(given)


def part_of_path(text: str) -> str:
    """An id or a name as one part of a path, whatever is in it; raises `Unusable` for what would
    be another path.
    """
    if text in {"", ".", ".."}:
        raise Unusable(f"{text!r} is no id and no name.")
    return quote(text, safe="")
