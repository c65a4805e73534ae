"""The tree of every error that the client raises on purpose; it mirrors the server's problems."""

from __future__ import annotations

from dataclasses import dataclass

from isoline.escapes import printable


@dataclass(frozen=True)
class Fault:
    """One thing wrong with a request: a JSON pointer to it (RFC 6901) and a sentence."""

    pointer: str
    detail: str


class IsolineError(Exception):
    """Root of the tree: whatever goes wrong on purpose."""

    # Of the batch that was being sent: with it, what has come already is not stored twice.
    idempotency_key: str | None = None


class Unusable(IsolineError, ValueError):
    """A URL, a token, a key or an id that cannot be one; the message never holds a token."""


class UnusableEcg(IsolineError, ValueError):
    """A recording that cannot be sent; the message says which lead, and which sample."""


class UnreadableFile(IsolineError):
    """A file that holds no recording, or one that cannot be read; the message says why.

    It may quote the file: what a terminal would obey is written as escapes.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(printable(reason))


class UnreadableLine(UnreadableFile):
    """One line of a file with several recordings; its other lines are read all the same."""


class Unreachable(IsolineError):
    """The server did not answer, each time it was tried."""


class NotIsoline(IsolineError):
    """Something else answers at the server's address, or on the way to it."""


class ProblemError(IsolineError):
    """The server refused; what it said is in here (RFC 9457)."""

    def __init__(
        self,
        detail: str,
        *,
        status: int,
        kind: str = "",
        request_id: str = "",
        faults: tuple[Fault, ...] = (),
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.kind = kind
        self.request_id = request_id
        self.faults = faults

    def __str__(self) -> str:
        """The sentence, and each fault with its place."""
        sentence = str(self.args[0])
        if not self.faults:
            return sentence
        faults = "; ".join(f"{fault.pointer} {fault.detail}" for fault in self.faults)
        return f"{sentence.rstrip('.')}: {faults}"


class BadRequest(ProblemError):
    """What was sent cannot be used: 400, 405, 406, 408, 413, 415, 422."""


class Unauthenticated(ProblemError):
    """The token opens nothing here: 401."""


class NotFound(ProblemError):
    """There is no such thing, or it is somebody else's: 404."""


class Conflict(ProblemError):
    """It is at odds with what is there already: 409."""


class TakenOver(Conflict):
    """Another request with the same Idempotency-Key feeds the batch; sent again, this one does."""


class Unavailable(ProblemError):
    """The server cannot at the moment, each time it was tried: 503; 429, 502, 504 of a proxy.

    retry_after_s : in how many seconds it wants to be asked again; 0 when it does not say.
    """

    retry_after_s: float = 0.0


class ServerFault(ProblemError):
    """Something went wrong on the server's side: 500."""


class NotFinished(IsolineError):
    """A batch has not ended: what there is of it is a part."""


class Interrupted(IsolineError):
    """A batch was not sent to its end; sent again with the same key, it goes on from there.

    `__cause__` is what has happened: to the connection, or to the line that was to be made next.
    """

    idempotency_key: str

    def __init__(self, detail: str, *, idempotency_key: str) -> None:
        super().__init__(detail)
        self.idempotency_key = idempotency_key
