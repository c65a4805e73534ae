"""A real stack for the client and the command, and somebody who may use it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from isoline import Client
from tests.parts import ADMIN_TOKEN
from tests.stack import Stack


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, redis_url: str) -> Iterator[Stack]:
    """API, workers and relay, on SQLite."""
    folder = tmp_path_factory.mktemp("client")
    url = f"sqlite:///{folder / 'isoline.db'}"
    with Stack(folder, database_url=url, redis_url=redis_url) as stack:
        yield stack


@pytest.fixture(scope="module")
def token(stack: Stack) -> str:
    """Of somebody who was registered with the client."""
    with Client(stack.url, admin_token=ADMIN_TOKEN) as admin:
        return admin.register("ada").token


@pytest.fixture
def isoline(stack: Stack, token: str) -> Iterator[Client]:
    """Their client."""
    with Client(stack.url, token) as client:
        yield client
