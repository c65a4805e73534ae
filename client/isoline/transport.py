"""How the server is asked: with the right token, again when it is away, and errors as errors."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import httpx
import msgspec

from isoline.answers import Page, Problem
from isoline.credentials import by_way_of, check_token
from isoline.errors import (
    BadRequest,
    Conflict,
    NotFound,
    NotIsoline,
    ProblemError,
    ServerFault,
    TakenOver,
    Unauthenticated,
    Unavailable,
    Unreachable,
    Unusable,
)
from isoline.retries import Patience, insist, retry_after_s

_ERRORS: dict[int, type[ProblemError]] = {
    401: Unauthenticated,
    404: NotFound,
    409: Conflict,
    429: Unavailable,
    502: Unavailable,
    503: Unavailable,
    504: Unavailable,
}
FIRST_SERVER_ERROR = 500
# Said without a problem, they are the whole server's word, and not one on this request.
_NOBODY_HERE = {401, 403, 404, 405}
_ERRNO = re.compile(r"^\[Errno -?\d+\] ")
_TYPES = {"csv": "text/csv", "ndjson": "application/x-ndjson"}

T = TypeVar("T")


class Transport:
    """A connection to one server."""

    def __init__(
        self,
        url: str,
        *,
        token: str | None,
        admin_token: str | None,
        timeout_s: float,
        most_attempts: int,
        patience_s: float,
        on_retry: Callable[[Exception, float], None] | None,
    ) -> None:
        self._on_retry = on_retry
        self._token = check_token("Your", token)
        self._admin_token = check_token("The administrator's", admin_token)
        self._most_attempts = most_attempts
        self._patience_s = patience_s
        self._url = url
        try:
            # Never to another address with the token: redirects are not followed.
            self._http = httpx.Client(base_url=url, timeout=timeout_s, follow_redirects=False)
        except (ValueError, ImportError, OSError) as error:
            # A proxy or a file of certificates that the environment names.
            raise Unusable(
                f"A connection cannot be prepared as HTTP_PROXY, HTTPS_PROXY, ALL_PROXY or "
                f"SSL_CERT_FILE ask for it: {error}"
            ) from None

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def ask(self, method: str, path: str, kind: type[T], **options: Any) -> T:
        """Send a request until it is answered; return the answer as a type."""
        return read(self.send(method, path, **options), kind)

    def send(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Send a request until it is answered."""
        # A name that is taken on the second attempt may be one's own.
        attempts = 1 if (method, path) == ("POST", "/users") else self._most_attempts
        return insist(
            lambda: self.exchange(method, path, **options),
            Patience(attempts, self._patience_s if attempts > 1 else 0.0, self._on_retry),
        )

    def insist(self, act: Callable[[], T], has_got_further: Callable[[], bool]) -> T:
        """Do something long again as often as requests are made again."""
        return insist(act, self.patience(), has_got_further)

    def patience(self) -> Patience:
        """How often, and for how long, something is tried here."""
        return Patience(self._most_attempts, self._patience_s, self._on_retry)

    def exchange(
        self,
        method: str,
        path: str,
        *,
        headers: dict[str, str] | None = None,
        also: Collection[int] = (),
        **options: Any,
    ) -> httpx.Response:
        """Send a request once; raises what the server says is wrong.

        Parameters
        ----------
        also : status codes that are no errors here.
        """
        with self._reached():
            response = self._http.request(
                method, path, headers={**self._credentials(path), **(headers or {})}, **options
            )
        if not response.is_success and response.status_code not in also:
            raise _error(response)
        return response

    def _credentials(self, path: str) -> dict[str, str]:
        if path.startswith(("/users", "/recompute")):
            return {"x-admin-token": self._admin_token} if self._admin_token else {}
        return {"x-user-token": self._token} if self._token else {}

    def pages(self, path: str, kind: type[T], params: dict[str, str]) -> Iterator[T]:
        """Everything in a list, page after page."""
        cursor: dict[str, str] = {}
        while True:
            page: Page[T] = self.ask(
                "GET",
                path,
                Page[kind],  # type: ignore[valid-type]
                params={**params, **cursor, "limit": "500"},
            )
            yield from page.data
            if page.next_cursor is None:
                return
            cursor = {"cursor": page.next_cursor}

    @contextmanager
    def streamed(self, path: str, params: dict[str, str]) -> Iterator[httpx.Response]:
        """An answer that is read while it comes."""
        with (
            self._reached(),
            self._http.stream(
                "GET", path, params=params, headers=self._credentials(path)
            ) as response,
        ):
            if not response.is_success:
                response.read()
                raise _error(response)
            wanted = _TYPES[params["format"]]
            if not response.headers.get("Content-Type", "").startswith(wanted):
                raise _not_isoline(response)
            yield response

    @contextmanager
    def _reached(self) -> Iterator[None]:
        try:
            yield
        except (httpx.TransportError, httpx.InvalidURL) as error:
            raise Unreachable(
                f"{self._url}{by_way_of(self._url)} did not answer: "
                f"{_ERRNO.sub('', str(error)).rstrip('.') or type(error).__name__}."
            ) from None


def read(response: httpx.Response, kind: type[T]) -> T:
    """An answer as a type; raises `NotIsoline` when somebody else has answered."""
    try:
        return msgspec.json.decode(response.content, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise _not_isoline(response) from None


def decoded(decoder: msgspec.json.Decoder[T], text: str, response: httpx.Response) -> T:
    """A line of an answer as a type; raises `NotIsoline` as well."""
    try:
        return decoder.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise _not_isoline(response) from None


def _not_isoline(response: httpx.Response) -> NotIsoline:
    url = response.request.url
    if response.is_redirect:
        return NotIsoline(
            f"{url} answers {response.status_code} and points to "
            f"{response.headers.get('Location', '')}: no token is sent there unasked. If that "
            "is the server, name its address yourself."
        )
    return NotIsoline(f"{url} answers {response.status_code}, but not as Isoline does.")


def _error(response: httpx.Response) -> ProblemError | NotIsoline:
    """What the server said, as an error."""
    if response.is_redirect:
        return _not_isoline(response)
    try:
        problem = msgspec.json.decode(response.content, type=Problem)
    except (msgspec.DecodeError, UnicodeDecodeError):
        problem = Problem()
    if not problem.detail:
        foreign = _not_isoline(response)
        if response.status_code in _NOBODY_HERE:
            return foreign
        problem = Problem(detail=str(foreign))
    status, name = response.status_code, problem.type.rpartition("/")[2]
    kind = _ERRORS.get(status, ServerFault if status >= FIRST_SERVER_ERROR else BadRequest)
    if name == "batch-taken-over":
        kind = TakenOver
    error = kind(
        problem.detail,
        status=status,
        kind=name,
        request_id=problem.request_id,
        faults=tuple(problem.errors),
    )
    if isinstance(error, Unavailable):
        error.retry_after_s = retry_after_s(response)
    return error


def preference(wait_s: int | None) -> dict[str, str]:
    """For how long an answer may be held back, as a header."""
    return {} if wait_s is None else {"Prefer": f"wait={wait_s}"}
