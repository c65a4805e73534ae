"""What the API says to a person who looks at it, and to a machine."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from tests.parts import ADMIN_TOKEN, HOUSE

# An answer that is well, and one for which the database is missing.
ASK_TWICE = """
from api.wsgi import application
client = application.test_client()
assert client.get("/openapi.json").status_code == 200
assert client.get("/ecgs", headers={"x-user-token": "somebody"}).status_code == 503
"""


@pytest.mark.parametrize("is_terminal", [True, False])
def test_a_line_for_each_answer_is_for_machines_and_what_is_wrong_for_everybody(
    tmp_path: Path, is_terminal: bool
) -> None:
    screen, theirs = pty.openpty() if is_terminal else os.pipe()
    environ = {
        **os.environ,
        "ISOLINE_ADMIN_TOKEN": ADMIN_TOKEN,
        "ISOLINE_REDIS_URL": "redis://127.0.0.1:1/0",
        "ISOLINE_DATA_DIR": str(tmp_path),
    }
    command = [sys.executable, "-c", ASK_TWICE]
    subprocess.run(command, env=environ, cwd=HOUSE, stderr=theirs, check=True, timeout=60)
    said = os.read(screen, 65536).decode()
    assert ("answered" in said) is not is_terminal
    assert "refused" in said
    for end in (screen, theirs):
        os.close(end)
