"""Who may come in: users, their tokens, and the administrator's.

A token is 256 random bits, shown once. What is stored is its SHA-256: with so much randomness
nothing slower is needed, and a stolen table opens no door.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import unicodedata
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from msgspec import Meta, Struct
from sqlalchemy import Connection, Engine, bindparam, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from api.audit import write_down
from api.erasure import erase_batches, erase_every
from api.faults import invalid
from api.moments import at
from api.pages import MOST_ROWS, Page, Paging, fetch_page
from shared.database import now_s, transaction
from shared.errors import Fault, NotFound, Unauthenticated, UsernameTaken
from shared.models import Ecg as EcgRow
from shared.models import User as UserRow

NO_SUCH_USER = "There is no such user."
WHO_ARE_YOU = "A valid user token is needed here, as x-user-token or as a Bearer token."
# Compared with when a token is unknown, so that both cases take the same way.
_NOBODY = bytes(32)


@dataclass(frozen=True)
class Caller:
    """The user on whose behalf a request is carried out."""

    user_id: int


class Registration(Struct):
    """What the administrator sends to register somebody."""

    username: Annotated[str, Meta(min_length=1, max_length=64, description="Visible characters.")]


class Credentials(Struct):
    """A user and the token that is shown this once."""

    username: str
    token: str


class User(Struct):
    """One line in the list of users."""

    username: str
    created_at: datetime


def _sha256(token: str) -> bytes:
    # A header may carry any text; surrogates stand for bytes that were no UTF-8.
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def check_admin(token: str | None, admin_token: str) -> None:
    """Let the administrator pass; raises `Unauthenticated` for everybody else."""
    if not hmac.compare_digest(_sha256(token or ""), _sha256(admin_token)):
        raise Unauthenticated("A valid admin token is needed here, as x-admin-token.")


def authenticate(connection: Connection, token: str | None) -> Caller:
    """Find out whose token this is; raises `Unauthenticated` when it is nobody's."""
    hashed = _sha256(token or "")
    row = connection.execute(_WHOSE, {"hashed": hashed}).one_or_none()
    if not hmac.compare_digest(hashed, row.token_sha256 if row else _NOBODY) or row is None:
        raise Unauthenticated(WHO_ARE_YOU)
    return Caller(row.id)


# Asked with every request: to put the statement together takes longer than to answer it.
_WHOSE = select(UserRow.id, UserRow.token_sha256).where(UserRow.token_sha256 == bindparam("hashed"))


def register(engine: Engine, registration: Registration, *, request_id: str) -> Credentials:
    """Add a user; raises `InvalidRequest` for an unfit name, `UsernameTaken` for a taken one."""
    _check_username(registration.username)
    token = secrets.token_urlsafe(32)
    row = {"username": registration.username, "token_sha256": _sha256(token)}
    try:
        with transaction(engine) as connection:
            connection.execute(insert(UserRow).values(**row, created_at_s=now_s()))
            write_down(connection, "register", registration.username, request_id)
    except IntegrityError:
        raise UsernameTaken("This username is taken.") from None
    return Credentials(registration.username, token)


def _check_username(username: str) -> None:
    """Allow what can be seen and typed into a path: no spaces, no control or format characters."""
    if any(unicodedata.category(character)[0] in "CZ" for character in username):
        raise invalid([Fault("/username", "must consist of visible characters")])
    if username in {".", ".."} or "/" in username:
        raise invalid([Fault("/username", "must not be a dot, two dots, or contain a slash")])


def rotate_token(engine: Engine, username: str, *, request_id: str) -> Credentials:
    """Give a user a new token; the old one dies with the same commit. Raises `NotFound`."""
    _check_askable(username)
    token = secrets.token_urlsafe(32)
    with transaction(engine) as connection:
        changed = connection.execute(
            update(UserRow).where(UserRow.username == username).values(token_sha256=_sha256(token))
        )
        if changed.rowcount == 0:
            raise NotFound(NO_SUCH_USER)
        write_down(connection, "rotate_token", username, request_id)
    return Credentials(username, token)


def erase(engine: Engine, username: str, *, request_id: str) -> None:
    """Erase a user with every ECG of theirs; raises `NotFound`.

    Cut short, it leaves a user whose token is dead and some of their ECGs; again, it goes on.
    """
    _check_askable(username)
    # The token dies first, so that there is an end to what is to be erased.
    dead = update(UserRow).where(UserRow.username == username).returning(UserRow.id)
    with transaction(engine) as connection:
        user_id = connection.scalar(dead.values(token_sha256=secrets.token_bytes(32)))
        if user_id is None:
            raise NotFound(NO_SUCH_USER)
        write_down(connection, "erase", username, request_id)
    erase_every(engine, EcgRow.user_id == user_id)
    erase_batches(engine, user_id)
    # What a request that had come in before has added meanwhile goes with its user.
    with transaction(engine) as connection:
        connection.execute(delete(UserRow).where(UserRow.id == user_id))


def is_still_there(connection: Connection, caller: Caller) -> bool:
    """Whether a caller who was let in has not been erased since then."""
    one = select(UserRow.id).where(UserRow.id == caller.user_id)
    return connection.scalar(one) is not None


def _check_askable(username: str) -> None:
    # PostgreSQL takes offence at NUL, and nobody is called that.
    if "\0" in username:
        raise NotFound(NO_SUCH_USER)


def find_all(engine: Engine, paging: Paging) -> Page[User]:
    """List the users by name, a page at a time."""

    def read(row: Any) -> User:
        return User(row.username, at(row.created_at_s))

    # Every name comes after none.
    asked = {"cursor": paging.cursor or ""}
    return fetch_page(engine, _BY_NAME, asked, paging, read, lambda user: user.username)


_BY_NAME = (
    select(UserRow.username, UserRow.created_at_s)
    .where(UserRow.username > bindparam("cursor"))
    .order_by(UserRow.username)
    .limit(MOST_ROWS)
)
