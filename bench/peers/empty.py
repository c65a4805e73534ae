"""An empty Flask view under granian, which takes in a body: what a request costs at least."""

from __future__ import annotations

import os

from flask import Flask, request
from granian import Granian
from granian.constants import HTTPModes, Interfaces
from granian.log import LogLevels

app = Flask(__name__)


@app.route("/", methods=["GET", "POST"])
def empty() -> str:
    """Take it in, and say nothing."""
    request.get_data()
    return ""


if __name__ == "__main__":
    Granian(
        "bench.peers.empty:app",
        port=int(os.environ["PEER_PORT"]),
        interface=Interfaces.WSGI,
        http=HTTPModes.http1,
        websockets=False,
        log_level=LogLevels.error,
    ).serve()
