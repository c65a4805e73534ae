"""What is counted of PostgreSQL is the server's own."""

from __future__ import annotations

import psutil
import psycopg

from bench.cases import cpu_of
from bench.postgresql import log_of, server_of, size_of
from tests.databases import another_database, open_postgresql, plain_url


def test_time_and_bytes_are_those_of_the_server() -> None:
    with open_postgresql() as server_url:
        url = another_database(server_url, "counted")
        server, size, log = server_of(url), size_of(url), log_of(url)
        assert psutil.Process(server).name() == "postgres"
        cpu_before_s, bytes_before, log_before = cpu_of(server), size(), log()
        with psycopg.connect(plain_url(url)) as connection:
            connection.execute("CREATE TABLE rows AS SELECT * FROM generate_series(1, 300000)")
        # Whoever answered has ended by now: what it has used must not be lost with it.
        assert cpu_of(server) > cpu_before_s
        assert 300_000 * 28 < size() - bytes_before < 300_000 * 80
        assert 300_000 * 28 < log() - log_before < 300_000 * 160
