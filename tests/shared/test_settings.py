"""Settings: every problem at once, no secret in a repr."""

from __future__ import annotations

import os

import pytest

from shared.errors import SettingsError
from shared.settings import Settings


def test_every_problem_is_named_at_once() -> None:
    environ = {
        "ISOLINE_HOST": "example.org",
        "ISOLINE_PORT": "eighty",
        "ISOLINE_WORKERS": "0",
        "ISOLINE_DATABASE_URL": "mysql://x",
        "ISOLINE_ADMIN_TOKEN": "short",
    }
    with pytest.raises(SettingsError) as caught:
        Settings.from_environ(environ, needs=["ISOLINE_REDIS_URL"])
    for name in (*environ, "ISOLINE_REDIS_URL"):
        assert name in str(caught.value)


@pytest.mark.parametrize(
    "token",
    [
        *("Secret", "changemechangeme", "passwordpassword", "Change-Me-Please", "secret" * 9),
        *("administrator-token", "isoline_admin_token_2026", "p123456789012345678ass"),
        *("a" * 15, "a" * 16, "0110" * 8, "abcab" * 8),
        *("a b c d e f " * 2, "éèêàùç" * 3, "qY3aq-Lk20x 7hWbZ19c"),
    ],
)
def test_a_well_known_short_or_unsendable_admin_token_is_refused(token: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.from_environ({"ISOLINE_ADMIN_TOKEN": token})
    assert token not in str(caught.value)


@pytest.mark.parametrize(
    "token", ["canary-canary-canary", "adminQxVb72kLm09P", "0f1e2d3c4b5a69788796a5b4c3d2e1f0"]
)
def test_a_token_that_only_begins_with_a_well_known_word_is_taken(token: str) -> None:
    assert Settings.from_environ({"ISOLINE_ADMIN_TOKEN": token}).admin_token == token


@pytest.mark.parametrize("url", ["http://h", "redis://:pw@host:port/0", "redis://h:70000"])
def test_a_broker_that_cannot_be_named_is_refused_at_once(url: str) -> None:
    with pytest.raises(SettingsError, match="ISOLINE_REDIS_URL") as caught:
        Settings.from_environ({"ISOLINE_REDIS_URL": url})
    assert "pw" not in str(caught.value)


def test_secrets_stay_out_of_the_repr() -> None:
    settings = Settings.from_environ(
        {
            "ISOLINE_ADMIN_TOKEN": "canary-canary-canary",
            "ISOLINE_REDIS_URL": "redis://:canary@localhost/0",
            "ISOLINE_DATABASE_URL": "postgresql://me:canary@localhost/isoline",
        }
    )
    assert "canary" not in repr(settings)


def test_postgresql_may_be_named_without_its_driver() -> None:
    for scheme in ("postgres", "postgresql", "postgresql+psycopg"):
        settings = Settings.from_environ({"ISOLINE_DATABASE_URL": f"{scheme}://host/name"})
        assert settings.database_url == "postgresql+psycopg://host/name"


def test_a_port_may_not_be_used_twice() -> None:
    with pytest.raises(SettingsError, match="ISOLINE_FLOWER_PORT"):
        Settings.from_environ({"ISOLINE_PORT": "5555"})


def test_no_larger_upload_is_allowed_than_a_worker_can_take() -> None:
    most = 64 * 2**20
    allowed = Settings.from_environ({"ISOLINE_MAX_UPLOAD_BYTES": str(most)})
    assert allowed.max_upload_bytes == most
    with pytest.raises(SettingsError, match=f"a whole number from 1024 to {most}"):
        Settings.from_environ({"ISOLINE_MAX_UPLOAD_BYTES": str(most + 1)})


def test_there_are_as_many_workers_as_processors_it_may_run_on() -> None:
    all_of_them = os.sched_getaffinity(0)
    os.sched_setaffinity(0, [min(all_of_them)])
    try:
        assert Settings.from_environ({}).workers == 1
    finally:
        os.sched_setaffinity(0, all_of_them)
    assert Settings.from_environ({}).workers == len(all_of_them)
    assert Settings.from_environ({"ISOLINE_WORKERS": "7"}).workers == 7


@pytest.mark.parametrize(("processors", "processes"), [(1, 1), (2, 1), (4, 2), (16, 7)])
def test_of_five_processors_two_are_for_the_api(
    monkeypatch: pytest.MonkeyPatch, processors: int, processes: int
) -> None:
    # No machine at hand has them all.
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(processors)))
    assert Settings.from_environ({}).api_processes == processes
    assert Settings.from_environ({"ISOLINE_API_PROCESSES": "3"}).api_processes == 3
