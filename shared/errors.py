"""The tree of every error that Isoline raises on purpose. It knows nothing of HTTP.

A message is a sentence for the person who meets the error, and never quotes a token, a sample or
a name from a recording.
"""

from __future__ import annotations

from dataclasses import dataclass


class ServiceError(Exception):
    """Root of the tree: anything that Isoline raises on purpose."""


class RequestError(ServiceError):
    """The caller can mend this by sending something else."""


class MalformedRequest(RequestError):
    """The bytes are not what they claim to be: broken JSON, broken gzip, a cut body."""


class Unauthenticated(RequestError):
    """No token, or one that opens nothing here. Says no more than that."""


class NotFound(RequestError):
    """There is no such thing, or it belongs to somebody else: the caller cannot tell which."""


class UsernameTaken(RequestError):
    """Another user bears this name already."""


class TooLarge(RequestError):
    """The body as sent or once expanded, a line of a batch, or the number of its lines."""


class TooSlow(RequestError):
    """The body did not arrive within its deadline."""


class UnsupportedMedia(RequestError):
    """A Content-Type or Content-Encoding that nobody here reads."""


class NotAcceptable(RequestError):
    """An answer that was asked for in a form that nobody here writes."""


@dataclass(frozen=True)
class Fault:
    """One thing wrong with a request: a JSON pointer to it (RFC 6901) and a sentence."""

    pointer: str
    detail: str


class InvalidRequest(RequestError):
    """The JSON is well formed but some fields are not right; carries all the faults found."""

    def __init__(self, detail: str, faults: list[Fault]) -> None:
        super().__init__(detail)
        self.faults = faults


class IdempotencyConflict(RequestError):
    """An Idempotency-Key was sent again with another body."""


class BatchCancelled(RequestError):
    """A batch that takes no more lines, since its owner has cancelled it."""


class BatchTakenOver(RequestError):
    """A batch that another request with the same key feeds now; sent again, it takes over."""


class ColumnsChanged(RequestError):
    """The next piece of a table that has other columns by now than the pieces before it."""


class DependencyError(ServiceError):
    """Something that Isoline leans on is away; the same request may succeed later."""


class Overloaded(DependencyError):
    """Every slot for this kind of work is taken at the moment."""


class DatabaseUnavailable(DependencyError):
    """The database did not answer, is locked, or refuses to write."""


class DatabaseDamaged(DatabaseUnavailable):
    """The database is not what was written: waiting does not help, its operator has to."""


class SignalError(ServiceError):
    """The samples themselves are at fault; trying again cannot help."""


class DamagedSignal(SignalError):
    """Stored bytes that do not decode to the leads they were made from."""


class NotComputable(SignalError):
    """An insight that cannot be said of this lead or ECG; the message says what it would need."""


class InsightsError(ServiceError):
    """Insights that do not fit together: the message names those that the programmer must mend."""


class SettingsError(ServiceError):
    """The environment is not fit to start with; the message names every problem at once."""
