"""/batches: submit many ECGs at once, follow them, and take all results."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import structlog
from flask import Blueprint, Response, request, url_for
from werkzeug.datastructures import MIMEAccept

import api.batches as acts
from api import exports
from api.faults import invalid
from api.openapi import Answer, Operation, promises
from api.pages import Page, parse_paging
from api.reception import Received, Reception
from api.routes.desk import (
    COME_BACK,
    LINES_OF_JSON,
    answer,
    caller,
    desk,
    idempotency_key,
    nothing,
    place,
    received_lines,
    request_id,
    revalidated,
    wait_for,
)
from api.routes.ecgs import UNCHANGED
from api.uploads import BatchLine
from api.users import Caller
from shared.errors import (
    BatchCancelled,
    BatchTakenOver,
    ColumnsChanged,
    Fault,
    InvalidRequest,
    NotAcceptable,
    NotFound,
    Overloaded,
)

log = structlog.get_logger(__name__)
batches = Blueprint("batches", __name__)

NDJSON, CSV = LINES_OF_JSON[0], "text/csv"
MOST_DIGITS = 9


@batches.post("/batches")
@promises(
    Operation(
        "Submit a batch",
        {
            202: Answer(
                "Every line is stored durably, or rejected with its reason.",
                Received,
                headers=["Location"],
                at_times=["Retry-After"],
            )
        },
        who="user",
        request=BatchLine,
        request_type=NDJSON,
        example='{"custom_id": "a", "leads": [{"name": "I", "signal": [1, 0, -1, 0, 1]}]}\n'
        '{"custom_id": "b", "leads": [{"name": "I", "signal": [1, 2, 3]}]}\n',
        parameters=["Idempotency-Key", "Content-Encoding"],
        problems=[BatchCancelled, BatchTakenOver, NotFound],
    )
)
def submit() -> Response:
    at_desk = desk()
    # Packed or not: what is cut where a member of gzip ends looks whole, too.
    has_known_end = request.content_length is not None
    with place() as share:
        who, key = caller(), idempotency_key()
        lines = received_lines(share)
        reception = Reception(
            at_desk.ledger,
            who,
            key=key,
            request_id=request_id(),
            most_bytes=at_desk.settings.max_upload_bytes,
            ring=at_desk.ring,
            lane=at_desk.lane,
        )
        received = reception.take(lines, has_known_end=has_known_end)
    response = answer(received, 202)
    response.headers["Location"] = url_for("batches.find_one", batch_id=received.id)
    if not received.has_ended:
        response.headers.update(COME_BACK)
    return response


@batches.get("/batches")
@promises(
    Operation(
        "List your batches",
        {
            200: Answer("One page, newest first.", Page[acts.Batch], headers=["ETag"]),
            304: UNCHANGED,
        },
        who="user",
        parameters=["limit", "cursor", "If-None-Match"],
        problems=[InvalidRequest],
    )
)
def find_all() -> Response:
    return revalidated(acts.find_all(desk().engine, caller(), parse_paging(request.args)))


@batches.get("/batches/<batch_id>")
@promises(
    Operation(
        "Follow a batch",
        {
            200: Answer(
                "How far it is.",
                acts.Batch,
                headers=["ETag"],
                at_times=["Preference-Applied", "Retry-After"],
            ),
            304: UNCHANGED,
        },
        who="user",
        parameters=["Prefer", "If-None-Match"],
        problems=[NotFound],
    )
)
def find_one(batch_id: str) -> Response:
    who, engine = caller(), desk().engine
    seen = acts.find_one(engine, who, batch_id)
    news, applied = wait_for(batch_id, lambda: acts.find_one(engine, who, batch_id), seen)
    batch = news or seen
    response = revalidated(batch)
    response.headers.update(applied)
    if not batch.has_ended:
        response.headers.update(COME_BACK)
    return response


@batches.post("/batches/<batch_id>/cancel")
@promises(
    Operation(
        "Cancel a batch",
        {200: Answer("What has not begun will not; what has finished stays.", acts.Batch)},
        who="user",
        problems=[NotFound],
    )
)
def cancel(batch_id: str) -> Response:
    return answer(acts.cancel(desk().engine, caller(), batch_id))


@batches.delete("/batches/<batch_id>")
@promises(
    Operation(
        "Erase a batch with all its ECGs",
        {204: Answer("Erased.")},
        who="user",
        problems=[NotFound],
    )
)
def erase(batch_id: str) -> Response:
    acts.erase(desk().engine, caller(), batch_id)
    return nothing()


@batches.get("/batches/<batch_id>/insights")
@promises(
    Operation(
        "Take the insights of a batch",
        {
            200: Answer(
                "One line an ECG, or one row a lead, in the order of the lines, up to the first "
                "one that has not ended. A last line that is a problem (in CSV a row that begins "
                "with `cut`) says that the rest could not be read.",
                exports.FinishedLine,
                media_type=NDJSON,
                also=[CSV],
            )
        },
        who="user",
        parameters=["format", "after", "columns"],
        problems=[InvalidRequest, NotAcceptable, NotFound, ColumnsChanged, Overloaded],
    )
)
def export_insights(batch_id: str) -> Response:
    return _export(exports.export_insights, batch_id)


@batches.get("/batches/<batch_id>/errors")
@promises(
    Operation(
        "Take what was rejected or has failed of a batch",
        {
            200: Answer(
                "In the order of the lines, up to the first one that has not ended, or, when the "
                "rest could not be read, to a problem (in CSV a row that begins with `cut`).",
                exports.ErrorLine,
                media_type=NDJSON,
                also=[CSV],
            )
        },
        who="user",
        parameters=["format", "after", "columns"],
        problems=[InvalidRequest, NotAcceptable, NotFound, ColumnsChanged, Overloaded],
    )
)
def export_errors(batch_id: str) -> Response:
    return _export(exports.export_errors, batch_id)


def _export(export: Callable[..., Iterator[bytes]], batch_id: str) -> Response:
    who: Caller = caller()
    after, form, columns = _after(), _format(), request.args.get("columns")
    places = desk().exports
    places.take(who.user_id)
    try:
        pieces = export(desk().engine, who, batch_id, after=after, form=form, columns=columns)
    except BaseException:
        places.give_back(who.user_id)
        raise
    pieces = _or_cut(pieces, form, request_id())
    response = Response(pieces, mimetype=NDJSON if form == "ndjson" else CSV)
    response.headers["Cache-Control"] = "no-store"
    response.call_on_close(lambda: places.give_back(who.user_id))
    return response


def _or_cut(pieces: Iterator[bytes], form: exports.Format, request_id: str) -> Iterator[bytes]:
    """The results; when they cannot be read to their end, that is said where they end."""
    try:
        yield from pieces
    except Exception:
        log.exception("results are cut", request_id=request_id)
        yield exports.cut_short(form, request_id)


def _after() -> int:
    text = request.args.get("after", "0")
    if not (text.isascii() and text.isdigit() and len(text) <= MOST_DIGITS):
        raise invalid([Fault("/query/after", "must be the number of a line")])
    return int(text)


def _format() -> exports.Format:
    form = request.args.get("format")
    if form is None:
        # Whatever else is said of a form, its charset or its header, is no other form to us.
        plain = [(name.partition(";")[0], q) for name, q in request.accept_mimetypes]
        best = MIMEAccept(plain).best_match([NDJSON, CSV]) if plain else NDJSON
        if best is None:
            raise NotAcceptable(f"This is given as {NDJSON} or as {CSV}.")
        return "csv" if best == CSV else "ndjson"
    if form == "csv":
        return "csv"
    if form == "ndjson":
        return "ndjson"
    raise invalid([Fault("/query/format", "must be one of ndjson, csv")])
