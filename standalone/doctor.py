"""The doctor's page for the stack of this machine: `make doctor`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from shared import doctor
from shared.errors import SettingsError
from shared.examinations import examine_broker
from shared.findings import Finding
from shared.settings import Settings
from standalone import caller
from standalone.data_folder import API_URL, BROKER_URL, FLOWER_URL, is_occupied

COMES_BACK = (
    "`make run` brings it back by itself once it has ended, within half a minute; else see what it "
    "prints."
)

REFUSING = (
    "Look at what is said of the database and its disk here; clients are to send again what was "
    "answered 503."
)

TURNING_AWAY = (
    "Have clients send fewer at once, and again what was answered 503; or add processes or "
    "replicas of the API, and workers, where there are cores for them."
)

SILENT = (
    "See what `make run` prints. Kill it if it is frozen, it comes back by itself; stop whoever "
    "else keeps the port."
)


def examine_door(
    name: str, url_file: Path, is_up: Callable[[tuple[str, int]], bool]
) -> Iterator[Finding]:
    """Whether somebody answers where the last run opened this door, if it did."""
    if not url_file.exists():
        return
    url = url_file.read_text().strip()
    if is_up(_address_in(url_file)):
        yield Finding(name, f"{url} answers")
    else:
        yield Finding(name, f"{url} does not answer", SILENT)


def examine_api(url_file: Path) -> Iterator[Finding]:
    """Whether the API answers, and what it knows that nobody else does: what it had to refuse."""
    for finding in examine_door("API address", url_file, caller.is_up):
        yield finding
        readiness = caller.readiness_of(_address_in(url_file)) if finding.is_well else {}
        if readiness.get("database") == "unavailable":
            says = "uploads are refused: the database takes nothing, or did not a moment ago"
            yield Finding("API address", says, REFUSING)
        if (ago_s := readiness.get("turned_away_s_ago")) is not None:
            says = f"uploads were turned away, the last one {ago_s:.0f} s ago: too many at once"
            yield Finding("API address", says, TURNING_AWAY)


def _address_in(url_file: Path) -> tuple[str, int]:
    address = urlsplit(url_file.read_text().strip())
    return address.hostname or "", address.port or 0


def parts_of(settings: Settings) -> dict[str, doctor.Examination]:
    """What there is to be asked of the stack of this machine, in place of and beside the rest."""
    folder = settings.data_dir
    addresses: dict[str, doctor.Examination] = {
        "API address": lambda: examine_api(folder / API_URL),
        "Flower": lambda: examine_door("Flower", folder / FLOWER_URL, caller.is_flower_up),
    }
    if settings.redis_url is not None:
        return addresses
    if not is_occupied(folder):
        advice = "make run; or set ISOLINE_DATA_DIR as it was set for the one that runs"
        stopped = Finding("Isoline", f"does not run on {folder}", advice)
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
