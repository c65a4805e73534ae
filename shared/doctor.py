"""One page in words: what runs, what waits and since when, what failed, and what to do about it.

`python -m shared.doctor`, in any container; `make doctor` on one machine. The exit code is 1 when
something needs somebody. Nothing that is away is waited for longer than seconds.
"""

from __future__ import annotations

import argparse
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from typing import NoReturn

import redis
from sqlalchemy import Engine, select
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from shared import database, sqlite
from shared.database import reading
from shared.database_examination import examine_database
from shared.errors import DatabaseDamaged, DatabaseUnavailable, SettingsError
from shared.examinations import examine_broker, examine_disk
from shared.findings import AWAY, RESTORE, Finding
from shared.models import AuditEntry
from shared.settings import Settings

# All parts are asked at once, and by then the page is written, whoever has not answered.
PATIENCE_S = 2.5

REFUSED = "Give the user of ISOLINE_DATABASE_URL the rights to all tables."
UNREADABLE = "See who may read the data folder; `make run` writes it anew when it starts."

Examination = Callable[[], Iterable[Finding]]


def examine(settings: Settings, others: dict[str, Examination] | None = None) -> list[Finding]:
    """Ask everything there is, side by side; takes seconds at most, whatever is away.

    Parameters
    ----------
    others : what else there is to be asked on this machine, by the name of the part.
    """
    examinations: dict[str, Examination] = {
        "database": lambda: examine_database(settings),
        "broker": lambda: examine_broker(settings),
        "disk": lambda: examine_disk(settings),
        **(others or {}),
    }
    end_s = time.monotonic() + PATIENCE_S
    interviews = [_Interview(what, ask) for what, ask in examinations.items()]
    return [finding for interview in interviews for finding in interview.findings(end_s)]


class _Interview:
    """One part that is asked, and what it has said by now."""

    def __init__(self, what: str, ask: Examination) -> None:
        self._what = what
        self._ask = ask
        self._said: list[Finding] = []
        # Not waited for at the end: who does not answer must not keep the page from being read.
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        try:
            for finding in self._ask():
                self._said.append(finding)
        except DatabaseDamaged:
            self._said.append(Finding(self._what, "is damaged", RESTORE))
        except (DatabaseUnavailable, redis.RedisError):
            self._said.append(self._is_away())
        except SQLAlchemyError as error:
            self._said.append(Finding(self._what, f"refuses a question{_why(error)}", REFUSED))
        except (OSError, ValueError) as error:
            says = f"cannot be examined: what is noted of it cannot be read{_why(error)}"
            self._said.append(Finding(self._what, says, UNREADABLE))
        # Whatever nobody thought of must not pass for a part that is well; its message may quote
        # what nobody is to read.
        except Exception as error:  # noqa: BLE001
            says = f"cannot be examined, which is a fault of the doctor's own{_why(error)}"
            self._said.append(Finding(self._what, says, "Look at its log, and report this."))

    def findings(self, end_s: float) -> Iterator[Finding]:
        """What was said until then, and that there would have been more."""
        self._thread.join(max(0.0, end_s - time.monotonic()))
        is_complete = not self._thread.is_alive()
        yield from list(self._said)
        if not is_complete:
            yield self._is_away()

    def _is_away(self) -> Finding:
        says = "has not answered all questions in time" if self._said else "does not answer"
        return Finding(self._what, says, AWAY.get(self._what, "Look at its log."))


def _why(error: Exception) -> str:
    origin = error.orig if isinstance(error, DBAPIError) else error
    return f" ({type(origin).__name__})"


def audit_trail(engine: Engine) -> list[str]:
    """What the administrator did, a line each, the newest last."""
    with reading(engine) as connection:
        entries = connection.execute(select(AuditEntry.__table__).order_by(AuditEntry.id)).all()
    return [
        f"{datetime.fromtimestamp(entry.at_s, UTC):%Y-%m-%dT%H:%M:%SZ}  {entry.act:<12}  "
        f"{entry.username}  {entry.request_id}"
        for entry in entries
    ]


def main(
    settings: Settings,
    arguments: list[str] | None = None,
    others: dict[str, Examination] | None = None,
) -> int:
    """Print the page, or the audit trail; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m shared.doctor", description=__doc__)
    parser.add_argument("--audit", action="store_true", help="what the administrator did")
    if parser.parse_args(arguments).audit:
        return _print_audit_trail(settings)
    findings = examine(settings, others)
    print(*findings, sep="\n")
    unwell = sum(not finding.is_well for finding in findings)
    print(f"\n{unwell} of {len(findings)} need somebody." if unwell else "\nAll is well.")
    return 1 if unwell else 0


def _print_audit_trail(settings: Settings) -> int:
    file = sqlite.file_of(settings.database_url)
    if file is not None and not file.exists():
        # To ask would make one.
        print(f"{file} is not there.", file=sys.stderr)
        return 1
    engine = database.connect(settings.database_url, patience_s=PATIENCE_S, pool_size=1)
    try:
        print(*audit_trail(engine), sep="\n")
    except DatabaseDamaged as error:
        print(error, file=sys.stderr)
    except DatabaseUnavailable:
        print("The database does not answer.", file=sys.stderr)
    except SQLAlchemyError as error:
        print(f"The database refuses the question{_why(error)}.", file=sys.stderr)
    else:
        return 0
    finally:
        engine.dispose()
    return 1


def run(settings: Settings, others: dict[str, Examination] | None = None) -> NoReturn:
    """Be the program: print, and end with the exit code."""
    try:
        code = main(settings, others=others)
        sys.stdout.flush()
    except BrokenPipeError:
        # Who reads the first lines only has read enough.
        code = 1
    # Threads that still wait for somebody who does not answer are left behind.
    os._exit(code)


if __name__ == "__main__":
    try:
        known = Settings.from_environ()
    except SettingsError as error:
        sys.exit(str(error))
    run(known)
