"""The `isoline` command: it speaks HTTP to a server, and nothing else.

Exit codes: 0 all is well, 1 an error, 2 a wrong command line, 3 some recordings or lines failed,
4 not finished yet, 130 interrupted.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable
from typing import Any

import click
from click.core import ParameterSource
from click.shell_completion import get_completion_class

from isoline.batch_command import batch
from isoline.config import Given
from isoline.doctor_command import doctor
from isoline.errors import IsolineError, Unusable
from isoline.figures import columns_of, lead_rows
from isoline.login_command import login
from isoline.options import FORM, client_of
from isoline.output import Form, say, show
from isoline.recompute_command import recompute
from isoline.upload_command import upload
from isoline.users_command import users
from isoline.watching import FAILED, INTERRUPTED, NOT_FINISHED, SOME_FAILED

USAGE = 2


class Command(click.Group):
    """click's, which puts an empty line before whatever is said of an interruption."""

    def invoke(self, context: click.Context) -> Any:
        """Run what was asked for."""
        try:
            return super().invoke(context)
        except KeyboardInterrupt:
            raise click.exceptions.Abort from None


@click.group(
    cls=Command,
    epilog="Exit codes: 0 all is well, 1 an error, 2 a wrong command line, 3 some recordings or "
    "lines failed, 4 not finished yet (what was printed is a part), 130 interrupted. "
    "Example: isoline upload recording.edf",
)
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

    def source_of(name: str) -> str:
        is_typed = context.get_parameter_source(name) is ParameterSource.COMMANDLINE
        return f"--{name.replace('_', '-')}" if is_typed else f"ISOLINE_{name.upper()}"

    context.obj = Given(
        url=url,
        url_from=source_of("url"),
        token=token,
        token_from=source_of("token"),
        admin_token=admin_token,
        admin_token_from=source_of("admin_token"),
    )


cli.add_command(login)
cli.add_command(upload)
cli.add_command(batch)
cli.add_command(users)
cli.add_command(recompute)
cli.add_command(doctor)


@cli.command(epilog="Example: isoline insights 01a208f9-aad6-728b-860f-e3721aa89d31 --json")
@click.argument("ecg_id")
@click.option("--wait", "wait_s", default=20, show_default=True, help="Seconds to wait for them.")
@FORM
@click.pass_context
def insights(context: click.Context, ecg_id: str, wait_s: int, form: Form) -> None:
    """Print the insights of an ECG."""
    with client_of(context) as client:
        found = client.insights(ecg_id, wait_s=wait_s)
        figures = columns_of(client.catalogue())
    if found.status != "finished":
        say(f"{found.status}: {found.detail}")
        context.exit(NOT_FINISHED if found.status == "pending" else SOME_FAILED)
    if form == "json":
        document = {"leads": found.leads, "insights": found.insights}
        show([{"ecg_id": found.ecg_id, "status": found.status, **document}], form)
    else:
        every = figures if form == "csv" else ()
        show(lead_rows(found, figures), form, columns=["lead", "name", *every])


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
        # While there is still somebody to say that it cannot be written.
        sys.stdout.flush()
    except click.exceptions.Abort:
        say("Interrupted. Type the same command again.")
        return INTERRUPTED
    except click.ClickException as error:
        shown = io.StringIO()
        error.show(shown)
        for line in shown.getvalue().splitlines():
            say(line)
        return error.exit_code
    except Unusable as error:
        say(f"{error}")
        return USAGE
    except (IsolineError, TimeoutError) as error:
        say(f"{error}")
        return FAILED
    except BrokenPipeError:
        # Whoever read our output has seen enough.
        sys.stderr.close()
        return FAILED
    except OSError as error:
        what = "The output cannot be written" if error.filename is None else error.filename
        say(f"{what}: {error.strerror or error}.")
        # What is left of it would be tried again, and complained about, when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    return code if isinstance(code, int) else 0
