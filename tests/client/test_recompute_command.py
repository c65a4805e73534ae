"""`isoline recompute`, as the administrator types it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
from sqlalchemy import update

from isoline import Client, Ecg, Lead
from shared import database
from shared.database import transaction
from shared.models import Ecg as Row
from tests.parts import ADMIN_TOKEN, HOUSE
from tests.stack import Stack


def run(
    stack: Stack, *arguments: str, token: str = ADMIN_TOKEN
) -> subprocess.CompletedProcess[str]:
    kept = {name: text for name, text in os.environ.items() if not name.startswith("ISOLINE_")}
    environ = {"PYTHONPATH": str(HOUSE / "client"), "ISOLINE_URL": stack.url}
    return subprocess.run(
        [sys.executable, "-m", "isoline", "recompute", *arguments],
        env={**kept, **environ, "ISOLINE_ADMIN_TOKEN": token, "XDG_CONFIG_HOME": "/nowhere"},
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.fixture
def ecg_ids(stack: Stack, isoline: Client) -> Iterator[list[str]]:
    """Three ECGs that are finished, and from before there were catalogues."""
    ecg = Ecg([Lead("I", [1, -1, 1])])
    ids = [isoline.upload(ecg, wait_s=20).id for _ in range(3)]
    engine = database.connect(stack.environ["ISOLINE_DATABASE_URL"])
    with transaction(engine) as connection:
        connection.execute(update(Row).where(Row.id.in_(ids)).values(catalogue=""))
    engine.dispose()
    yield ids
    for ecg_id in ids:
        isoline.erase(ecg_id)


def test_it_is_counted_asked_for_and_watched(
    stack: Stack, isoline: Client, ecg_ids: list[str]
) -> None:
    counted = run(stack)
    assert counted.returncode == 0
    assert counted.stdout.split() == ["stale", "waiting", "failed", "queued", "3", "0", "0", "0"]
    assert "--stale" in counted.stderr
    for dry in (
        ["--stale", "--dry-run"],
        ["--dry-run", "--insight", "beats"],
        ["--stale", "--insight", "beats", "--dry-run"],
    ):
        counted = json.loads(run(stack, *dry, "--json").stdout)
        assert counted == {"stale": 3, "waiting": 0, "failed": 0, "queued": 0}

    done = run(stack, "--stale", "--watch", "--json")

    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == {"stale": 0, "waiting": 0, "failed": 0, "queued": 3}
    assert all(isoline.insights(ecg_id).status == "finished" for ecg_id in ecg_ids)
    again = run(stack, "--stale", "--watch", "--json")
    assert json.loads(again.stdout)["queued"] == 0
    assert again.stderr == "Nothing is out of date.\n"


def test_what_is_wrong_is_said_in_a_sentence(stack: Stack, token: str) -> None:
    done = run(stack, "--insight", "crossing")
    assert done.returncode == 1
    assert "is not the name of an insight" in done.stderr
    assert "there are amplitude, beats, heart_rate," in done.stderr
    done = run(stack, "--stale", token=token)
    assert done.returncode == 1
    assert "admin token" in done.stderr
    assert "The administrator's token came from ISOLINE_ADMIN_TOKEN." in done.stderr
