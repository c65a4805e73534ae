"""How many connections an API takes is what its descriptors allow, and never more than it says."""

from __future__ import annotations

import resource
import subprocess
import sys

import pytest

from api.__main__ import MOST_CONNECTIONS, OTHER_DESCRIPTORS
from tests.parts import HOUSE

PROGRAM = """
import resource, sys
most = int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
from api.__main__ import take_descriptors
print(take_descriptors())
"""
ENOUGH = MOST_CONNECTIONS + OTHER_DESCRIPTORS


@pytest.mark.parametrize(
    ("descriptors", "connections"),
    [
        (256, 128),
        (1024, 512),
        (4096, 4096 - OTHER_DESCRIPTORS),
        (ENOUGH, MOST_CONNECTIONS),
        (ENOUGH + 1000, MOST_CONNECTIONS),
    ],
)
def test_so_many_descriptors_allow_so_many_connections(descriptors: int, connections: int) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < descriptors:
        pytest.skip(f"this process may not have {descriptors} descriptors")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(descriptors)],
        cwd=HOUSE,
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(done.stdout) == connections
