"""What only PostgreSQL needs: a connection that is durable, and that waits for nobody for ever."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine, create_engine, event

if TYPE_CHECKING:
    import psycopg

# A commit that the server tells of before it is on a disk would make an answer of 201 a guess;
# remote_apply is the one that asks for more.
_DURABLY = """
SELECT set_config('synchronous_commit', 'on', false)
WHERE current_setting('synchronous_commit') <> 'remote_apply'
"""


def connect(url: str, *, patience_s: float, idle_s: float, options: dict[str, Any]) -> Engine:
    """Make an engine; its arguments are those of `database.connect`."""
    milliseconds = int(patience_s * 1000)
    engine = create_engine(
        url,
        pool_pre_ping=True,
        connect_args={
            "connect_timeout": max(2, int(patience_s)),
            # A host that vanishes says nothing; the kernel would wait for it for a quarter hour.
            "keepalives_idle": 5,
            "keepalives_interval": 2,
            "keepalives_count": 3,
            "tcp_user_timeout": 2 * milliseconds,
            "options": f"-c lock_timeout={milliseconds} -c statement_timeout={3 * milliseconds} "
            f"-c idle_in_transaction_session_timeout={int(idle_s * 1000)}",
        },
        **options,
    )
    kind = _impatient(patience_s)

    def connect(dialect: Any, entry: Any, arguments: Any, named: Any) -> Any:
        connection = kind.connect(*arguments, **named)
        connection.autocommit = True
        connection.execute(_DURABLY)
        connection.autocommit = False
        return connection

    event.listen(engine, "do_connect", connect)
    return engine


def let_take_long(connection: Connection) -> None:
    """Take as long as it needs for what is asked on this connection, and on no other.

    To wait for a lock stays bounded: whoever comes later would wait behind it.
    """
    driver: Any = connection.connection.driver_connection
    connection.detach()
    driver.longest_s = None
    connection.exec_driver_sql("SET statement_timeout = 0")
    connection.commit()


def _impatient(patience_s: float) -> type[psycopg.Connection[Any]]:
    # A twentieth of what it takes to start, of which SQLite needs nothing.
    import psycopg

    class Impatient(psycopg.Connection[Any]):
        # A server that is frozen holds its end of the connection and never says a word: it keeps to
        # none of the bounds that it was told.
        longest_s: float | None = 4 * patience_s

        def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
            # In autocommit nothing is asked but whether it is there, which takes no time.
            longest_s = patience_s if self.autocommit else self.longest_s
            try:
                return super().wait(gen, interval, timeout or longest_s)
            except psycopg.errors._WaitTimeout:
                # What it would still say belongs to nobody.
                self.pgconn.finish()
                raise psycopg.OperationalError("The server says nothing.") from None

    return Impatient
