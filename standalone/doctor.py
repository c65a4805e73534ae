"""The doctor's page for the stack of this machine: `make doctor`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from shared import doctor
from shared.errors import SettingsError
from shared.examinations import Finding, examine_broker
from shared.settings import Settings
from standalone import caller, ports
from standalone.data_folder import API_URL, BROKER_URL, FLOWER_URL, is_occupied

COMES_BACK = "`make run` brings it back by itself, within half a minute; else see what it prints."


def examine_doors(folder: Path) -> Iterator[Finding]:
    """Whether the API and Flower can be reached where the last run opened them."""
    advice = "See what `make run` prints, and stop whoever else keeps the port."
    for name, file in (("API address", API_URL), ("Flower", FLOWER_URL)):
        if not (folder / file).exists():
            continue
        url = (folder / file).read_text().strip()
        address = urlsplit(url)
        at = address.hostname or "", address.port or 0
        answers = caller.is_up(at) if file == API_URL else ports.is_open(*at)
        yield Finding(
            name, f"{url} {'answers' if answers else 'does not answer'}", "" if answers else advice
        )


def parts_of(settings: Settings) -> dict[str, doctor.Examination]:
    """What there is to be asked of the stack of this machine, in place of and beside the rest."""
    folder = settings.data_dir
    addresses: dict[str, doctor.Examination] = {"addresses": lambda: examine_doors(folder)}
    if settings.redis_url is not None:
        return addresses
    if not is_occupied(folder):
        stopped = Finding("Isoline", f"does not run on {folder}", "make run")
        return {"broker": lambda: [stopped], "database": list, "disk": list}
    # Its port is another one with each start.
    file = folder / BROKER_URL
    url = file.read_text().strip() if file.exists() else None
    own = replace(settings, redis_url=url)
    return {"broker": lambda: examine_broker(own, COMES_BACK), **addresses}


if __name__ == "__main__":
    try:
        settings = Settings.from_environ()
    except SettingsError as error:
        sys.exit(str(error))
    doctor.run(settings, parts_of(settings))
