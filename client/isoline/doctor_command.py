"""`isoline doctor`: whether it is worth beginning."""

from __future__ import annotations

import sys

import click
from rich.console import Console

from isoline.answers import Readiness
from isoline.client import Client
from isoline.config import Access
from isoline.errors import IsolineError, Unauthenticated
from isoline.options import access_of, client_of
from isoline.screen import sentence

ADVICE = {
    "database": "The server cannot store anything: its operator has to look at the database.",
    "broker": "Uploads are stored, and wait until the operator has brought the broker back.",
    "workers": "Nobody computes: the operator has to start a worker.",
    "relay": "What was lost stays lost until the operator has started the relay.",
    "waiting": "Everything runs, yet not all is well: the operator has to ask `make doctor`.",
}


@click.command(epilog="Example: isoline doctor && isoline batch submit archive")
@click.pass_context
def doctor(context: click.Context) -> None:
    """Say whether the server is fit for work, and whether your token opens it."""
    access = access_of(context)
    with client_of(context) as client:
        findings = {
            "server": (access.url, ""),
            **judge(client.ready()),
            "your token": _try_token(client, access),
        }
    for what, (says, advice) in findings.items():
        print(f"{'!!' if advice else 'ok'}  {what:<14} {says}")
        if advice:
            print(_beside("→ ", advice))
    if any(advice for _, advice in findings.values()):
        context.exit(1)


def judge(ready: Readiness) -> dict[str, tuple[str, str]]:
    """Tell of each part how it is, and what is to be done; what is the root comes first."""

    def told(part: str, says: str, is_well: bool) -> tuple[str, str]:
        return says, "" if is_well else ADVICE[part]

    findings = {
        "database": told("database", ready.database, ready.database == "ok"),
        "broker": told("broker", ready.broker, ready.broker == "ok"),
    }
    # Who is at work is heard through the broker: of them nothing is known without it.
    if ready.broker != "ok":
        return {name: findings[name] for name in ("broker", "database")}
    workers, bulk_workers = ready.workers_online, ready.bulk_workers_online
    findings |= {
        "workers": told("workers", f"{workers} online", workers > 0),
        "bulk workers": told("workers", f"{bulk_workers} online", bulk_workers > 0),
        "relay": told("relay", ready.relay, ready.relay == "ok"),
    }
    is_explained = any(advice for _, advice in findings.values())
    waits_s = max(ready.oldest_due_s or 0.0, ready.redo_idle_s or 0.0)
    # The server knows what is too long; here it shows where no part is to blame.
    return findings | {
        "waiting": told("waiting", f"{waits_s:.0f} s", ready.status == "ok" or is_explained)
    }


def _try_token(client: Client, access: Access) -> tuple[str, str]:
    if access.token is None:
        return "none", access.advice(is_admin=False)
    try:
        next(iter(client.batches()), None)
    except Unauthenticated as error:
        return "refused", f"{error} {access.advice(is_admin=False)}"
    except IsolineError as error:
        return "not tried out", str(error)
    return "opens it", ""


def _beside(sign: str, text: str) -> str:
    """A sentence beside what it is about, and below itself where it needs several lines."""
    margin = " " * 19
    width = Console().width if sys.stdout.isatty() else sys.maxsize
    lines = sentence(text, width - len(margin + sign)).splitlines()
    return "\n".join([margin + sign + lines[0], *(margin + "  " + line for line in lines[1:])])
