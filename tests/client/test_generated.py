"""A client that a generator makes of /openapi.json completes the walk, to the results of a batch.

OpenAPI 3.1 has no word for a body of many values. So the generated methods send and give such a
body as bytes: they take the lines of a batch from any file, as a stream, but hold the whole answer
with the results, and know neither where a line ends nor that each of NDJSON is one of two models.
Those models are there, since the contract names them: to cut the body into lines is left to whoever
uses it, and so is to ask again for what comes `after` the last line of an answer that is cut.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from isoline import Client
from tests.parts import ADMIN_TOKEN
from tests.stack import Stack

WALK = '''
import csv, io, json, sys
from uuid import UUID
from made import Client, AuthenticatedClient
from made.api.batches import batches_export_errors, batches_export_insights
from made.api.batches import batches_find_one, batches_submit
from made.api.ecgs import ecgs_erase, ecgs_find_all, ecgs_find_insights, ecgs_submit
from made.api.users import users_register
from made.models import BatchesExportInsightsFormat as Format
from made.models import ErrorLine, Failed, Finished, FinishedLine, Lead, Registration, Upload
from made.types import File

url, admin_token = sys.argv[1:]
admin = Client(base_url=url, headers={"x-admin-token": admin_token})
registered = users_register.sync(client=admin, body=Registration(username="generated"))
user = Client(base_url=url, headers={"x-user-token": registered.token})
leads = [Lead(name="I", signal=[1, 0, -1, 0, 1, 0, 0, 1])]
accepted = ecgs_submit.sync(client=user, body=Upload(leads=leads, sampling_rate=500.0))
insights = None
while not isinstance(insights, Finished):
    insights = ecgs_find_insights.sync(UUID(accepted.id), client=user, prefer="wait=5")
    assert not isinstance(insights, Failed)
print(insights.leads[0].number_of_zero_crossings)
print([ecg.id for ecg in ecgs_find_all.sync(client=user).data] == [accepted.id])
ecgs_erase.sync_detailed(UUID(accepted.id), client=user)
print(ecgs_find_all.sync(client=user).data)
lines = b"""{"custom_id": "a", "leads": [{"name": "I", "signal": [1, -1]}]}
{"custom_id": "b", "leads": [{"name": "I", "signal": [1, "2"]}]}
{"custom_id": "c", "leads": [{"name": "I", "signal": [1, -1, 1]}]}"""
received = batches_submit.sync(client=user, body=File(payload=io.BytesIO(lines)))
batch_id = UUID(received.id)
batch = None
while batch is None or batch.finished_at is None:
    batch = batches_find_one.sync(batch_id, client=user, prefer="wait=10")
print(batch.status, batch.counts.finished, batch.counts.rejected)

def insights_after(line):
    got = batches_export_insights.sync(batch_id, client=user, after=line)
    return [FinishedLine.from_dict(json.loads(text)) for text in got.payload]

for found in insights_after(0):
    print(found.line, found.custom_id, found.leads[0].number_of_zero_crossings)
print([found.custom_id for found in insights_after(1)])
table = batches_export_insights.sync(batch_id, client=user, format_=Format.CSV)
for row in csv.DictReader(io.TextIOWrapper(table.payload, newline="")):
    print(row["line"], row["custom_id"], row["zero_crossings_count"])
for text in batches_export_errors.sync(batch_id, client=user).payload:
    error = ErrorLine.from_dict(json.loads(text))
    print(error.line, error.verdict, error.problem.errors[0].pointer)
'''


def test_a_generated_client_completes_the_walk(stack: Stack, tmp_path: Path) -> None:
    contract = tmp_path / "openapi.json"
    with Client(stack.url) as client:
        contract.write_bytes(client._transport.exchange("GET", "/openapi.json").content)
    settings = tmp_path / "settings.yaml"
    settings.write_text(
        "post_hooks: []\ncontent_type_overrides: {application/x-ndjson: application/octet-stream}\n"
    )
    command = "from openapi_python_client.cli import app; app()"
    arguments = ["generate", "--path", contract, "--output-path", tmp_path / "made"]
    arguments += ["--meta", "none", "--config", settings, "--fail-on-warning"]
    made = subprocess.run(
        [sys.executable, "-c", command, *map(str, arguments)], capture_output=True, text=True
    )
    assert made.returncode == 0, made.stdout + made.stderr
    walked = subprocess.run(
        [sys.executable, "-c", WALK, stack.url, ADMIN_TOKEN],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert walked.stdout.splitlines() == [
        *("2", "True", "[]"),
        "finished 2 1",
        *("1 a 1", "3 c 2"),
        "['c']",
        *("1 a 1", "3 c 2"),
        "2 rejected /leads/0/signal/1",
    ], walked.stderr
