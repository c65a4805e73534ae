"""The `isoline` command: it speaks HTTP to a server, and nothing else.

Exit codes: 0 all is well, 1 an error, 2 a wrong command line, 3 some recordings or lines failed,
130 interrupted.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
from click.shell_completion import get_completion_class

from isoline import config, output
from isoline.batch_command import batch
from isoline.client import Client, new_key
from isoline.config import Access, Kept, find_access
from isoline.errors import IsolineError, ProblemError, Unusable
from isoline.options import FORM, SAMPLING_RATE, client_of
from isoline.output import Form, Row, say, show
from isoline.recompute_command import recompute
from isoline.sending import Source, Unreadable, find_sources, read_file
from isoline.users_command import users
from isoline.watching import INTERRUPTED, SOME_FAILED

USAGE = 2


@click.group(epilog="Exit codes: 0 well, 1 error, 2 usage, 3 some failed, 130 interrupted.")
@click.option("--url", envvar="ISOLINE_URL", help="The server [env ISOLINE_URL].")
@click.option("--token", envvar="ISOLINE_TOKEN", help="Your token [env ISOLINE_TOKEN].")
@click.option(
    "--admin-token",
    envvar="ISOLINE_ADMIN_TOKEN",
    help="The administrator's [env ISOLINE_ADMIN_TOKEN].",
)
@click.version_option(package_name="isoline")
@click.pass_context
def cli(
    context: click.Context, url: str | None, token: str | None, admin_token: str | None
) -> None:
    """Upload electrocardiograms, get measurements. Not a medical device.

    Which server and which token come from these options, the environment, or `isoline login`.
    """
    context.obj = find_access(url, token, admin_token)


cli.add_command(batch)
cli.add_command(users)
cli.add_command(recompute)


@cli.command(epilog="Example: isoline login http://localhost:8000")
@click.argument("url", required=False)
@click.option("--admin", is_flag=True, help="Keep the administrator's token instead of a user's.")
@click.option("--token-stdin", is_flag=True, help="Read the token from standard input.")
@click.pass_obj
def login(access: Access, url: str | None, admin: bool, token_stdin: bool) -> None:
    """Keep server and token in a file that only you can read."""
    given = access.admin_token if admin else access.token
    url = (url or access.url).rstrip("/")
    if token_stdin:
        token = sys.stdin.readline().strip()
    elif given and url == access.url:
        token = given
    else:
        token = click.prompt("Token", hide_input=True, err=True).strip()
    with Client(url, None if admin else token, admin_token=token if admin else None) as client:
        # Whoever has typed it wrong should learn it now.
        next(iter(client.users() if admin else client.ecgs()), None)
    kept = config.load()
    if kept.url != url:
        kept = Kept(url=url)
    if admin:
        kept.admin_token = token
    else:
        kept.token = token
    config.keep(kept)
    say(f"Kept in {config.path()}.")


@cli.command(epilog="Example: isoline upload records/100.hea holter.edf")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--wait", "wait_s", default=20, show_default=True, help="Seconds to wait for insights."
)
@SAMPLING_RATE
@FORM
@click.pass_context
def upload(
    context: click.Context, files: tuple[Path, ...], wait_s: int, fs: float | None, form: Form
) -> None:
    """Upload recordings one by one; print the insights of each."""
    failed: list[str] = []
    with client_of(context) as client:
        rows = (
            row
            for source in find_sources(files)
            for line in read_file(source, fs)
            for row in _upload(client, source, line, wait_s, failed)
        )
        show(rows, form, columns=["file", "ecg_id", "status"])
    if failed:
        context.exit(SOME_FAILED)


def _upload(
    client: Client, source: Source, line: bytes | Unreadable, wait_s: int, failed: list[str]
) -> Iterator[Row]:
    name = str(source.path)
    if isinstance(line, Unreadable):
        say(f"{name}: {line.reason}")
        failed.append(name)
        return
    try:
        accepted = client.upload(line, wait_s=wait_s, idempotency_key=new_key())
    except ProblemError as error:
        if error.status in {401, 503}:
            raise
        say(f"{name}: {error}")
        failed.append(name)
        return
    first = {"file": name, "ecg_id": accepted.id, "status": accepted.status}
    if accepted.insights is None or not accepted.insights.leads:
        yield first
    else:
        yield from output.lead_rows(accepted.insights, **first)
    if accepted.insights is not None and accepted.insights.status == "failed":
        say(f"{name}: {accepted.insights.detail}")
        failed.append(name)


@cli.command(epilog="Example: isoline insights 01a208f9-aad6-728b-860f-e3721aa89d31 --json")
@click.argument("ecg_id")
@click.option("--wait", "wait_s", default=20, show_default=True, help="Seconds to wait for them.")
@FORM
@click.pass_context
def insights(context: click.Context, ecg_id: str, wait_s: int, form: Form) -> None:
    """Print the insights of an ECG."""
    with client_of(context) as client:
        found = client.insights(ecg_id, wait_s=wait_s)
    if found.status != "finished":
        say(f"{found.status}: {found.detail}")
        context.exit(1 if found.status == "pending" else SOME_FAILED)
    if form == "json":
        document = {"leads": found.leads, "insights": found.insights}
        show([{"ecg_id": found.ecg_id, "status": found.status, **document}], form)
    else:
        show(output.lead_rows(found), form, columns=["lead", "name"])


ADVICE = {
    "database": "The server cannot store anything: its operator has to look at the database.",
    "workers": "Nobody computes: the operator has to start a worker.",
    "relay": "What was lost stays lost until the operator has started the relay.",
}


@cli.command(epilog="Example: isoline doctor && isoline batch submit archive")
@click.pass_context
def doctor(context: click.Context) -> None:
    """Say whether the server is fit for work, and whether your token opens it."""
    access: Access = context.obj
    with client_of(context) as client:
        ready = client.ready()
        findings = {
            "server": (access.url, ""),
            "database": (ready.database, "" if ready.database == "ok" else ADVICE["database"]),
            "workers": (
                f"{ready.workers_online} online",
                "" if ready.workers_online else ADVICE["workers"],
            ),
            "bulk workers": (
                f"{ready.bulk_workers_online} online",
                "" if ready.bulk_workers_online else ADVICE["workers"],
            ),
            "relay": (ready.relay, "" if ready.relay == "ok" else ADVICE["relay"]),
            "your token": _try_token(client, access),
        }
    for what, (says, advice) in findings.items():
        print(f"{'!!' if advice else 'ok'}  {what:<14} {says}")
        if advice:
            print(f"{'':<18} → {advice}")
    if any(advice for _, advice in findings.values()):
        context.exit(1)


def _try_token(client: Client, access: Access) -> tuple[str, str]:
    if access.token is None:
        return "none", "Keep one with `isoline login`."
    try:
        next(iter(client.batches()), None)
    except IsolineError as error:
        return "refused", str(error)
    return "opens it", ""


@cli.command(epilog='Example: eval "$(isoline completion bash)"')
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print what makes your shell complete this command."""
    kind = get_completion_class(shell)
    if kind is None:
        raise IsolineError(f"There is no completion for {shell}.")
    print(kind(cli, {}, "isoline", "_ISOLINE_COMPLETE").source())


def main() -> None:
    """Run the command, and end with its exit code."""
    sys.exit(run(lambda: cli.main(prog_name="isoline", standalone_mode=False)))


def run(act: Callable[[], Any]) -> int:
    """Turn whatever happens into a sentence and an exit code."""
    try:
        code = act()
    except click.exceptions.Abort:
        say("Interrupted.")
        return INTERRUPTED
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except Unusable as error:
        say(f"{error}")
        return USAGE
    except (IsolineError, TimeoutError) as error:
        say(f"{error}")
        return 1
    except BrokenPipeError:
        # Whoever read our output has seen enough.
        sys.stderr.close()
        return 1
    return code if isinstance(code, int) else 0
