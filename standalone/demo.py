"""The main job, shown: register, upload, wait, print the insights, erase: `make demo`."""

from __future__ import annotations

import contextlib
import math
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from shared.errors import ServiceError
from shared.settings import Settings, environ_with
from standalone import ports
from standalone.caller import call, is_up, url_of
from standalone.processes import Program, spawn
from standalone.synthetic import SAMPLING_RATE_HZ, make_ecg

READY_WITHIN_S = 90.0
STOPPED_WITHIN_S = 30.0
INSIGHTS_WITHIN_S = 60.0
TERMINAL_WIDTH = 80

Address = tuple[str, int]


class DemoFailed(ServiceError):
    """Something did not go as it should; the message says what."""


def show() -> None:
    """Do everything, against what runs here or else a private stack."""
    settings = Settings.from_environ()
    address = (settings.host, settings.port)
    admin_token = settings.admin_token or _read(settings.data_dir / "admin_token")
    if admin_token and is_up(address) and _opens(address, admin_token):
        print(f"Using the Isoline that runs at {url_of(*address)}.")
        _walk(address, admin_token)
        return
    print(
        f"No Isoline runs here that lets us in, at {url_of(*address)} with the token of "
        f"{settings.data_dir}:\nstarting a private one, for this demo alone. (Is there one? Export "
        "ISOLINE_PORT and ISOLINE_DATA_DIR here as there.)"
    )
    with tempfile.TemporaryDirectory(prefix="isoline-demo-") as folder:
        began_s = time.perf_counter()
        with _private_stack(Path(folder)) as (address, admin_token):
            print(f"It runs at {url_of(*address)} after {time.perf_counter() - began_s:.1f} s.")
            _walk(address, admin_token)


def _walk(address: Address, admin_token: str) -> None:
    admin = {"x-admin-token": admin_token}
    username = f"demo-{secrets.token_hex(8)}"
    registered = _expect(201, address, "POST", "/users", admin, {"username": username})
    user = {"x-user-token": registered["token"]}
    try:
        ecg = make_ecg()
        began_s = time.perf_counter()
        uploaded = _expect(201, address, "POST", "/ecgs", user, ecg)
        document = _wait_for_insights(address, user, uploaded["id"])
        took_s = time.perf_counter() - began_s
    finally:
        _expect(204, address, "DELETE", f"/users/{username}", admin)
    if document["status"] != "finished":
        raise DemoFailed(f"The analysis failed: {document.get('detail')}")
    samples = ecg["leads"][0]["number_of_samples"]
    print(
        f"\nA synthetic ECG, {len(ecg['leads'])} leads of {samples / SAMPLING_RATE_HZ:g} s at "
        f"{SAMPLING_RATE_HZ} Hz: uploaded, analysed and read in {1000 * took_s:.0f} ms.\n"
    )
    print(table(document["leads"]))
    print("\nOf all leads together:\n")
    print(table([{"name": "", "insights": document["insights"]}]))
    for insight, measured in document["insights"].items():
        if "not_computable" in measured:
            print(f"{insight}: {measured['not_computable']}")
    print(f"\nThe user {username} and the ECG are erased again.")
    print("Not a medical device: insights are measurements, never diagnoses.")


def table(leads: list[dict[str, Any]]) -> str:
    """Lay out the insights: a row for each measurement, a column for each lead.

    Leads for which a terminal has no room stand below, with all measurements again.
    """
    rows: dict[str, list[str]] = {}
    for column, lead in enumerate(leads):
        for insight, measured in lead["insights"].items():
            for key, value in measured.items():
                if isinstance(value, int | float) and key != "version":
                    row = rows.setdefault(f"{insight}.{key}", ["-"] * len(leads))
                    row[column] = str(value) if isinstance(value, int) else f"{value:.4g}"
    names = {"": [lead["name"] for lead in leads]}
    # One column that has no name needs no header.
    lines = {**names, **rows} if any(names[""]) or not rows else rows
    label_width = max(map(len, lines))
    width = max(len(cell) for cells in lines.values() for cell in cells)
    most = max(1, (TERMINAL_WIDTH - label_width) // (width + 1))
    # As many in each part as in the others.
    parts = max(1, math.ceil(len(leads) / most))
    many = max(1, math.ceil(len(leads) / parts))
    return "\n\n".join(
        "\n".join(
            " ".join([label.ljust(label_width), *(c.rjust(width) for c in cells[i : i + many])])
            for label, cells in lines.items()
        )
        for i in range(0, max(1, len(leads)), many)
    )


def _wait_for_insights(address: Address, user: dict[str, str], ecg_id: str) -> Any:
    end_s = time.monotonic() + INSIGHTS_WITHIN_S
    while time.monotonic() < end_s:
        path = f"/ecgs/{ecg_id}/insights"
        status, document = call(address, "GET", path, headers={**user, "Prefer": "wait=5"})
        if status == 200:
            return document
        if status != 202:
            raise DemoFailed(f"GET {path} was answered with {status}.")
        time.sleep(0.05)
    raise DemoFailed(f"No insights after {INSIGHTS_WITHIN_S:g} s: does a worker run?")


def _expect(
    expected: int,
    address: Address,
    method: str,
    path: str,
    headers: dict[str, str],
    document: object = None,
) -> Any:
    status, answer = call(address, method, path, headers=headers, document=document)
    if status != expected:
        detail = answer.get("detail", "") if isinstance(answer, dict) else ""
        raise DemoFailed(f"{method} {path} was answered with {status}. {detail}")
    return answer


def _opens(address: Address, admin_token: str) -> bool:
    return call(address, "GET", "/users", headers={"x-admin-token": admin_token})[0] == 200


def _read(path: Path) -> str | None:
    try:
        return path.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        return None


@contextlib.contextmanager
def _private_stack(folder: Path) -> Iterator[tuple[Address, str]]:
    """Run a stack with its own data in this folder, and stop it afterwards."""
    address = ("127.0.0.1", ports.free_port())
    admin_token = secrets.token_urlsafe(32)
    log = folder / "demo.log"
    environ = environ_with(
        {
            "ISOLINE_HOST": address[0],
            "ISOLINE_PORT": str(address[1]),
            "ISOLINE_FLOWER_PORT": "0",
            "ISOLINE_DATA_DIR": str(folder / "data"),
            "ISOLINE_ADMIN_TOKEN": admin_token,
            # Empty is unset: its own database and broker, whatever is configured here.
            "ISOLINE_DATABASE_URL": "",
            "ISOLINE_REDIS_URL": "",
        }
    )
    command = [sys.executable, "-m", "standalone", "--leashed"]
    process = spawn(Program("the private stack", command, environ, output=log))
    try:
        end_s = time.monotonic() + READY_WITHIN_S
        while not is_up(address):
            if process.poll() is not None or time.monotonic() > end_s:
                raise DemoFailed(f"The private stack did not start:\n{log.read_text()}")
            time.sleep(0.05)
        yield address, admin_token
    finally:
        process.terminate()
        try:
            process.wait(STOPPED_WITHIN_S)
        except subprocess.TimeoutExpired:
            process.kill()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        show()
        sys.stdout.flush()
    except ServiceError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit("Stopped.")
    except BrokenPipeError:
        # Whoever read our output has seen enough; what is left of it must go somewhere at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
