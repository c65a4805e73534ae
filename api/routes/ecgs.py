"""/ecgs: upload, list, describe, erase, and poll for insights."""

from __future__ import annotations

from contextlib import suppress

from flask import Blueprint, Response, request, url_for
from msgspec import Raw

import api.ecgs as acts
from api import polls
from api.openapi import Answer, Operation, promises
from api.pages import Page, parse_paging
from api.routes.desk import (
    COME_BACK,
    answer,
    caller,
    desk,
    idempotency_key,
    nothing,
    place,
    reading_as_caller,
    received_body,
    request_id,
    revalidated,
    wait_for,
)
from api.uploads import Upload
from api.users import Caller
from shared.database import reading
from shared.errors import (
    DependencyError,
    IdempotencyConflict,
    InvalidRequest,
    NotFound,
)

ecgs = Blueprint("ecgs", __name__)

UNCHANGED = Answer("Nothing has changed since the answer with this ETag.", headers=["ETag"])


@ecgs.post("/ecgs")
@promises(
    Operation(
        "Upload an ECG",
        {
            201: Answer(
                "Stored durably; its insights will come.",
                acts.Accepted,
                headers=["Location"],
                at_times=["Retry-After", "Preference-Applied"],
            )
        },
        who="user",
        request=Upload,
        example={
            "date": "2026-11-23T08:00:00+01:00",
            "sampling_rate": 500,
            "leads": [{"name": "I", "signal": [1, 0, -1, 0, 1, 0, 0, 1]}],
        },
        parameters=["Idempotency-Key", "Prefer", "Content-Encoding"],
        problems=[IdempotencyConflict],
    )
)
def submit() -> Response:
    progress: polls.Progress | None = None
    applied: dict[str, str] = {}
    with desk().lane.overtaking():
        who, ecg = _store()
        # It is stored, and must not be called anything else because there is no news of it.
        with suppress(DependencyError, NotFound):
            progress, applied = _wait_for(who, ecg.id, None)
    ended = progress.ended if progress else None
    if ended is not None:
        ecg.status, ecg.finished_at = ended.status, ended.finished_at
        ecg.insights = Raw(ended.document)
    response = answer(ecg, 201)
    response.headers["Location"] = url_for("ecgs.find_one", ecg_id=ecg.id)
    if ended is None:
        response.headers.update(COME_BACK)
    response.headers.update(applied)
    return response


@ecgs.get("/ecgs")
@promises(
    Operation(
        "List your ECGs",
        {
            200: Answer("One page, newest first.", Page[acts.Ecg], headers=["ETag"]),
            304: UNCHANGED,
        },
        who="user",
        parameters=["limit", "cursor", "status", "If-None-Match"],
        problems=[InvalidRequest],
    )
)
def find_all() -> Response:
    who = caller()
    paging = parse_paging(request.args)
    return revalidated(acts.find_all(desk().engine, who, paging, request.args.get("status")))


@ecgs.get("/ecgs/<ecg_id>")
@promises(
    Operation(
        "Describe an ECG",
        {
            200: Answer("What was uploaded, without the samples.", acts.Ecg, headers=["ETag"]),
            304: UNCHANGED,
        },
        who="user",
        parameters=["If-None-Match"],
        problems=[NotFound],
    )
)
def find_one(ecg_id: str) -> Response:
    return revalidated(acts.find_one(desk().engine, caller(), ecg_id))


@ecgs.delete("/ecgs/<ecg_id>")
@promises(Operation("Erase an ECG", {204: Answer("Erased.")}, who="user", problems=[NotFound]))
def erase(ecg_id: str) -> Response:
    acts.erase(desk().engine, caller(), ecg_id)
    return nothing()


@ecgs.get("/ecgs/<ecg_id>/insights")
@promises(
    Operation(
        "Poll for insights",
        {
            200: Answer(
                "Finished, or failed with its reason.",
                polls.Finished | polls.Failed,
                headers=["ETag"],
                at_times=["Preference-Applied"],
            ),
            202: Answer(
                "Still to come.",
                polls.Pending,
                headers=["Retry-After"],
                at_times=["Preference-Applied"],
            ),
            304: UNCHANGED,
        },
        who="user",
        parameters=["Prefer", "If-None-Match"],
        problems=[NotFound],
    )
)
def find_insights(ecg_id: str) -> Response:
    with reading_as_caller() as (connection, who):
        seen = polls.find_progress(connection, who, ecg_id)
    news, applied = _wait_for(who, ecg_id, seen)
    progress = news or seen
    if progress.ended is not None:
        response = revalidated(progress.ended.document)
    else:
        response = answer(polls.say_why(desk().engine, desk().broker, progress), 202)
        response.headers.update(COME_BACK)
    response.headers.update(applied)
    return response


def _store() -> tuple[Caller, acts.Accepted]:
    # A function of its own: whoever waits afterwards must not hold the body in memory meanwhile.
    at_desk = desk()
    with place() as share:
        who, key = caller(), idempotency_key()
        ecg = acts.submit(
            at_desk.ledger,
            at_desk.clerks,
            who,
            received_body(share),
            request_id=request_id(),
            ring=at_desk.ring,
            key=key,
        )
    return who, ecg


def _wait_for(
    who: Caller, ecg_id: str, seen: polls.Progress | None
) -> tuple[polls.Progress | None, dict[str, str]]:
    engine = desk().engine

    def look() -> polls.Progress:
        with reading(engine) as connection:
            return polls.find_progress(connection, who, ecg_id)

    return wait_for(ecg_id, look, seen)
