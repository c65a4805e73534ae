"""What others do at the same moment changes an answer only when it must."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import Engine
from sqlalchemy.exc import IntegrityError

from api import ecgs
from api.clerks import Clerks
from api.ledger import Ledger
from api.users import Caller
from shared.errors import Unauthenticated
from tests.door import Door

SMALL = {"leads": [{"name": "I", "signal": [1, -1]}]}
NOTHING = b'{"leads": []}'


def test_a_repeated_upload_whose_first_one_is_erased_at_that_moment_is_a_new_one(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = {**door.user(), "Idempotency-Key": "one"}
    first = door.post("/ecgs", json=SMALL, headers=ada)
    look_up = ecgs._first_answer

    def erase_and_look_up(*arguments: Any) -> Any:
        door.delete(f"/ecgs/{first.json['id']}", headers=ada)
        return look_up(*arguments)

    monkeypatch.setattr(ecgs, "_first_answer", erase_and_look_up)
    second = door.post("/ecgs", json=SMALL, headers=ada)
    assert second.status_code == 201
    assert second.json["id"] != first.json["id"]
    assert second.json["id"] in door.rung


def ring_in_vain(ecg_ids: Sequence[str], _: str) -> None:
    pytest.fail(f"rung for {ecg_ids}, which nobody has stored")


def test_somebody_erased_while_uploading_is_nobody(engine: Engine) -> None:
    with pytest.raises(Unauthenticated):
        ecgs.submit(
            *(Ledger(engine), Clerks(), Caller(404), NOTHING), request_id="", ring=ring_in_vain
        )


def test_a_clash_of_ids_is_not_taken_for_a_stranger(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = door.user()
    ecg_id = door.upload(ada, [1])
    monkeypatch.setattr("uuid_utils.uuid7", lambda: ecg_id)
    for key in (None, "one"):
        with pytest.raises(IntegrityError):
            ecgs.submit(
                *(Ledger(door.engine), Clerks(), Caller(1), NOTHING),
                request_id="",
                ring=ring_in_vain,
                key=key,
            )
