"""What can be done with ECGs: submit, describe, list, erase."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType
from sqlalchemy import Connection, Engine, and_, bindparam, delete, select
from sqlalchemy.exc import IntegrityError

from api.clerks import Clerks
from api.erasure import wait_no_more
from api.faults import invalid
from api.ledger import Ledger
from api.moments import at
from api.pages import ID, Page, Paging, fetch_page, id_before, newest_first
from api.rows import row_of
from api.uploads import parse
from api.users import WHO_ARE_YOU, Caller, is_still_there
from shared.database import reading, transaction
from shared.errors import Fault, IdempotencyConflict, NotFound, Unauthenticated
from shared.jobs import INTERACTIVE
from shared.models import FAILED, FINISHED, PENDING, RUNNING, LeadSummary
from shared.models import Ecg as EcgRow
from shared.signals import encode

NO_SUCH_ECG = "There is no such ECG."
# To the outside a job that has begun is as pending as one that has not.
STATUSES = {PENDING: (PENDING, RUNNING), FINISHED: (FINISHED,), FAILED: (FAILED,)}

Status = Literal["pending", "finished", "failed"]

LONGEST_KEY = 255
KEY_PATTERN = f"[!-~]{{1,{LONGEST_KEY}}}"


class Ecg(Struct, kw_only=True):
    """One uploaded recording without its samples."""

    id: str
    status: Status
    created_at: datetime
    finished_at: Annotated[
        datetime | None,
        Meta(
            description="When what is answered now was finished: later than the first time where "
            "insights were computed again."
        ),
    ]
    date: datetime
    sampling_rate: float | None
    unit: str | None
    gain: float | None
    baseline: float
    number_of_leads: int
    leads: list[LeadSummary] | UnsetType = UNSET


class Accepted(Ecg, kw_only=True):
    """The answer to an upload; with `Prefer: wait` also the insights, when they came in time."""

    insights: Raw | UnsetType = UNSET


def submit(
    ledger: Ledger,
    clerks: Clerks,
    caller: Caller,
    body: bytes,
    *,
    request_id: str,
    ring: Callable[[Sequence[str], str], None],
    key: str | None = None,
) -> Accepted:
    """Store an upload as a pending ecg; when this returns, it is committed, and rung for.

    Parameters
    ----------
    clerks : one of them works on it.
    ring : what to do with the id of a new one, and the name of the queue it is for.
    key : how the caller marks it as one that must not be carried out twice.

    Raises
    ------
    MalformedRequest, InvalidRequest : as `parse` does.
    IdempotencyConflict : the key was used with another body.
    Unauthenticated : the caller was erased in the meantime.
    """
    # Compressed before the transaction begins: nobody waits for the database while we compute.
    with clerks.one_for(caller.user_id, body):
        recording = parse(body)
        encoded = encode(recording.leads)
    row = {
        **row_of(recording, caller, request_id),
        "idempotency_key": key,
        "body_sha256": hashlib.sha256(body).digest() if key else None,
    }
    is_second_try = False
    while True:
        try:
            stored = ledger.write(row, encoded)
        except IntegrityError:
            # The unique constraint has decided who came first; a look-up before could not.
            first = _first_answer(ledger.engine, caller, row)
            if first is not None:
                return first
            # Erased since then: its key is free again.
            if is_second_try:
                raise
            is_second_try = True
        else:
            ring([stored["id"]], INTERACTIVE)
            return _accepted(stored)


def _first_answer(engine: Engine, caller: Caller, second: Mapping[str, Any]) -> Accepted | None:
    """What the upload that came first was answered; None when there is none."""
    with reading(engine) as connection:
        if not is_still_there(connection, caller):
            raise Unauthenticated(WHO_ARE_YOU)
        if second["idempotency_key"] is None:
            return None
        row = connection.execute(
            _WITH_LEADS.add_columns(EcgRow.body_sha256).where(
                EcgRow.user_id == caller.user_id,
                EcgRow.idempotency_key == second["idempotency_key"],
            )
        ).one_or_none()
    if row is None:
        return None
    if row.body_sha256 != second["body_sha256"]:
        raise IdempotencyConflict("This Idempotency-Key was used with another body.")
    return _accepted(row._asdict())


def find_one(engine: Engine, caller: Caller, ecg_id: str) -> Ecg:
    """Describe one ecg of this caller; raises `NotFound`."""
    with reading(engine) as connection:
        row = one_of(connection, _ONE, caller, ecg_id)
    return Ecg(**_description(row._asdict()), leads=_leads(row.leads))


def find_all(engine: Engine, caller: Caller, paging: Paging, status: str | None) -> Page[Ecg]:
    """List this caller's ecgs, newest first; raises `InvalidRequest` for an unknown status."""
    asked = {"user_id": caller.user_id, "cursor": id_before(paging)}
    if status not in _LISTS:
        raise invalid([Fault("/query/status", f"must be one of {', '.join(STATUSES)}")])

    def read(row: Any) -> Ecg:
        return Ecg(**_description(row._asdict()))

    return fetch_page(engine, _LISTS[status], asked, paging, read, lambda ecg: ecg.id)


def erase(engine: Engine, caller: Caller, ecg_id: str) -> None:
    """Erase an ecg with its samples and insights; a job in flight finishes into nothing."""
    statement = delete(EcgRow).where(IS_THE_CALLERS).returning(EcgRow.batch_id, EcgRow.status)
    with transaction(engine) as connection:
        wait_no_more(connection, [one_of(connection, statement, caller, ecg_id)])


def one_of(connection: Connection, statement: Any, caller: Caller, ecg_id: str) -> Any:
    """The one row with this id, if it is the caller's: a stranger's ecg does not exist.

    Parameters
    ----------
    statement : one that asks for what `IS_THE_CALLERS`.
    """
    if not ID.fullmatch(ecg_id):
        raise NotFound(NO_SUCH_ECG)
    asked = {"ecg_id": ecg_id, "user_id": caller.user_id}
    row = connection.execute(statement, asked).one_or_none()
    if row is None:
        raise NotFound(NO_SUCH_ECG)
    return row


# What `one_of` binds: statements that are put together once, since that takes longer than to
# answer them.
IS_THE_CALLERS = and_(EcgRow.id == bindparam("ecg_id"), EcgRow.user_id == bindparam("user_id"))


_DESCRIPTION = select(
    EcgRow.id,
    EcgRow.status,
    EcgRow.created_at_s,
    EcgRow.finished_at_s,
    EcgRow.recorded_at_s,
    EcgRow.sampling_rate_hz,
    EcgRow.unit,
    EcgRow.gain,
    EcgRow.baseline,
    EcgRow.number_of_leads,
)
# A list does without the leads: there may be ten thousand in each of its rows.
_WITH_LEADS = _DESCRIPTION.add_columns(EcgRow.leads)
_ONE = _WITH_LEADS.where(IS_THE_CALLERS)

_THEIRS = _DESCRIPTION.where(EcgRow.user_id == bindparam("user_id"))
_LISTS = {None: newest_first(_THEIRS)} | {
    status: newest_first(*(_THEIRS.where(EcgRow.status == one) for one in stored))
    for status, stored in STATUSES.items()
}


def _description(row: Mapping[str, Any]) -> dict[str, Any]:
    finished_at_s = row["finished_at_s"]
    return {
        "id": row["id"],
        "status": PENDING if row["status"] == RUNNING else row["status"],
        "created_at": at(row["created_at_s"]),
        "finished_at": None if finished_at_s is None else at(finished_at_s),
        "date": at(row["recorded_at_s"]),
        "sampling_rate": row["sampling_rate_hz"],
        "unit": row["unit"],
        "gain": row["gain"],
        "baseline": row["baseline"],
        "number_of_leads": row["number_of_leads"],
    }


def _leads(stored: str) -> list[LeadSummary]:
    return msgspec.json.decode(stored, type=list[LeadSummary])


def _accepted(row: Mapping[str, Any]) -> Accepted:
    """The first answer to an upload, also when it is given again later."""
    first = {**row, "status": PENDING, "finished_at_s": None}
    return Accepted(**_description(first), leads=_leads(row["leads"]))
