"""The doctor's page for the stack of this machine: `make doctor`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from shared import doctor
from shared.errors import SettingsError
from shared.examinations import Finding
from shared.settings import Settings
from standalone import caller, ports
from standalone.data_folder import API_URL, BROKER_URL, FLOWER_URL


def examine_doors(folder: Path) -> Iterator[Finding]:
    """Whether the API and Flower can be reached where the last run opened them."""
    advice = "Start Isoline. If it runs: see its log, and stop whoever else keeps the port."
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


if __name__ == "__main__":
    try:
        settings = Settings.from_environ()
    except SettingsError as error:
        sys.exit(str(error))
    # Its port is another one with each start.
    file = settings.data_dir / BROKER_URL
    if settings.redis_url is None and file.exists():
        settings = replace(settings, redis_url=file.read_text().strip())
    doctor.run(settings, {"addresses": lambda: examine_doors(settings.data_dir)})
