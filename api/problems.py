"""Errors → problems (RFC 9457): the only place where errors meet status codes."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus

from msgspec import UNSET, Struct, UnsetType

from shared import errors

MEDIA_TYPE = "application/problem+json"


class FaultDetail(Struct):
    """One of the things wrong with a request."""

    pointer: str
    detail: str


class Problem(Struct):
    """The body of every error."""

    type: str
    title: str
    status: int
    detail: str
    request_id: str
    errors: list[FaultDetail] | UnsetType = UNSET


@dataclass(frozen=True)
class Kind:
    """One type of problem: its page under /problems/, its status code, and what to do about it."""

    slug: str
    status: int
    title: str
    advice: str
    retry_after_s: int | None = None


KINDS: dict[type[errors.ServiceError], Kind] = {
    errors.MalformedRequest: Kind(
        "malformed-request",
        400,
        "The request cannot be read",
        "The body is not UTF-8, not JSON, not gzip as announced, nested too deeply, or was cut "
        "short; or a header is not well formed. The detail names the place. Mend it and send it "
        "again.",
    ),
    errors.Unauthenticated: Kind(
        "unauthenticated",
        401,
        "A valid token is needed",
        "Send your token as x-user-token, or as Authorization: Bearer. /recompute and paths "
        "under /users take the administrator's token as x-admin-token, and only that one. A token "
        "that was rotated opens nothing any more.",
    ),
    errors.NotFound: Kind(
        "not-found",
        404,
        "There is no such thing",
        "The address is wrong, the thing was erased, or it belongs to somebody else: these look "
        "the same on purpose.",
    ),
    errors.TooSlow: Kind(
        "too-slow",
        408,
        "The body arrived too slowly",
        "An upload must keep a pace of 16 kilobytes a second after its first half minute. Send it "
        "again over a better line, or compressed with gzip.",
    ),
    errors.UsernameTaken: Kind(
        "username-taken",
        409,
        "The username is taken",
        "Choose another name, or rotate the token of the user who has this one.",
    ),
    errors.TooLarge: Kind(
        "too-large",
        413,
        "The body is too large",
        "The bound holds for the expanded size of a recording, and for the number of lines of a "
        "batch. Split it; or ask the operator whether ISOLINE_MAX_UPLOAD_BYTES is less than the 64 "
        "MiB that it may be.",
    ),
    errors.NotAcceptable: Kind(
        "not-acceptable",
        406,
        "It is not to be had in that form",
        "The detail names the forms that there are: ask for one of them with Accept, or with "
        "?format where there is that.",
    ),
    errors.UnsupportedMedia: Kind(
        "unsupported-media-type",
        415,
        "This kind of body is not understood",
        "Send JSON as Content-Type: application/json, and the lines of a batch as "
        "application/x-ndjson; plain or with Content-Encoding: gzip.",
    ),
    errors.InvalidRequest: Kind(
        "invalid-request",
        422,
        "Some fields are not right",
        "Each entry of errors has a JSON pointer to a field and a sentence about it; up to twenty "
        "are found in one pass.",
    ),
    errors.IdempotencyConflict: Kind(
        "idempotency-conflict",
        422,
        "The Idempotency-Key was used with another body",
        "A key stands for one upload. Use a new key for a new body; repeat the same body to get "
        "the first answer again.",
    ),
    errors.BatchCancelled: Kind(
        "batch-cancelled",
        409,
        "The batch was cancelled",
        "It takes no more lines; what has finished stays. For a new batch use a new key.",
    ),
    errors.BatchTakenOver: Kind(
        "batch-taken-over",
        409,
        "Another request feeds this batch",
        "Of several requests with one Idempotency-Key only the latest is listened to; perhaps one "
        "that you had given up was late. What was stored stays. Send it again to go on.",
    ),
    errors.ColumnsChanged: Kind(
        "columns-changed",
        409,
        "The table has other columns by now",
        "What is measured has changed since the first piece, as with a new release: what comes "
        "next would stand below names that are not its own. Take the table anew from its first "
        "line, without `after` and `columns`.",
    ),
    errors.Overloaded: Kind(
        "overloaded",
        503,
        "Too much at once",
        "The server has as many uploads and exports on its hands as it may, or as many exports as "
        "it may have of one user. Try again after Retry-After.",
        retry_after_s=1,
    ),
    errors.DependencyError: Kind(
        "unavailable",
        503,
        "Something that Isoline leans on is away",
        "An upload may or may not have been stored. Try again after Retry-After; with the same "
        "Idempotency-Key nothing is stored twice.",
        retry_after_s=2,
    ),
}

INTERNAL = Kind(
    "internal",
    500,
    "Something went wrong on our side",
    "It has been logged under the request id. Tell the operator that id.",
)
# Of a line of a batch: no request is ever answered with it.
ANALYSIS_FAILED = Kind(
    "analysis-failed",
    422,
    "The ECG has no insights",
    "It was stored, and its analysis ended without a result; the detail says why.",
)
PLAIN = {
    405: Kind(
        "method-not-allowed",
        405,
        "This method is not allowed here",
        "The Allow header of the answer lists the methods that are.",
    ),
}
ALL_KINDS = [*KINDS.values(), ANALYSIS_FAILED, *PLAIN.values(), INTERNAL]


def kind_of(error: type[errors.ServiceError]) -> Kind:
    """The most specific kind that is known for this type of error."""
    for ancestor in error.__mro__:
        if ancestor in KINDS:
            return KINDS[ancestor]
    return INTERNAL


def kind_of_status(status: int) -> Kind:
    """What is said of a refusal that is known by its status code alone."""
    known = {kind.status: kind for kind in (INTERNAL, *reversed(KINDS.values()), *PLAIN.values())}
    if status in known:
        return known[status]
    return Kind("malformed-request", status, HTTPStatus(status).phrase, "")


def problem_of(error: errors.ServiceError, request_id: str) -> Problem:
    """What is answered to this error, and written down of a line of a batch."""
    faults: list[FaultDetail] | UnsetType = UNSET
    if isinstance(error, errors.InvalidRequest):
        faults = [FaultDetail(fault.pointer, fault.detail) for fault in error.faults]
    return make_problem(kind_of(type(error)), str(error), request_id, faults)


def make_problem(
    kind: Kind, detail: str, request_id: str, faults: list[FaultDetail] | UnsetType = UNSET
) -> Problem:
    """A problem of this kind."""
    return Problem(
        type=f"/problems/{kind.slug}",
        title=kind.title,
        status=kind.status,
        detail=detail,
        request_id=request_id,
        errors=faults,
    )
