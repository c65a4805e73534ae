"""The command, as it is typed: what it prints where, and how it ends."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import pty
import re
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import pytest
from click.testing import CliRunner, Result

from isoline import Client, header_digest
from isoline.answers import Readiness
from isoline.command import cli
from isoline.doctor_command import judge
from isoline.screen import sentence
from tests.parts import ADMIN_TOKEN, HOUSE, free_port, wait_until
from tests.stack import Stack

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def environ(stack: Stack, token: str, tmp_path: Path) -> dict[str, str]:
    kept = {name: text for name, text in os.environ.items() if not name.startswith("ISOLINE_")}
    return {
        **kept,
        "PYTHONPATH": str(HOUSE / "client"),
        "ISOLINE_URL": stack.url,
        "ISOLINE_TOKEN": token,
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
    }


@pytest.fixture
def run(environ: dict[str, str]) -> Run:
    """Type a command; `environ` and `input` may be others."""
    own = environ

    def run(
        *arguments: object, environ: dict[str, str] | None = None, input: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "isoline", *map(str, arguments)],
            env=environ or own,
            input=input,
            capture_output=True,
            text=True,
            timeout=60,
        )

    return run


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Recordings in two folders, and what is none."""
    folder = tmp_path / "archive"
    (folder / "day").mkdir(parents=True)
    for number in range(20):
        np.save(folder / "day" / f"{number:02}.npy", np.array([1, -1] * number + [1]))
    (folder / "cut.npy").write_bytes(b"\x93NUMPY")
    (folder / "huge.json").write_text('{"leads": [{"name": "I", "signal": [4294967296999]}]}')
    (folder / "two.ndjson").write_text('{"leads": []}\n{"custom_id": "own", "leads": []}\n')
    return folder


def test_uploading_prints_a_row_a_lead(run: Run, tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", I=np.array([1, -1]), II=np.array([1]), fs=500)
    done = run("upload", tmp_path / "a.npz", "--csv")
    assert (done.returncode, done.stderr) == (0, "")
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [(row["name"], row["zero_crossings_count"]) for row in rows] == [("I", "1"), ("II", "0")]
    ecg_id = rows[0]["ecg_id"]
    # The columns of a batch's table.
    batch_id = json.loads(run("batch", "submit", tmp_path, "--watch", "--json").stdout)["id"]
    table = next(csv.reader(io.StringIO(run("batch", "results", batch_id, "--csv").stdout)))
    assert list(rows[0])[5:] == table[5:]
    assert next(csv.reader(io.StringIO(run("insights", ecg_id, "--csv").stdout)))[2:] == table[5:]
    shown = json.loads(run("insights", ecg_id, "--json").stdout)
    # And of JSON the form is one, too.
    uploaded = json.loads(run("upload", tmp_path / "a.npz", "--json").stdout)
    assert uploaded.pop("file") == str(tmp_path / "a.npz")
    assert {**uploaded, "ecg_id": ecg_id} == shown
    assert [lead["number_of_zero_crossings"] for lead in shown["leads"]] == [1, 0]
    assert "zero_crossings_count" in run("insights", ecg_id).stdout
    assert run("insights", "nonsense").returncode == 1


def test_what_was_uploaded_and_is_not_finished_is_no_success(
    run: Run, stack: Stack, tmp_path: Path
) -> None:
    for name in "ab":
        np.save(tmp_path / f"{name}.npy", np.array([1, -1]))
    stack.stop("worker")
    one = run("upload", tmp_path / "a.npy", "--wait", "1", "--json", "--fs", "500")
    two = run("upload", tmp_path / "a.npy", tmp_path / "b.npy", "--wait", "0", "--csv")
    stack.start("worker")
    ecg_id = json.loads(one.stdout)["ecg_id"]
    assert (one.returncode, one.stderr) == (
        4,
        f"1 ECG is stored and not finished yet; to ask again: isoline insights {ecg_id}\n",
    )
    assert two.returncode == 4
    assert "2 ECGs are stored and not finished yet" in two.stderr
    assert run("insights", ecg_id).returncode == 0


def test_of_a_file_of_several_each_row_says_which_it_is(run: Run, tmp_path: Path) -> None:
    several = tmp_path / "several.ndjson"
    good, bad = '{"leads": [{"name": "I", "signal": [1, -1]}]}', "no JSON"
    several.write_text(f"{good}\n{bad}\n{good}\n")
    expected = [f"{several}#1", f"{several}#3"]
    as_json = run("upload", several, "--json")
    assert [json.loads(row)["file"] for row in as_json.stdout.splitlines()] == expected
    table = csv.DictReader(io.StringIO(run("upload", several, "--csv").stdout))
    assert [row["file"] for row in table] == expected
    shown = run("upload", several).stdout.splitlines()
    assert [row.split()[0] for row in shown[1:]] == expected
    assert f"{several}#2: Line 2: It is no ECG in JSON" in as_json.stderr


def test_one_bad_file_does_not_keep_the_others(run: Run, tmp_path: Path) -> None:
    np.save(tmp_path / "good.npy", np.array([1, -1]))
    (tmp_path / "bad.csv").write_text("I\n1\nx\n")
    done = run("upload", tmp_path / "bad.csv", tmp_path / "good.npy")
    assert done.returncode == 3
    assert (
        "bad.csv: Line 3, column I: 'x' is not a number, and nothing stands for it." in done.stderr
    )
    assert "good.npy" in done.stdout
    assert "finished" in done.stdout


def test_what_is_no_recording_is_named_and_nothing_in_a_name_is_obeyed(
    run: Run, tmp_path: Path
) -> None:
    folder = tmp_path / "archive"
    folder.mkdir()
    np.array([1, -1], "<i2").tofile(folder / "r.dat")
    (folder / "r.hea").write_text("r 1 250 2\nr.dat 16 200 16 0 0 0 0 I\x1b[2J\n")
    np.array([1, -1], "<i2").tofile(folder / "s.dat")
    (folder / "s.hea").write_text("s 1 250 2\ns.dat 16 200 16 0 0 0 0 I\n")
    (folder / "README.txt").touch()
    (folder / "\x1b[31m.csv").write_text("\x1b[2J\n1\nx\n")
    (folder / os.fsdecode(b"\xff.csv")).write_text("I\n1\n-1\n")
    done = run("batch", "submit", folder, "--watch")
    assert done.returncode == 3
    assert (
        "1 file is not in a format that is read here and was left out: .txt (1).\n" in done.stderr
    )
    assert "r.hea: There are control characters in it" in done.stderr
    assert r"\x1b[31m.csv: Line 3, column \x1b[2J: 'x' is not a number" in done.stderr
    assert "\x1b" not in done.stdout + done.stderr
    done = run("upload", *sorted(folder.iterdir()), "--csv")
    assert done.returncode == 3
    assert "README.txt: Its name does not end like that of a recording" in done.stderr
    assert "\x1b" not in done.stdout + done.stderr
    uploaded = [Path(row["file"]).name for row in csv.DictReader(io.StringIO(done.stdout))]
    assert uploaded == ["s.hea", r"\udcff.csv"]


def test_every_file_that_cannot_be_read_is_named_and_alone_they_make_no_batch(
    run: Run, environ: dict[str, str], isoline: Client, tmp_path: Path
) -> None:
    folder = tmp_path / "bad"
    folder.mkdir()
    for number in range(12):
        (folder / f"{number:02}.npy").touch()
    before = list(isoline.batches())
    done = run("batch", "submit", folder)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1] == "There is no recording in it."
    assert all(f"{number:02}.npy: " in done.stderr for number in range(12))
    assert list(isoline.batches()) == before
    np.save(folder / "good.npy", np.array([1, -1]))
    assert len(run("batch", "submit", folder, "--fs", "500").stderr.splitlines()) == 12
    shown, _ = on_a_terminal(environ, ["batch", "submit", str(folder), "--new"])
    assert "09.npy: " in shown
    assert "10.npy: " not in shown
    assert "… and 2 more that cannot be read; typed again with 2> problems.txt" in shown
    assert "12 cannot be read" in shown


def test_a_name_that_no_line_can_have_and_a_file_with_nothing_in_it_are_named(
    run: Run, isoline: Client, tmp_path: Path
) -> None:
    folder = tmp_path / "odd"
    deep = folder.joinpath(*["d" * 90] * 3)
    deep.mkdir(parents=True)
    for file in ("deep", os.fsdecode(b"same\xff"), r"same\udcff", "other"):
        ((deep if file == "deep" else folder) / f"{file}.csv").write_text("I\n1\n-1\n")
    (folder / "nothing.ndjson").touch()
    (folder / "blank.jsonl").write_text("\n \n")
    (folder / "none.json").touch()
    done = run("batch", "submit", folder, "--watch", "--json", "--fs", "500")
    batch = json.loads(done.stdout)
    assert (done.returncode, batch["total"], batch["finished"]) == (3, 2, 2)
    assert done.stderr.splitlines() == [
        "blank.jsonl: It is empty.",
        "none.json: It is empty.",
        "nothing.ndjson: It is empty.",
        r"same\udcff.csv: Written with escapes, another file's name is the same: call it "
        "something else.",
        f"{deep.relative_to(folder)}/deep.csv: Its path is 281 characters long, and a line of a "
        "batch is called by 255 at most: submit a folder further down.",
    ]
    names = [line.custom_id for line in isoline.batch_insights(batch["id"])]
    assert names == ["other.csv", r"same\udcff.csv"]
    # What could not be read the server has never seen.
    shown = run("batch", "errors", batch["id"])
    assert (shown.stdout, shown.stderr) == ("", "No errors among those that were sent.\n")


def test_of_json_what_no_upload_has_is_left_out_with_a_word(run: Run, tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / f"{name}.json").write_text('{"leads": [], "patient": "x"}')
    said = "a.json: Left out are the fields that no upload has: patient.\n"
    done = run("batch", "submit", tmp_path)
    assert (done.returncode, done.stderr) == (0, said)
    done = run("upload", tmp_path / "a.json", tmp_path / "b.json")
    assert (done.returncode, done.stderr) == (0, f"{tmp_path}/{said}")


def test_a_recording_that_does_not_say_its_rate_is_told_of_once(run: Run, tmp_path: Path) -> None:
    for name in "ab":
        np.save(tmp_path / f"{name}.npy", np.array([1, -1]))
    said = "a.npy: It does not say its sampling rate, nor does --fs:"
    for command in (
        ("batch", "submit", tmp_path),
        ("upload", tmp_path / "a.npy", tmp_path / "b.npy"),
    ):
        done = run(*command)
        assert done.returncode == 0
        assert said in done.stderr
        assert done.stderr.count("sampling rate") == 1
        assert "sampling rate" not in run(*command, "--fs", "500").stderr


def test_uploading_names_the_line_that_is_none_and_shows_no_table_of_nothing(
    run: Run, tmp_path: Path
) -> None:
    path = tmp_path / "r.ndjson"
    path.write_text('{"leads": []}\nbad\n')
    done = run("upload", path)
    assert done.returncode == 3
    assert f"{path}#2: Line 2: It is no ECG in JSON" in done.stderr
    path.write_text("bad\n")
    done = run("upload", tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[0].endswith("isoline batch submit")
    assert done.stderr.splitlines()[-1] == "Nothing was uploaded."


def test_where_nothing_can_be_read_nothing_is_done_and_a_format_is_called_by_its_name(
    run: Run, tmp_path: Path
) -> None:
    for name in ("notes.txt", "b.DCM", "c.xml"):
        (tmp_path / name).touch()
    for command in (["upload"], ["batch", "submit"]):
        done = run(*command, tmp_path / "notes.txt")
        assert (done.returncode, done.stdout) == (1, "")
        assert "notes.txt: Its name does not end like that of a recording" in done.stderr
        assert "Not read here" not in done.stderr
        done = run(*command, tmp_path / "b.DCM", tmp_path / "c.xml")
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.splitlines()[0] == "Not read here: DICOM, aECG (XML)."
    # What was read and then refused is another thing: 3, as of a batch.
    (tmp_path / "huge.json").write_text('{"leads": [{"name": "I", "signal": [4294967296999]}]}')
    assert run("upload", tmp_path / "huge.json").returncode == 3


def test_an_archive_in_and_a_table_out(run: Run, archive: Path) -> None:
    done = run("batch", "submit", archive, "--watch", "--json")
    assert done.returncode == 3
    batch = json.loads(done.stdout)
    assert (batch["status"], batch["total"], batch["finished"]) == ("finished", 23, 22)
    assert "cut.npy: It is no array of numpy's." in done.stderr
    assert "(huge.json): /leads/0/signal/0 must fit into 32 bits" in done.stderr
    table = run("batch", "results", batch["id"], "--csv")
    rows = list(csv.DictReader(io.StringIO(table.stdout)))
    crossings = {row["custom_id"]: int(row["zero_crossings_count"]) for row in rows}
    assert crossings == {f"day/{number:02}.npy": 2 * number for number in range(20)}
    lines = run("batch", "results", batch["id"], "--json").stdout.splitlines()
    results = [json.loads(line) for line in lines]
    # What is said of the whole ECG stands beside its leads.
    assert all(result["insights"]["beats"].keys() >= {"version"} for result in results)
    assert all(lead["insights"].keys() >= {"quality"} for r in results for lead in r["leads"])
    names = [result["custom_id"] for result in results]
    assert names == ["two.ndjson#1", "own", *(f"day/{number:02}.npy" for number in range(20))]
    assert "huge.json" in run("batch", "errors", batch["id"]).stdout
    assert "must fit" in run("batch", "errors", batch["id"], "--csv").stdout
    assert batch["id"] in run("batch", "list").stdout
    # The same command again finds what there is.
    again = run("batch", "submit", archive, "--watch", "--json")
    assert json.loads(again.stdout)["id"] == batch["id"]
    assert "23 of 23 had come before." in again.stderr
    assert (
        json.loads(run("batch", "submit", archive, "--new", "--json").stdout)["id"] != batch["id"]
    )
    watched = run("batch", "watch", batch["id"], "--json")
    assert (watched.returncode, json.loads(watched.stdout)["id"]) == (3, batch["id"])


def test_of_what_has_ended_there_is_nothing_to_cancel(run: Run, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([1, -1]))
    done = json.loads(run("batch", "submit", tmp_path, "--new", "--watch", "--json").stdout)
    cancelled = run("batch", "cancel", done["id"])
    assert cancelled.returncode == 0
    assert cancelled.stderr == "It had ended before: there was nothing to cancel.\n"


def test_one_form_is_enough(run: Run) -> None:
    for forms in (["--json", "--csv"], ["--table", "--csv"]):
        refused = run("batch", "list", *forms)
        assert (refused.returncode, refused.stdout) == (2, "")
        assert f"{' and '.join(forms)} exclude each other" in refused.stderr


def test_what_is_changed_is_another_batch_and_what_was_cancelled_says_so(
    run: Run, tmp_path: Path, stack: Stack
) -> None:
    np.save(tmp_path / "a.npy", np.array([1, -1]))
    stack.stop("bulk")
    first = json.loads(run("batch", "submit", tmp_path / "a.npy", "--json").stdout)["id"]
    cancelled = run("batch", "cancel", first, "--json")
    assert json.loads(cancelled.stdout)["status"] == "cancelled"
    refused = run("batch", "submit", tmp_path / "a.npy")
    assert refused.returncode == 1
    assert "With --new a new one is begun." in refused.stderr
    stack.start("bulk")
    np.save(tmp_path / "a.npy", np.array([1, -1, 1]))
    done = run("batch", "submit", tmp_path / "a.npy", "--watch", "--json")
    assert (done.returncode, json.loads(done.stdout)["finished"]) == (0, 1)


@pytest.mark.parametrize(
    ("closed", "code", "says"), [(">&-", 1, "closed"), ("2>&-", 3, "finished")]
)
def test_a_stream_that_is_closed_is_no_riddle(
    environ: dict[str, str], archive: Path, closed: str, code: int, says: str
) -> None:
    typed = f'"$0" -m isoline batch submit "$1" --watch {closed}'
    done = subprocess.run(
        ["sh", "-c", typed, sys.executable, str(archive)],
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == code
    said = done.stdout + done.stderr
    assert says in said
    assert "Traceback" not in said


def test_interrupted_it_says_how_to_go_on_and_does(
    environ: dict[str, str], run: Run, tmp_path: Path, stack: Stack, token: str
) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(1500):
        np.save(folder / f"{number:04}.npy", np.tile([1, -1], 3000))
    command = [sys.executable, "-m", "isoline", "batch", "submit", folder.name, "--json"]
    process = subprocess.Popen(
        command, env=environ, cwd=tmp_path, stderr=subprocess.PIPE, text=True
    )
    with Client(stack.url, token) as client:

        def some() -> bool:
            newest = next(client.batches(), None)
            return newest is not None and newest.status == "receiving" and newest.counts.total > 64

        wait_until(some, what="for the first lines")
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=20)
        assert process.returncode == 130
        assert "What has arrived stays, and is worked on." in said
        assert "type the same command again" in said
        # Cut, and not taken for the end.
        assert next(client.batches()).status == "receiving"
        assert next(client.batches()).counts.rejected == 0
        # What goes on with it is its owner's business.
        [kept] = (tmp_path / "config" / "isoline" / "unfinished").iterdir()
        assert stat.S_IMODE(kept.stat().st_mode) == 0o600
        earlier = next(client.batches()).id
    # Another batch is not begun without a word about this one.
    np.save(tmp_path / "other.npy", np.array([1, -1]))
    other = run("batch", "submit", tmp_path / "other.npy")
    assert other.returncode == 0
    watching = subprocess.Popen(
        [sys.executable, "-m", "isoline", "batch", "watch", earlier],
        env={**environ, "TTY_COMPATIBLE": "1"},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert watching.stderr is not None
    shown = ""
    while "computing" not in shown:
        shown += watching.stderr.read(1)
    watching.send_signal(signal.SIGINT)
    said_then = watching.communicate(timeout=20)[1]
    assert "still waits for lines" in said_then
    assert f"isoline batch cancel {earlier}" in said_then
    assert watching.returncode == 130
    [key] = re.findall(rf"Batch {earlier} still waits for lines.*--key (files-\w+)", other.stderr)
    assert f"isoline batch cancel {earlier}" in other.stderr
    # Whole: it may be read in another folder.
    assert f"submit its files ({folder}) again with --key" in other.stderr
    assert key in said
    done = run("batch", "submit", folder, "--watch", "--json")
    batch = json.loads(done.stdout)
    assert (done.returncode, batch["total"], batch["finished"]) == (0, 1500, 1500)
    assert "of 1500 had come before." in done.stderr
    again = run("batch", "submit", tmp_path / "other.npy", "--new")
    assert "still waits" not in done.stderr + again.stderr


def test_a_batch_that_was_interrupted_before_its_first_line_can_be_gone_on_with(
    run: Run, environ: dict[str, str], stack: Stack, token: str, tmp_path: Path
) -> None:
    np.save(tmp_path / "slow.npy", np.array([1, -1]))
    # A second file that takes a minute to be read.
    program = (
        "import time; from isoline import submit_command; "
        "submit_command.read_lines = lambda *_: "
        "(line if line else time.sleep(60) for line in (b'{\"leads\": []}', b'')); "
        "from isoline.__main__ import main; main()"
    )
    command = [sys.executable, "-c", program, "batch", "submit", str(tmp_path / "slow.npy")]
    process = subprocess.Popen(command, env=environ, stderr=subprocess.PIPE, text=True)
    with Client(stack.url, token) as client:

        def is_there() -> bool:
            newest = next(client.batches(), None)
            return newest is not None and newest.status == "receiving"

        wait_until(is_there, what="for the batch")
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=20)
        assert process.returncode == 130
        [key] = re.findall(r"--key (files-\w+)", said)
        [begun, *_] = client.batches()
        np.save(tmp_path / "other.npy", np.array([1, -1]))
        other = run("batch", "submit", tmp_path / "other.npy")
        assert f"Batch {begun.id} still waits for lines; 0 have come" in other.stderr
        assert f"with --key {key};" in other.stderr
        client.cancel_batch(begun.id)


def test_what_is_empty_says_so(run: Run, environ: dict[str, str], stack: Stack) -> None:
    with Client(stack.url, admin_token=ADMIN_TOKEN) as admin:
        nobody = {**environ, "ISOLINE_TOKEN": admin.register("nobody").token}
    none = run("batch", "list", environ=nobody)
    assert (none.returncode, none.stdout, none.stderr) == (0, "", "No batches.\n")
    assert run("batch", "list", "--json", environ=nobody).stderr == ""
    assert run("batch", "list", "--csv", environ=nobody).stdout.startswith("id,status,total")


def test_a_new_batch_that_was_interrupted_goes_on_with_its_key_alone(
    run: Run, environ: dict[str, str], stack: Stack, tmp_path: Path
) -> None:
    np.save(tmp_path / "a.npy", np.array([1, -1]))
    command = [sys.executable, "-m", "isoline", "batch", "submit", str(tmp_path / "a.npy")]
    stack.stop("api")
    process = subprocess.Popen(
        [*command, "--new", "--fs", "500"],
        env=environ,
        stderr=subprocess.PIPE,
        text=True,
        bufsize=1,
    )
    assert process.stderr is not None
    assert "Again in 1 s." in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=20)
    assert process.returncode == 130
    [key] = re.findall(r"type the command again with --key (\w+) in place of --new", said)
    assert "same command" not in said
    stack.start("api")
    assert run("batch", "submit", tmp_path / "a.npy", "--key", key, "--json").returncode == 0


def test_a_server_that_is_away_is_waited_for_and_then_it_says_how_to_go_on(
    stack: Stack, token: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.save(tmp_path / "a.npy", np.array([1, -1]))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 6:
            monkeypatch.undo()
            stack.start("api")
            wait_until(stack.answers, what="for the API")

    def submit(url: str) -> Result:
        arguments = ["--url", url, "--token", token, "batch", "submit", str(tmp_path / "a.npy")]
        return CliRunner().invoke(cli, arguments)

    stack.stop("api")
    monkeypatch.setattr("isoline.retries.sleep", sleep)
    done = submit(stack.url)
    assert done.exit_code == 0
    assert done.stderr.count("Again in") == 6
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setattr("isoline.retries.sleep", lambda _: None)
    monkeypatch.setattr("isoline.submit_command.PATIENCE_S", 0)
    done = submit(f"http://127.0.0.1:{free_port()}")
    said = sentence(str(done.exception), sys.maxsize)
    assert re.search(r"same command again \(or use --key files-\w+ with the same paths\)", said)
    assert "The address comes from --url" in said


def test_without_a_token_nobody_waits_for_a_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.save(tmp_path / "a.npy", np.array([1, -1]))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.delenv("ISOLINE_TOKEN", raising=False)
    url = f"http://127.0.0.1:{free_port()}"
    done = CliRunner().invoke(cli, ["--url", url, "batch", "submit", str(tmp_path / "a.npy")])
    said = str(done.exception)
    assert said.startswith("Nothing can be submitted. Your token for")
    assert f"isoline\u00a0login\u00a0{url}" in said


def test_interrupted_before_anything_was_sent_it_says_so_and_names_the_key(
    token: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def think_better(_: float) -> None:
        raise KeyboardInterrupt

    np.save(tmp_path / "a.npy", np.array([1, -1]))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setattr("isoline.retries.sleep", think_better)
    server = ["--url", f"http://127.0.0.1:{free_port()}", "--token", token]
    done = CliRunner().invoke(cli, [*server, "batch", "submit", str(tmp_path / "a.npy")])
    assert done.exit_code == 130
    said = done.stderr.splitlines()[-1]
    assert re.fullmatch(
        r"Interrupted\. Nothing has been sent yet\. To go on, type the same command again "
        r"\(or use --key files-\w+ with the same paths\)\.",
        said,
    )


def test_a_bar_on_a_terminal_and_none_elsewhere(
    environ: dict[str, str], run: Run, archive: Path, isoline: Client
) -> None:
    assert "━" not in run("batch", "submit", archive, "--new").stderr
    command = ["batch", "submit", str(archive), "--new", "--watch"]
    plain, printed = on_a_terminal(environ, command)
    assert printed
    assert re.search(r"sending .*23/23 .*files/s", plain)
    [rate] = re.findall(r"computing .*100%.*23/23 (\d+) done/s 00:00", plain)[-1:]
    # It is the server's, who saw when each of them ended.
    assert float(rate) == round(next(isoline.batches()).rate_per_s or 0)
    assert "1 without insights" in plain
    files = sorted((archive / "day").iterdir())[:3]
    plain, printed = on_a_terminal(environ, ["upload", *map(str, files), "--json"])
    assert re.search(r"uploading .*3/3", plain)
    assert [json.loads(line)["status"] for line in printed.splitlines()] == ["finished"] * 3


def test_a_bar_leaves_room_for_what_a_terminal_writes_at_ctrl_c(
    environ: dict[str, str], archive: Path
) -> None:
    command = ["batch", "submit", str(archive), "--new"]
    shown, _ = on_a_terminal(environ, command, columns=60)
    bars = [line for line in re.split("[\r\n]+", shown) if line.startswith("sending")]
    assert bars
    assert max(map(len, bars)) <= 60 - len("^C")


def on_a_terminal(
    environ: dict[str, str], command: list[str], columns: int = 120
) -> tuple[str, bytes]:
    """What standard error shows when it is a terminal; and standard output, which is a pipe."""
    terminal, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "isoline", *command],
        env={**environ, "TERM": "xterm-256color", "COLUMNS": f"{columns}"},
        stdout=subprocess.PIPE,
        stderr=theirs,
    )
    os.close(theirs)
    shown = all_that_is_shown(terminal)
    return shown, process.communicate(timeout=20)[0]


def printed_on_a_terminal(environ: dict[str, str], command: list[str]) -> list[str]:
    """What is printed on a terminal of 60 columns, line by line."""
    terminal, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "isoline", *command],
        env={**environ, "TERM": "xterm-256color", "COLUMNS": "60"},
        stdout=theirs,
        stderr=subprocess.DEVNULL,
    )
    os.close(theirs)
    shown = all_that_is_shown(terminal)
    process.wait(20)
    return shown.splitlines()


def all_that_is_shown(terminal: int) -> str:
    """Read a terminal until nobody writes to it, without what gives colours."""
    shown = b""
    while True:
        try:
            piece = os.read(terminal, 4096)
        except OSError:
            break
        if not piece:
            break
        shown += piece
    os.close(terminal)
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode())


def test_a_login_is_kept_for_its_owner_alone(
    run: Run, environ: dict[str, str], stack: Stack, token: str, tmp_path: Path
) -> None:
    bare = {name: text for name, text in environ.items() if not name.startswith("ISOLINE_")}
    wrong = run("login", stack.url, "--token-stdin", input="wrong\n", environ=bare)
    assert wrong.returncode == 1
    assert "valid user token" in wrong.stderr
    kept = tmp_path / "config" / "isoline" / "config.json"
    assert not kept.exists()
    right = run("login", f"{stack.url}/", "--token-stdin", input=f"{token}\n", environ=bare)
    assert right.returncode == 0
    assert token not in right.stdout + right.stderr
    assert right.stderr == (
        f"{stack.url} knows this token as a user's. Kept in {kept}, which only you can read "
        "(mode 0600).\n"
    )
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert run("batch", "list", environ=bare).returncode == 0
    admin = run("login", "--admin", "--token-stdin", input=f"{ADMIN_TOKEN}\n", environ=bare)
    assert "knows this token as the administrator's." in admin.stderr
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    added = run("users", "add", "dora", environ=bare)
    assert len(added.stdout.strip()) > 30
    assert "dora" in run("users", "list", environ=bare).stdout
    assert run("users", "rotate", "dora", environ=bare).stdout != added.stdout
    assert run("users", "erase", "dora", "--yes", environ=bare).returncode == 0
    # What opens one server is not shown to another.
    other = run("--url", "http://127.0.0.1:9", "batch", "list", environ=bare)
    assert "http://127.0.0.1:9 did not answer: Connection refused." in other.stderr
    assert "comes from --url" in other.stderr.splitlines()[-1]


def test_a_login_at_one_server_forgets_no_token_of_another(
    run: Run, environ: dict[str, str], stack: Stack, token: str
) -> None:
    bare = {name: text for name, text in environ.items() if not name.startswith("ISOLINE_")}
    # To whoever types it, another spelling is another server.
    other = stack.url.replace("127.0.0.1", "localhost")
    assert run("login", stack.url, "--token-stdin", input=token, environ=bare).returncode == 0
    admin = ("login", other, "--admin", "--token-stdin")
    assert run(*admin, input=ADMIN_TOKEN, environ=bare).returncode == 0
    alone = run("batch", "list", environ=bare)
    assert alone.returncode == 1
    assert "is not kept here (only the administrator's);" in alone.stderr
    assert run("--url", stack.url, "batch", "list", environ=bare).returncode == 0
    assert run("login", stack.url, environ=bare).returncode == 0
    assert run("batch", "list", environ=bare).returncode == 0
    assert run("--url", other, "users", "list", environ=bare).returncode == 0


def test_what_cannot_be_a_server_is_refused_before_a_token_is_asked_for(
    run: Run, environ: dict[str, str]
) -> None:
    bare = {name: text for name, text in environ.items() if not name.startswith("ISOLINE_")}
    for url in ("foo", "localhost:8377"):
        refused = run("login", url, environ=bare, input="")
        assert refused.returncode == 2
        assert refused.stderr.startswith("A server's URL begins with http:// or https://")


def test_a_kept_token_that_is_dead_is_asked_for_anew(
    run: Run, environ: dict[str, str], stack: Stack, tmp_path: Path
) -> None:
    bare = {name: text for name, text in environ.items() if not name.startswith("ISOLINE_")}
    kept = tmp_path / "config" / "isoline" / "config.json"

    def log_in(typed: str, *given: str) -> subprocess.CompletedProcess[str]:
        """Without a terminal, a password is read from standard input as well."""
        return subprocess.run(
            [sys.executable, "-m", "isoline", *given, "login"],
            env=bare,
            input=f"{typed}\n",
            capture_output=True,
            text=True,
            timeout=60,
            start_new_session=True,
        )

    with Client(stack.url, admin_token=ADMIN_TOKEN) as admin:
        dead = admin.register("erna").token
        assert run("login", stack.url, "--token-stdin", input=dead, environ=bare).returncode == 0
        # What lives is not asked for.
        assert log_in("nothing of this is read").returncode == 0
        living = admin.rotate_token("erna").token
    missing = log_in("")
    assert missing.returncode == 1
    assert "no token on standard input" in missing.stderr
    wrong = log_in("a-wrong-one")
    assert wrong.returncode == 1
    assert json.loads(kept.read_text())["token"] == dead
    done = log_in(living)
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith(
        f"The token in {kept} opens nothing: A valid user token is needed"
    )
    assert "knows this token as a user's" in done.stderr
    assert json.loads(kept.read_text())["token"] == living
    # One that was given just now is no kept one: that it is wrong is an error.
    assert log_in(living, "--token", dead).returncode == 1
    assert run("batch", "list", environ=bare).returncode == 0


def test_an_administrator_is_told_what_was_not_done_and_what_can_be(
    run: Run, environ: dict[str, str]
) -> None:
    admin = {**environ, "ISOLINE_ADMIN_TOKEN": ADMIN_TOKEN}
    assert run("users", "add", "carl", environ=admin).returncode == 0
    twice = run("users", "add", "carl", environ=admin)
    assert twice.returncode == 1
    assert twice.stderr.endswith("isoline users rotate carl | isoline login --token-stdin\n")
    kept = run("users", "erase", "carl", environ=admin, input="n\n")
    assert kept.returncode == 1
    assert kept.stderr.endswith("Nothing was erased.\n")
    assert "carl" in run("users", "list", environ=admin).stdout
    unasked = run("users", "erase", "carl", environ=admin, input="")
    assert unasked.returncode == 2
    assert "say --yes" in unasked.stderr
    gone = run("users", "erase", "carl", environ=admin, input="y\n")
    assert (gone.returncode, gone.stderr.endswith("Erased carl.\n")) == (0, True)


def test_the_doctor_names_the_login_for_the_server_that_was_asked(
    run: Run, environ: dict[str, str], stack: Stack
) -> None:
    bare = {name: text for name, text in environ.items() if not name.startswith("ISOLINE_")}
    other = stack.url.replace("127.0.0.1", "localhost")
    done = run("--url", other, "doctor", environ=bare)
    assert done.returncode == 1
    assert f"isoline login {other} keeps one" in done.stdout
    shown = printed_on_a_terminal(bare, ["--url", other, "doctor"])
    arrow = next(number for number, line in enumerate(shown) if line.startswith(" " * 19 + "→ "))
    assert max(map(len, shown)) <= 60
    assert shown[arrow + 1].startswith(" " * 21)


def test_a_damaged_login_is_named_and_made_anew(
    run: Run, environ: dict[str, str], stack: Stack, token: str, tmp_path: Path
) -> None:
    bare = {name: text for name, text in environ.items() if not name.startswith("ISOLINE_")}
    kept = tmp_path / "config" / "isoline" / "config.json"
    kept.parent.mkdir(parents=True)
    kept.write_text("{")
    kept.chmod(0o644)
    for arguments in (["batch", "list"], ["upload", __file__], ["doctor"], ["login"]):
        refused = run(*arguments, environ=bare)
        assert refused.returncode == 1
        assert f"{kept} cannot be read" in refused.stderr
        assert len(refused.stderr.splitlines()) == 1
    assert run("batch", "list", "--help", environ=bare).returncode == 0
    made = run("login", stack.url, "--token-stdin", input=f"{token}\n", environ=bare)
    assert made.returncode == 0
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert run("batch", "list", environ=bare).returncode == 0
    refused = run("login", "--token-stdin", input="\n", environ=bare)
    assert refused.returncode == 1
    assert "no token on standard input" in refused.stderr
    assert "isoline users rotate NAME | isoline login --token-stdin" in refused.stderr
    refused = run("login", "--admin", "--token-stdin", input="", environ=bare)
    assert "isoline login --admin --token-stdin < FILE" in refused.stderr
    kept.unlink()
    kept.mkdir()
    refused = run("login", stack.url, "--token-stdin", input=f"{token}\n", environ=bare)
    assert refused.returncode == 1
    assert "cannot be written" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_who_names_a_server_that_is_not_there(run: Run, environ: dict[str, str]) -> None:
    proxied = {
        **{name: text for name, text in environ.items() if name.lower() != "no_proxy"},
        "ISOLINE_URL": "http://isoline.invalid",
        "HTTP_PROXY": "http://me:hidden@127.0.0.1:9",
    }
    away = run("users", "list", environ=proxied)
    assert away.returncode == 1
    assert "by way of the proxy 127.0.0.1:9, see HTTP_PROXY" in away.stderr
    assert "comes from ISOLINE_URL" in away.stderr
    assert "hidden" not in away.stderr
    for name, text in (("HTTP_PROXY", "x://y"), ("SSL_CERT_FILE", "/nowhere")):
        refused = run("users", "list", environ={**environ, name: text})
        assert refused.returncode == 2
        assert name in refused.stderr
        assert len(refused.stderr.splitlines()) == 1


def test_a_token_of_somebody_who_was_erased_opens_nothing(
    run: Run, environ: dict[str, str], stack: Stack, tmp_path: Path
) -> None:
    with Client(stack.url, admin_token=ADMIN_TOKEN) as admin:
        token = admin.register("erased").token
        admin.erase_user("erased")
    np.save(tmp_path / "a.npy", np.array([1, -1]))
    done = run("upload", tmp_path / "a.npy", environ={**environ, "ISOLINE_TOKEN": token})
    assert done.returncode == 1
    assert "A valid user token is needed" in done.stderr
    assert "Your token came from ISOLINE_TOKEN. isoline login keeps another" in done.stderr
    # A new batch's key is known to nobody else.
    command = ("batch", "submit", "--new", tmp_path / "a.npy")
    done = run(*command, environ={**environ, "ISOLINE_TOKEN": token})
    assert done.returncode == 1
    assert re.search(r"To go on, type the command again with --key \w+ in place of", done.stderr)


def test_an_administrator_who_is_not_let_in_learns_which_token_it_was(
    run: Run, environ: dict[str, str], tmp_path: Path
) -> None:
    bare = {name: text for name, text in environ.items() if name != "ISOLINE_TOKEN"}
    none = run("users", "list", environ=bare)
    assert none.returncode == 1
    assert f"token for {environ['ISOLINE_URL']} is not kept here." in none.stderr
    assert "isoline login --admin keeps one; --admin-token and ISOLINE_ADMIN_TOKEN" in none.stderr
    in_vain = {**bare, "ISOLINE_ADMIN_TOKEN": "a-wrong-one"}
    wrong = run("users", "add", "ada", environ=in_vain)
    assert "The administrator's token came from ISOLINE_ADMIN_TOKEN." in wrong.stderr
    wrong = run("--admin-token", "a-wrong-one", "users", "add", "ada", environ=bare)
    assert "The administrator's token came from --admin-token." in wrong.stderr
    kept = tmp_path / "config" / "isoline" / "config.json"
    kept.parent.mkdir(parents=True)
    kept.write_text(json.dumps({"url": environ["ISOLINE_URL"], "admin_token": "a-wrong-one"}))
    wrong = run("users", "add", "ada", environ=bare)
    assert f"The administrator's token came from {kept}." in wrong.stderr
    assert "a-wrong-one" not in wrong.stderr


def test_a_part_of_the_results_says_that_it_is_one(
    run: Run, stack: Stack, isoline: Client, tmp_path: Path
) -> None:
    np.save(tmp_path / "a.npy", np.array([1, -1]))
    stack.stop("bulk")
    batch_id = json.loads(run("batch", "submit", tmp_path / "a.npy", "--json").stdout)["id"]
    for form in ("--csv", "--json", "--table"):
        for what in ("results", "errors"):
            part = run("batch", what, batch_id, form)
            assert part.returncode == 4
            assert "of 1 lines 0 have ended" in part.stderr
            assert part.stderr.endswith("): the same command again.\n")
            assert "part" not in part.stdout
    stack.start("bulk")
    wait_until(lambda: isoline.batch(batch_id).has_ended, what="for the batch")
    whole = run("batch", "results", batch_id, "--csv")
    assert (whole.returncode, whole.stderr) == (0, "")
    header = whole.stdout.splitlines()[0]
    from_the_last = ("batch", "results", batch_id, "--csv", "--after", "1")
    assert run(*from_the_last).stdout == header + "\n"
    below = header_digest(header.encode())
    assert run(*from_the_last, "--columns", below).stdout == ""
    changed = run(*from_the_last, "--columns", "0123456789abcdef")
    assert (changed.returncode, changed.stdout) == (1, "")
    assert "take the table anew" in changed.stderr


def test_a_part_of_a_table_says_below_which_columns_it_goes_on(
    run: Run, stack: Stack, token: str, isoline: Client
) -> None:
    cut = {"Idempotency-Key": "a-part", "Content-Encoding": "gzip"}
    kind = {"x-user-token": token, "Content-Type": "application/x-ndjson"}
    line = b'{"leads": [{"name": "I", "signal": [1]}]}\n'
    # Without its end.
    content = gzip.compress(line)[:-8]
    httpx.post(f"{stack.url}/batches", headers={**kind, **cut}, content=content)
    batch_id = next(isoline.batches()).id
    wait_until(lambda: isoline.batch(batch_id).counts.finished, what="for its line")
    part = run("batch", "results", batch_id, "--csv")
    assert part.returncode == 4
    header, _ = part.stdout.splitlines()
    below = f"--after 1 --columns {header_digest(header.encode())}"
    assert f"the same command with {below}, and >> in place of >" in part.stderr
    rest = run("batch", "results", batch_id, "--csv", *below.split())
    assert (rest.returncode, rest.stdout) == (4, "")
    lines = run("batch", "results", batch_id, "--json")
    assert "the same command with --after 1, and" in lines.stderr
    isoline.cancel_batch(batch_id)


def test_watching_says_that_nobody_sends_any_more(
    environ: dict[str, str], stack: Stack, token: str
) -> None:
    with Client(stack.url, token) as client:
        cut = httpx.post(
            f"{stack.url}/batches",
            headers={
                "x-user-token": token,
                "Content-Type": "application/x-ndjson",
                "Content-Encoding": "gzip",
                "Idempotency-Key": "cut",
            },
            # Without its end.
            content=gzip.compress(b'{"leads": []}\n')[:-8],
        )
        assert cut.status_code == 400
        abandoned = next(client.batches())
        assert abandoned.status == "receiving"
    program = (
        "from isoline import watching; watching.SILENCE_S = 1; "
        "from isoline.__main__ import main; main()"
    )
    watching = subprocess.Popen(
        [sys.executable, "-c", program, "batch", "watch", abandoned.id],
        env=environ,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert watching.stderr is not None
    said = watching.stderr.readline()
    assert f"Batch {abandoned.id} still waits for lines" in said
    assert f"isoline batch cancel {abandoned.id}" in said
    assert re.search(r"None has come since \d\d:\d\d:\d\d", said)
    assert watching.poll() is None
    with Client(stack.url, token) as client:
        client.cancel_batch(abandoned.id)
    watching.communicate(timeout=20)
    assert watching.returncode in {0, 3}


WATCHING = (
    "from isoline import watching; watching.SILENCE_S, watching.PATIENCE_S = 1, {}; "
    "from isoline.__main__ import main; main()"
)


@contextmanager
def watched(
    environ: dict[str, str], batch_id: str, said: Path, patience_s: int
) -> Iterator[subprocess.Popen[str]]:
    """Somebody who watches a batch; what is said of it is in the file."""
    program = WATCHING.format(patience_s)
    with said.open("w") as file:
        watching = subprocess.Popen(
            [sys.executable, "-c", program, "batch", "watch", batch_id, "--json"],
            env=environ,
            stdout=subprocess.PIPE,
            stderr=file,
            text=True,
        )
    try:
        yield watching
    finally:
        watching.kill()
        watching.wait()


def test_watching_says_why_nothing_moves_and_survives_a_restart(
    environ: dict[str, str], run: Run, stack: Stack, tmp_path: Path
) -> None:
    np.save(tmp_path / "a.npy", np.array([1, -1]))
    said = tmp_path / "said"
    stack.stop("bulk")
    batch_id = json.loads(run("batch", "submit", tmp_path / "a.npy", "--json").stdout)["id"]
    with watched(environ, batch_id, said, 60) as watching:
        why = "No worker for batches was heard lately: isoline doctor"
        try:
            wait_until(lambda: why in said.read_text(), 40, "for the reason")
        finally:
            stack.stop("api")
            stack.start("bulk")
        # More often than a request alone is made again.
        wait_until(lambda: said.read_text().count("Again in") > 3, 40, "for patience")
        stack.start("api")
        printed, _ = watching.communicate(timeout=60)
    assert (watching.returncode, json.loads(printed)["finished"]) == (0, 1)
    assert said.read_text().count(why) == 1
    assert "--url" not in said.read_text()


def test_whatever_ends_the_watching_names_the_batch(
    environ: dict[str, str], run: Run, stack: Stack, tmp_path: Path
) -> None:
    np.save(tmp_path / "a.npy", np.array([1, -1]))
    said = tmp_path / "said"
    stack.stop("bulk")
    batch_id = json.loads(run("batch", "submit", tmp_path / "a.npy", "--json").stdout)["id"]
    with watched({**environ, "TTY_COMPATIBLE": "1"}, batch_id, said, 0) as watching:
        wait_until(lambda: "computing" in said.read_text(), what="for the bar")
        stack.stop("api")
        try:
            watching.communicate(timeout=60)
            never = run("batch", "watch", batch_id)
        finally:
            stack.start("api")
            stack.start("bulk")
            wait_until(stack.answers, what="for the API")
    assert watching.returncode == 1
    assert "did not answer" in said.read_text()
    assert said.read_text().endswith(f"isoline batch watch {batch_id}\n")
    assert "--url" not in said.read_text()
    assert "--url" in never.stderr.splitlines()[-1]


@pytest.mark.parametrize("after_s", [0.03, 0.1, 0.3, 1.0])
def test_interrupted_at_any_moment_it_says_one_thing(
    environ: dict[str, str], stack: Stack, tmp_path: Path, after_s: float
) -> None:
    np.save(tmp_path / "a.npy", np.array([1, -1]))
    # A server that never answers.
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        process = subprocess.Popen(
            [sys.executable, "-c", BEGUN, "upload", str(tmp_path / "a.npy")],
            env={**environ, "ISOLINE_URL": url},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        time.sleep(after_s)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=20)
    assert process.returncode == 130
    assert re.fullmatch("(Interrupted|Stopped at)[^\n]*\n", said)


# Python itself takes its time, too, until it can be interrupted with grace.
BEGUN = "import isoline.__main__ as it; print('begun', flush=True); it.main()"


def test_names_are_shown_and_not_obeyed(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "odd"
    folder.mkdir()
    good, bad = folder / "a\x1b[31m\u202e.csv", folder / "b\n\x9b31m.csv"
    good.write_text("I\n1\n-1\n")
    bad.write_text("I\n1\nx\n")
    (folder / os.fsdecode(b"c\xff.csv")).write_text("I\n1\n")
    files = sorted(folder.iterdir())
    shown = run("upload", *files)
    assert shown.returncode == 3
    for text in (shown.stdout, shown.stderr, run("batch", "submit", folder).stderr):
        assert all(letter.isprintable() for letter in text.replace("\n", ""))
    assert r"a\x1b[31m\u202e.csv" in shown.stdout
    assert r"b\n\x9b31m.csv: Line 3, column I" in shown.stderr
    # A name that is no text is told apart by its escapes.
    assert r"c\udcff.csv" in shown.stdout
    assert json.loads(run("upload", good, "--json").stdout)["file"] == str(good)
    missing = run("batch", "submit", "no\x1b[1m")
    assert missing.returncode == 2
    assert r"no\x1b[1m" in missing.stderr


@pytest.mark.parametrize(
    ("arguments", "name", "secret"),
    [
        (["batch", "list"], "ISOLINE_TOKEN", "a-secret\n"),
        (["doctor"], "ISOLINE_TOKEN", "a-secret "),
        (["users", "list"], "ISOLINE_ADMIN_TOKEN", "a-sec\tret"),
        (["login"], "ISOLINE_TOKEN", "a-sécret"),
    ],
)
def test_a_token_that_cannot_be_one_is_refused_and_not_shown(
    run: Run, environ: dict[str, str], arguments: list[str], name: str, secret: str
) -> None:
    done = run(*arguments, environ={**environ, name: secret})
    assert done.returncode == 2
    assert "token cannot be one" in done.stderr
    assert not re.search("a-s.c|Traceback|Again", done.stdout + done.stderr)


def test_a_token_is_read_without_the_white_space_around_it(
    run: Run, environ: dict[str, str], token: str, tmp_path: Path
) -> None:
    bare = {name: text for name, text in environ.items() if name != "ISOLINE_TOKEN"}
    assert run("login", "--token-stdin", input=f" {token}\r\n", environ=bare).returncode == 0
    kept = tmp_path / "config" / "isoline" / "config.json"
    kept.write_text(kept.read_text().replace(token, f"{token}\\n"))
    assert run("batch", "list", environ=bare).returncode == 0


@pytest.mark.parametrize("url", ["localhost:7350", "http://", "http://localhost:x", "ftp://a"])
def test_what_is_no_url_is_said_at_once(run: Run, environ: dict[str, str], url: str) -> None:
    done = run("batch", "list", environ={**environ, "ISOLINE_URL": url})
    assert done.returncode == 2
    assert url in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_key_that_cannot_be_one_is_refused(run: Run, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([1, -1]))
    done = run("batch", "submit", tmp_path / "a.npy", "--key", "schlüssel")
    assert done.returncode == 2
    assert "cannot be an Idempotency-Key" in done.stderr


def test_the_doctor_says_whether_it_is_worth_beginning(
    run: Run, environ: dict[str, str], stack: Stack
) -> None:
    def is_well() -> bool:
        return run("doctor").returncode == 0

    wait_until(is_well, 30, "for everybody")
    done = run("doctor", environ={**environ, "ISOLINE_TOKEN": "wrong"})
    assert done.returncode == 1
    assert "!!  your token" in done.stdout
    assert "came from ISOLINE_TOKEN" in done.stdout


def test_the_doctor_names_a_broker_that_is_away_first_and_nobody_who_is_heard_through_it() -> None:
    away = Readiness(
        status="degraded", database="ok", broker="unavailable", workers_online=0, relay="unknown"
    )
    assert [(what, bool(advice)) for what, (_, advice) in judge(away).items()] == [
        ("broker", True),
        ("database", False),
    ]
    there = Readiness(
        status="degraded", database="ok", broker="ok", workers_online=0, relay="silent"
    )
    unwell = [what for what, (_, advice) in judge(there).items() if advice]
    assert unwell == ["workers", "bulk workers", "relay"]
    late = Readiness(
        status="degraded",
        database="ok",
        broker="ok",
        workers_online=1,
        bulk_workers_online=1,
        relay="ok",
        oldest_due_s=61.0,
    )
    assert [(what, says) for what, (says, advice) in judge(late).items() if advice] == [
        ("waiting", "61 s")
    ]


def test_a_wrong_command_line_is_two(run: Run, tmp_path: Path) -> None:
    for arguments in (
        ["nonsense"],
        ["batch", "submit"],
        ["batch", "submit", tmp_path / "nothing"],
        ["upload", tmp_path / "nothing.csv"],
        ["upload", "--fs", "0", __file__],
        ["upload", "--fs", "nan", __file__],
        ["upload", "--fs", "inf", __file__],
    ):
        assert run(*arguments).returncode == 2
    assert run("batch", "submit", tmp_path).returncode == 1
    assert run("--help").returncode == 0
    assert "_isoline_completion" in run("completion", "bash").stdout


def test_bash_completes_with_the_script(environ: dict[str, str], tmp_path: Path) -> None:
    command = tmp_path / "isoline"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m isoline "$@"\n')
    command.chmod(0o755)
    program = """
        eval "$(isoline completion bash)"
        COMP_WORDS=(isoline batch s) COMP_CWORD=2
        _isoline_completion isoline s batch
        echo "${COMPREPLY[@]}"
    """
    done = subprocess.run(
        ["bash", "--norc", "-c", program],
        env={**environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.stdout, done.stderr) == ("submit\n", "")


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_what_other_shells_ask_is_answered(run: Run, environ: dict[str, str], shell: str) -> None:
    assert f"_ISOLINE_COMPLETE={shell}_complete" in run("completion", shell).stdout
    asks = {"_ISOLINE_COMPLETE": f"{shell}_complete", "COMP_WORDS": "isoline batch s"}
    last = {"COMP_CWORD": "2" if shell == "zsh" else "s"}
    answered = run(environ={**environ, **asks, **last})
    assert "submit" in answered.stdout
    assert "watch" not in answered.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        *(["login"], ["upload"], ["insights"], ["doctor"], ["completion"]),
        *(["users", what] for what in ("list", "add", "rotate", "erase")),
        *(["batch", what] for what in ("submit", "watch", "results", "errors", "cancel", "list")),
    ],
    ids=" ".join,
)
def test_every_command_helps_with_an_example(arguments: list[str]) -> None:
    shown = CliRunner().invoke(cli, [*arguments, "--help"])
    assert re.search("Example: .*isoline", shown.stdout)


def test_whoever_has_seen_enough_may_go(environ: dict[str, str], run: Run, archive: Path) -> None:
    batch_id = json.loads(run("batch", "submit", archive, "--watch", "--json").stdout)["id"]
    command = f"{sys.executable} -m isoline batch results {batch_id} --json | head -1"
    done = subprocess.run(
        command, shell=True, env=environ, capture_output=True, text=True, timeout=30
    )
    assert json.loads(done.stdout)["line"] == 2
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no disk that is always full")
def test_a_full_disk_is_one_sentence(environ: dict[str, str], run: Run, archive: Path) -> None:
    batch_id = json.loads(run("batch", "submit", archive, "--watch", "--json").stdout)["id"]
    for arguments in (
        *(["batch", "results", batch_id, form] for form in ("--csv", "--json", "--table")),
        *(["batch", "list"], ["doctor"], ["completion", "bash"]),
    ):
        with Path("/dev/full").open("w") as full:
            done = subprocess.run(
                [sys.executable, "-m", "isoline", *arguments],
                env=environ,
                stdout=full,
                stderr=subprocess.PIPE,
                text=True,
            )
        *_, last = done.stderr.splitlines()
        assert last == "The output cannot be written: No space left on device."
        assert "Traceback" not in done.stderr
        assert done.returncode == 1


def test_the_command_needs_nothing_of_the_server_and_no_format_it_does_not_read(
    environ: dict[str, str],
) -> None:
    program = (
        "import sys, isoline.command; "
        "print(*({'flask', 'celery', 'sqlalchemy', 'numpy', 'pandas', 'wfdb'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], env=environ, capture_output=True)
    assert (done.stdout, done.returncode) == (b"\n", 0)
