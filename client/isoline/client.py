"""The client: one method for each thing that can be asked of a server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Self

import msgspec

from isoline.answers import (
    Accepted,
    Batch,
    Catalogue,
    Credentials,
    Definition,
    EcgSummary,
    ErrorLine,
    Insights,
    Readiness,
    Recomputation,
    User,
)
from isoline.credentials import check_url, key_or_new, part_of_path
from isoline.ecg import Ecg, encode
from isoline.errors import NotFinished
from isoline.frames import as_frame
from isoline.lines import Items
from isoline.results import lines, table
from isoline.retries import wait_until_ended
from isoline.submission import submit
from isoline.transport import Transport, preference

if TYPE_CHECKING:
    import pandas

DEFAULT_URL = "http://127.0.0.1:8000"
JSON = "application/json"


class Client:
    """A connection to an Isoline server.

    Whatever can be tried again is, when the server is away for a moment: uploads and batches carry
    an Idempotency-Key, so that nothing is stored twice. A Retry-After is kept to; where it takes
    more than five minutes in all, and than `patience_s`, `Unavailable` with it is raised at once.

    Parameters
    ----------
    url : where the server is.
    token : yours, as a user.
    admin_token : the administrator's, for users and for what is out of date.
    timeout_s : how long the server may say nothing.
    most_attempts : how often a request is made before it is given up.
    patience_s : how long at least something is tried again while the server is away.
    on_retry : is told what went wrong, and in how many seconds it is tried again.

    Raises
    ------
    Unusable : the URL or a token cannot be one.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        token: str | None = None,
        *,
        admin_token: str | None = None,
        timeout_s: float = 60.0,
        most_attempts: int = 6,
        patience_s: float = 0.0,
        on_retry: Callable[[Exception, float], None] | None = None,
    ) -> None:
        self.url = check_url(url)
        self._transport = Transport(
            self.url,
            token=token,
            admin_token=admin_token,
            timeout_s=timeout_s,
            most_attempts=most_attempts,
            patience_s=patience_s,
            on_retry=on_retry,
        )

    def __repr__(self) -> str:
        """Without tokens."""
        return f"Client({self.url!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self._transport.close()

    def upload(
        self, ecg: Ecg | bytes, *, wait_s: int | None = None, idempotency_key: str | None = None
    ) -> Accepted:
        """Upload an ECG; when this returns, it is stored.

        Parameters
        ----------
        ecg : the recording, or its JSON.
        wait_s : seconds to wait for the insights, which are then in the answer; 20 at most.
        idempotency_key : the same key and recording again get the first answer.
        """
        body = ecg if isinstance(ecg, bytes) else encode(ecg)
        headers = {
            "Content-Type": JSON,
            "Idempotency-Key": key_or_new(idempotency_key),
            **preference(wait_s),
        }
        return self._transport.ask("POST", "/ecgs", Accepted, content=body, headers=headers)

    def insights(self, ecg_id: str, *, wait_s: int | None = None) -> Insights:
        """How far an ECG is, and its insights once it is finished."""
        return self._transport.ask(
            "GET", f"/ecgs/{part_of_path(ecg_id)}/insights", Insights, headers=preference(wait_s)
        )

    def wait(self, ecg_id: str, *, timeout_s: float = 60.0) -> Insights:
        """Wait until an ECG has ended, finished or failed; raises `TimeoutError`."""
        return wait_until_ended(
            lambda seconds: self.insights(ecg_id, wait_s=seconds),
            lambda insights: insights.status != "pending",
            timeout_s,
        )

    def ecg(self, ecg_id: str) -> EcgSummary:
        """Describe an ECG, without its samples."""
        return self._transport.ask("GET", f"/ecgs/{part_of_path(ecg_id)}", EcgSummary)

    def ecgs(self, *, status: str | None = None) -> Iterator[EcgSummary]:
        """All your ECGs, newest first."""
        return self._transport.pages("/ecgs", EcgSummary, {"status": status} if status else {})

    def erase(self, ecg_id: str) -> None:
        """Erase an ECG with its samples and insights."""
        self._transport.send("DELETE", f"/ecgs/{part_of_path(ecg_id)}")

    def submit_batch(
        self,
        items: Items,
        *,
        idempotency_key: str | None = None,
        compression: int = 0,
        on_sent: Callable[[int], None] | None = None,
    ) -> Batch:
        """Submit ECGs as the lines of one batch, in constant memory however many they are.

        Parameters
        ----------
        items : each an `Ecg`, a pair of what you call it and the `Ecg`, or bytes: a line that is
            ready. A list, or a function that makes a new iterator each time, can be sent again
            when the connection is cut; an iterator cannot.
        idempotency_key : with the same key again, what has come already is not stored twice.
        compression : 0 for none to 9; slow lines gain by 1.
        on_sent : is told how many lines are on their way.

        Raises
        ------
        Interrupted : a line could not be made, which it names, or the connection was cut and only
            an iterator given.
        IsolineError : what the server refused. Every error carries `idempotency_key`, to go on
            with; of those that are not ours, such as Ctrl-C, a note says it.
        """
        key = key_or_new(idempotency_key)
        return submit(self._transport, items, key, compression, on_sent)

    def batch(self, batch_id: str, *, wait_s: int | None = None) -> Batch:
        """How far a batch is."""
        return self._transport.ask(
            "GET", f"/batches/{part_of_path(batch_id)}", Batch, headers=preference(wait_s)
        )

    def wait_for_batch(self, batch_id: str, *, timeout_s: float = 86_400.0) -> Batch:
        """Wait until every line of a batch has ended; raises `TimeoutError`."""
        return wait_until_ended(
            lambda seconds: self.batch(batch_id, wait_s=seconds),
            lambda batch: batch.has_ended,
            timeout_s,
        )

    def batches(self) -> Iterator[Batch]:
        """All your batches, newest first."""
        return self._transport.pages("/batches", Batch, {})

    def cancel_batch(self, batch_id: str) -> Batch:
        """Stop what has not begun; what has finished stays."""
        return self._transport.ask("POST", f"/batches/{part_of_path(batch_id)}/cancel", Batch)

    def erase_batch(self, batch_id: str) -> None:
        """Erase a batch with all its ECGs."""
        self._transport.send("DELETE", f"/batches/{part_of_path(batch_id)}", timeout=None)

    def batch_insights(self, batch_id: str, *, after: int = 0) -> Iterator[Insights]:
        """The insights of a batch in the order of its lines, up to the first that has not ended."""
        return lines(
            self._transport, f"/batches/{part_of_path(batch_id)}/insights", Insights, after
        )

    def batch_errors(self, batch_id: str, *, after: int = 0) -> Iterator[ErrorLine]:
        """What was rejected or has failed, up to the first line that has not ended."""
        return lines(self._transport, f"/batches/{part_of_path(batch_id)}/errors", ErrorLine, after)

    def batch_csv(
        self,
        batch_id: str,
        *,
        what: Literal["insights", "errors"] = "insights",
        after: int = 0,
        columns: str | None = None,
    ) -> Iterator[bytes]:
        """The same as a table: "insights" has a row for each lead, "errors" one for each line.

        It comes in pieces: the header, and the rows of one line after the other.

        Parameters
        ----------
        columns : the `header_digest` of a header that you have: what goes on below it has none, and
            the pieces are one table.

        Raises
        ------
        Conflict : what is measured has changed since that header, also when it is this one's own:
            take the table anew.
        """
        path = f"/batches/{part_of_path(batch_id)}/{what}"
        return table(self._transport, path, after, columns)

    def frame(self, batch_id: str, *, partial: bool = False) -> pandas.DataFrame:
        """The insights of a batch as a pandas frame, one row for each lead; raises `NotFinished`
        when it has not ended, unless the part of it that there is will do.
        """
        # Asked before: what ends meanwhile may be missing in what comes, too.
        if not (partial or self.batch(batch_id).has_ended):
            raise NotFinished("It has not ended: wait_for_batch, or take a part with partial=True.")
        return as_frame(self.batch_insights(batch_id), self.catalogue())

    # What there is to know, and who there is.

    def catalogue(self) -> list[Definition]:
        """What is measured, and how it is defined."""
        return self._transport.ask("GET", "/insights", Catalogue).data

    def ready(self) -> Readiness:
        """Whether everything is there; also when it is not."""
        return self._transport.ask("GET", "/health/ready", Readiness, also=(503,))

    def recompute(self, insight: str | None = None, *, dry_run: bool = False) -> Recomputation:
        """Have some of what is out of date computed again, or count it; for the administrator."""
        path = "/recompute" if insight is None else f"/recompute?insight={part_of_path(insight)}"
        return self._transport.ask("GET" if dry_run else "POST", path, Recomputation)

    def register(self, username: str) -> Credentials:
        """Register a user, for the administrator."""
        body = msgspec.json.encode({"username": username})
        headers = {"Content-Type": JSON}
        return self._transport.ask("POST", "/users", Credentials, content=body, headers=headers)

    def users(self) -> Iterator[User]:
        """All users by name, for the administrator."""
        return self._transport.pages("/users", User, {})

    def rotate_token(self, username: str) -> Credentials:
        """Give a user a new token, for the administrator; the old one dies."""
        return self._transport.ask("POST", f"/users/{part_of_path(username)}/token", Credentials)

    def erase_user(self, username: str) -> None:
        """Erase a user with everything of theirs, for the administrator."""
        self._transport.send("DELETE", f"/users/{part_of_path(username)}", timeout=None)
