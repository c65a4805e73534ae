"""What the doctor asks of broker and disk, and what is to be done about the answer."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

from shared import sqlite
from shared.broker import HEARD_WITHIN_S, Broker, Role
from shared.findings import AWAY, Finding, span
from shared.jobs import BULK, INTERACTIVE, QUARANTINE
from shared.settings import Settings

LEAST_FREE_BYTES = 2**30


def examine_broker(settings: Settings, advice_on_roles: str = "") -> Iterator[Finding]:
    """Whether it is there and takes messages, how many wait in it, and who is heard.

    Parameters
    ----------
    advice_on_roles : what to do about anybody who is missing, where they are not started by hand.
    """
    if settings.redis_url is None:
        advice = "Start Isoline with `make run`, or set ISOLINE_REDIS_URL."
        yield Finding("broker", "is not known here", advice)
        return
    broker = Broker(settings.redis_url)
    yield Finding(
        "broker",
        f"answers; {broker.waiting(INTERACTIVE)} messages wait, {broker.waiting(BULK)} of "
        f"batches, {broker.waiting(QUARANTINE)} in quarantine",
    )
    if refusal := broker.refusal():
        says = f"takes nothing, neither messages nor signs of life: {refusal}"
        advice = "Give it the memory or the disk that it wants. Uploads are safe meanwhile."
        # Whether anybody is at work cannot be said, then.
        yield Finding("broker", says, advice)
        return
    roll = broker.roll()
    if roll is None:
        yield Finding("broker", "does not answer", AWAY["broker"])
        return
    uptime_s = broker.uptime_s()
    for role, advice in _ROLES.items():
        silent_s = roll.silent_s.get(role, {})
        if not silent_s and uptime_s < HEARD_WITHIN_S:
            says = f"not heard yet, the broker is {uptime_s:.0f} s old: ask again"
            yield Finding(_WORDS[role], says)
            continue
        # Who died long ago is news only as long as nobody has taken their place.
        named = {name: s for name, s in silent_s.items() if s <= HEARD_WITHIN_S} or silent_s
        heard = [f"{name} {span(s)} ago" for name, s in named.items()]
        names = f" ({', '.join(sorted(heard)[:4])})" if heard else ""
        says = f"{roll.online(role)} online{names}"
        silent = [name for name, s in silent_s.items() if s > HEARD_WITHIN_S]
        frozen = " ".join(filter(None, map(_process_here, silent)))
        first = f"It is there, and says nothing: `kill -9 {frozen}`. " if frozen else ""
        if not roll.online(role):
            yield Finding(_WORDS[role], says, first + (advice_on_roles or advice))
        elif frozen:
            yield Finding(_WORDS[role], f"{says}, and one is silent", first + REPLACED)
        else:
            yield Finding(_WORDS[role], says)


def _process_here(name: str) -> str:
    """The number of the process that was heard under this name, if it still runs beside us."""
    who, _, host = name.rpartition("@")
    pid = who.rpartition("-")[2]
    if not pid.isdecimal() or host != socket.gethostname():
        return ""
    try:
        arguments = Path("/proc", pid, "cmdline").read_bytes().split(b"\0")
    except OSError:
        return ""
    # Its number may be somebody else's by now, who is not to be killed.
    return pid if _MODULES.intersection(arguments) else ""


REPLACED = "Another one is started in its place, where somebody sees to that."
_WORDS: dict[Role, str] = {
    "api": "API",
    "worker": "workers",
    "bulk": "bulk workers",
    "quarantine": "quarantine",
    "relay": "relay",
}
_MODULES = {b"api", b"worker", b"worker.relay"}
_ROLES: dict[Role, str] = {
    "api": f"Nobody was heard for {HEARD_WITHIN_S:g} s: start `python -m api`. All is shut.",
    "worker": f"Nobody was heard for {HEARD_WITHIN_S:g} s: start `python -m worker`. Uploads wait.",
    "bulk": "Start `python -m worker --bulk`; until then batches wait.",
    "quarantine": "Start `python -m worker --quarantine`; until then workers do its work.",
    "relay": "Start `python -m worker.relay`: without it, what is lost stays lost.",
}


def examine_disk(settings: Settings) -> Iterator[Finding]:
    """Whether there is room beside a SQLite database."""
    file = sqlite.file_of(settings.database_url)
    if file is None or not file.exists():
        return
    free_bytes = shutil.disk_usage(file.parent).free
    says = f"{free_bytes / 2**30:.1f} GiB free beside the database"
    advice = "Make room: when there is none, uploads are answered 503."
    yield Finding("disk", says, advice if free_bytes < LEAST_FREE_BYTES else "")
