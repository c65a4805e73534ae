"""What `make run` starts, for real: the whole stack in a folder with a space in its path."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import httpx
import psutil
import pytest

from tests.contract import checked_client
from tests.parts import HOUSE, free_port, wait_until
from tests.standalone.little_stack import is_alive

CURL = shutil.which("curl")

# What is in the command of the process that runs a program.
HEADS = {
    "valkey": "valkey-server",
    "worker": "-m worker ",
    "relay": "-m worker.relay",
    "api": "-m api",
    "flower": " flower ",
}


class Run:
    """One `python -m standalone`, what it says, and every process that belongs to it."""

    def __init__(
        self,
        folder: Path,
        command: Sequence[str] = (sys.executable, "-m", "standalone", "--leashed"),
        place: Path = HOUSE,
        **variables: str,
    ) -> None:
        self.data = folder / "data folder"
        self.port, self.flower_port = free_port(), free_port()
        self.environ = {
            # Whatever is configured on this machine is not for this run.
            **{name: value for name, value in os.environ.items() if "ISOLINE_" not in name},
            "ISOLINE_DATA_DIR": str(self.data),
            "ISOLINE_PORT": str(self.port),
            "ISOLINE_FLOWER_PORT": str(self.flower_port),
            "ISOLINE_WORKERS": "1",
            **variables,
        }
        self._said = folder / "said"
        with self._said.open("w") as said:
            self.process = subprocess.Popen(
                command,
                cwd=place,
                env=self.environ,
                stdout=said,
                stderr=subprocess.STDOUT,
            )

    def wait_for(self, text: str) -> str:
        """Wait until it has said this; return all that it said."""
        wait_until(lambda: text in self.said() or self.process.poll() is not None, 60.0, text)
        assert text in self.said(), self.said()
        return self.said()

    def said(self) -> str:
        """All that it has said so far."""
        return self._said.read_text()

    def end(self, number: signal.Signals) -> int:
        """Send it a signal and return its exit code."""
        self.process.send_signal(number)
        return self.process.wait(30)

    def processes(self) -> dict[int, str]:
        """Everything that runs on the data folder: by its environment, its command or its place."""
        found = {}
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                place = [*process.cmdline(), process.cwd(), *process.environ().values()]
                is_ours = any(str(self.data) in text for text in place)
                if is_ours and process.status() != psutil.STATUS_ZOMBIE:
                    found[process.pid] = " ".join(process.cmdline())
        return found

    def head(self, name: str) -> psutil.Process | None:
        """The process that runs this program of the stack at present."""
        for process in psutil.Process(self.process.pid).children():
            with contextlib.suppress(psutil.Error):
                if HEADS[name] in " ".join([*process.cmdline(), ""]):
                    return process
        return None

    def client(self) -> httpx.Client:
        """A client of the API."""
        return checked_client(f"http://127.0.0.1:{self.port}")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    run = Run(tmp_path_factory.mktemp("a run"))
    try:
        run.wait_for("Isoline is running")
        yield run
    finally:
        run.end(signal.SIGTERM)


def test_the_banner_says_where_everything_is_and_no_secret(run: Run) -> None:
    said = run.wait_for("Ctrl-C stops everything")
    assert f"http://127.0.0.1:{run.port}/docs" in said
    assert f"http://127.0.0.1:{run.flower_port}" in said
    assert "Not a medical device" in said
    assert f"{run.port} --admin --token-stdin < '{run.data / 'admin_token'}'\n" in said
    ports = f"ISOLINE_PORT={run.port} ISOLINE_FLOWER_PORT={run.flower_port}"
    assert f"export {ports} ISOLINE_DATA_DIR='{run.data}'\n" in said
    assert "Traceback" not in said
    for name in ("admin_token", "flower_password", "redis_password"):
        file = run.data / name
        assert file.stat().st_mode & 0o777 == 0o600
        secret = file.read_text().strip()
        assert secret not in run.said()
        assert not any(secret in command for command in run.processes().values())
    assert run.data.stat().st_mode & 0o777 == 0o700
    with run.client() as client:
        assert client.get("/health/ping").json() == "pong"


def test_flower_wants_its_password(run: Run) -> None:
    url = f"http://127.0.0.1:{run.flower_port}/workers"
    assert httpx.get(url).status_code == 401
    password = (run.data / "flower_password").read_text().strip()
    assert httpx.get(url, auth=("isoline", password)).status_code == 200


def test_the_doctor_is_not_deceived_by_a_flower_that_is_frozen(run: Run) -> None:
    flower = run.head("flower")
    assert flower
    flower.suspend()
    try:
        frozen = ask_the_doctor(run)
    finally:
        flower.resume()
    at = f"http://127.0.0.1:{run.flower_port}"
    assert frozen.returncode == 1
    assert f"!!  Flower         {at} does not answer" in frozen.stdout
    wait_until(lambda: f"ok  Flower         {at} answers" in ask_the_doctor(run).stdout)


def ask_the_doctor(run: Run) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "standalone.doctor"]
    return subprocess.run(command, env=run.environ, capture_output=True, text=True, timeout=30)


@pytest.mark.skipif(CURL is None, reason="curl is not installed")
@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_what_the_banner_offers_to_paste_gives_a_first_insight(run: Run, shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    said = run.wait_for("Ctrl-C stops everything")
    snippet = said[said.index("token=$(curl") : said.index("Or, with the command")]
    # The username is made of the shell's name here, so that two shells in a second are two users.
    snippet = snippet.replace("ada-", f"{shell}-")
    done = subprocess.run([shell], input=snippet, capture_output=True, text=True, timeout=30)
    assert done.stderr == ""
    answer = json.loads(done.stdout)
    assert answer["status"] == "finished"
    assert answer["insights"]["leads"][0]["number_of_zero_crossings"] == 2


def test_the_demo_uses_what_runs_and_leaves_no_user_behind(run: Run) -> None:
    done = show_the_demo(run.environ)
    assert done.returncode == 0, done.stderr
    assert f"Using the Isoline that runs at http://127.0.0.1:{run.port}" in done.stdout
    assert "zero_crossings.count" in done.stdout
    token = (run.data / "admin_token").read_text().strip()
    with run.client() as client:
        users = client.get("/users", headers={"x-admin-token": token}).json()["data"]
    assert not [user for user in users if user["username"].startswith("demo-")]


def test_the_demo_lets_its_reader_go(run: Run) -> None:
    done = show_the_demo(run.environ, "| head -1")
    assert done.stdout.startswith("Using the Isoline that runs")
    assert done.stderr == ""


def show_the_demo(environ: dict[str, str], more: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        f"{shlex.quote(sys.executable)} -m standalone.demo {more}",
        shell=True,
        cwd=HOUSE,
        env=environ,
        capture_output=True,
        text=True,
        timeout=90,
    )


def test_a_second_run_on_the_same_folder_is_refused(run: Run, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "standalone"],
        env=run.environ,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 1
    expected = f"Isoline already runs on {run.data} (process {run.process.pid})."
    assert done.stderr.strip() == expected


def test_a_taken_port_is_named_before_anything_is_started(run: Run, tmp_path: Path) -> None:
    second = Run(tmp_path, ISOLINE_PORT=str(run.port))
    assert second.process.wait(30) == 1
    assert f"Port {run.port}, for the API, is taken. Choose another: ISOLINE_PORT=" in second.said()
    assert not (second.data / "isoline.db").exists()
    assert second.processes() == {}


def test_all_bad_variables_are_named_at_once(tmp_path: Path) -> None:
    run = Run(tmp_path, ISOLINE_PORT="http", ISOLINE_WORKERS="0", ISOLINE_ADMIN_TOKEN="secret")
    assert run.process.wait(30) == 1
    for name in ("ISOLINE_PORT", "ISOLINE_WORKERS", "ISOLINE_ADMIN_TOKEN"):
        assert name in run.said()
    assert "Traceback" not in run.said()


def test_whoever_is_killed_comes_back_and_work_goes_on(run: Run) -> None:
    token = (run.data / "admin_token").read_text().strip()
    killed = {name: head for name in HEADS if (head := run.head(name))}
    assert list(killed) == list(HEADS)
    left_behind = [child for head in killed.values() for child in head.children(recursive=True)]
    for head in killed.values():
        head.kill()
    for name, head in killed.items():
        run.wait_for(f"{name} died and will be started again")
        wait_until(lambda name=name, head=head: run.head(name) not in (None, head), 30.0, name)
    assert not any(is_alive(child.pid) for child in left_behind)
    with run.client() as client:
        wait_until(lambda: answers(client), 30.0, "for the API")
        registered = client.post(
            "/users", json={"username": "phoenix"}, headers={"x-admin-token": token}
        )
        user = {"x-user-token": registered.json()["token"]}
        ecg = {"leads": [{"name": "I", "signal": [1, -1, 1]}]}
        uploaded = client.post("/ecgs", json=ecg, headers=user)
        path = f"{uploaded.headers['Location']}/insights"
        prefer = {**user, "Prefer": "wait=2"}
        wait_until(
            lambda: client.get(path, headers=prefer).status_code == 200, 30.0, "for insights"
        )


def answers(client: httpx.Client) -> bool:
    """Whether the API answers again."""
    try:
        return client.get("/health/ping").status_code == 200
    except httpx.HTTPError:
        return False


def test_the_admin_token_is_given_to_the_api_alone_and_ctrl_c_ends_every_process(
    tmp_path: Path,
) -> None:
    token = "an-admin-token-of-ones-own"
    run = Run(tmp_path, ISOLINE_ADMIN_TOKEN=token)
    run.wait_for("Isoline is running")
    heads = {name: run.head(name) for name in HEADS}
    knowing = {
        name
        for name, head in heads.items()
        if head is not None and token in head.environ().values()
    }
    assert len(run.processes()) >= 7
    assert run.end(signal.SIGINT) == 0
    assert run.processes() == {}
    assert None not in heads.values()
    assert knowing == {"api"}
    assert token not in run.said()
    assert "Traceback" not in run.said()
    assert run.said().endswith("Stopped.\n")


def test_a_backup_made_while_it_runs_is_restored_by_putting_it_into_a_new_folder(
    run: Run, tmp_path: Path
) -> None:
    token = (run.data / "admin_token").read_text().strip()
    file = tmp_path / "backup.db"
    ecg = {"leads": [{"name": "canary", "signal": [1, -1, 1]}]}
    with run.client() as client:
        wait_until(lambda: answers(client), 30.0, "for the API")
        registered = client.post(
            "/users", json={"username": "restored"}, headers={"x-admin-token": token}
        )
        user = {"x-user-token": registered.json()["token"]}
        finished = client.post("/ecgs", json=ecg, headers={**user, "Prefer": "wait=20"})
        assert finished.json()["status"] == "finished"
        done = finished.headers["Location"]
        document = client.get(f"{done}/insights", headers=user).content
        # Nobody works for a moment, so that something waits in the backup.
        worker = run.head("worker")
        assert worker is not None
        idle = [worker, *worker.children(recursive=True)]
        for process in idle:
            process.suspend()
        try:
            waiting = client.post("/ecgs", json=ecg, headers=user).headers["Location"]
            command = [sys.executable, "-m", "shared.backup", str(file)]
            subprocess.run(command, env=run.environ, cwd=HOUSE, check=True, timeout=60)
        finally:
            for process in idle:
                process.resume()
    again = tmp_path / "data folder"
    again.mkdir(mode=0o700)
    file.rename(again / "isoline.db")
    restored = Run(tmp_path, ISOLINE_FLOWER_PORT="0")
    try:
        restored.wait_for("Isoline is running")
        with restored.client() as client:
            assert client.get(f"{done}/insights", headers=user).content == document
            path = f"{waiting}/insights"
            prefer = {**user, "Prefer": "wait=5"}
            wait_until(lambda: client.get(path, headers=prefer).status_code == 200, 30.0)
            poll = client.get(path, headers=user).json()
            assert poll["status"] == "finished"
            assert poll["leads"][0]["number_of_zero_crossings"] == 2
    finally:
        restored.end(signal.SIGTERM)


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_make_run_in_a_path_with_a_space_and_without_a_network(tmp_path: Path) -> None:
    checkout = tmp_path / "a check out"
    kept = shutil.ignore_patterns(".*", "__pycache__", "tests")
    shutil.copytree(HOUSE, checkout, ignore=kept)
    # As after a first start: an environment that is newer than what it was installed from.
    environment = checkout / ".venv"
    (environment / "bin").mkdir(parents=True)
    python = environment / "bin" / "python"
    python.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n')
    python.chmod(0o755)
    (environment / "run.stamp").touch()
    nowhere = f"http://127.0.0.1:{free_port()}"
    blocked = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "PIP_INDEX_URL"), nowhere)
    run = Run(tmp_path, ["make", "run"], checkout, ISOLINE_FLOWER_PORT="0", **blocked)
    said = run.wait_for("Isoline is running")
    assert "Installing" not in said
    with run.client() as client:
        assert client.get("/health/ping").status_code == 200
    assert run.end(signal.SIGTERM) != 1
    wait_until(lambda: not run.processes(), 20.0, "for all to end")


def test_a_killed_supervisor_leaves_no_process_behind(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.wait_for("Isoline is running")
    assert len(run.processes()) >= 7
    run.end(signal.SIGKILL)
    wait_until(lambda: not run.processes(), 15.0, "for all to end")


def test_ctrl_c_while_starting_ends_every_process(tmp_path: Path) -> None:
    run = Run(tmp_path)
    wait_until(lambda: len(run.processes()) >= 3, what="for the first processes")
    assert run.end(signal.SIGINT) == 0
    assert run.processes() == {}
    assert "Traceback" not in run.said()


def test_the_demo_alone_starts_a_private_stack_and_stops_it(tmp_path: Path) -> None:
    kept = {name: text for name, text in os.environ.items() if not name.startswith("ISOLINE_")}
    done = show_the_demo(
        {**kept, "ISOLINE_DATA_DIR": str(tmp_path), "ISOLINE_PORT": str(free_port())}
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "starting a private one" in done.stdout
    assert "zero_crossings.count" in done.stdout
    # What cannot be said says why.
    assert re.search(r"^hrv: needs .* s", done.stdout, re.M)
    assert "\n\n\n" not in done.stdout
    assert not any(tmp_path.iterdir())
