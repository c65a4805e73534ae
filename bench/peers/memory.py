"""A peer: FastAPI and pydantic, everything in this process's memory, computed when it is asked for.

What most people write first. It loses everything when it ends, serves one process, and looks for
an ECG from the beginning of a list.
"""

from __future__ import annotations

import os
import uuid
from typing import Any

from fastapi import FastAPI, HTTPException
from pydantic import BaseModel

from bench.peers.crossings import count_crossings

app = FastAPI()


class Lead(BaseModel):
    """One lead as it is uploaded."""

    name: str
    signal: list[float]


class Upload(BaseModel):
    """One recording as it is uploaded."""

    leads: list[Lead]


ecgs: list[dict[str, Any]] = []


@app.post("/ecgs", status_code=201)
async def submit(upload: Upload) -> dict[str, str]:
    """Keep it."""
    ecg_id = str(uuid.uuid4())
    ecgs.append({"id": ecg_id, "upload": upload})
    return {"id": ecg_id}


@app.get("/ecgs/{ecg_id}/insights")
async def find_insights(ecg_id: str) -> dict[str, Any]:
    """Find it, and compute."""
    for ecg in ecgs:
        if ecg["id"] == ecg_id:
            return {
                "ecg_id": ecg_id,
                "status": "finished",
                "leads": [
                    {"name": lead.name, "number_of_zero_crossings": count_crossings(lead.signal)}
                    for lead in ecg["upload"].leads
                ],
            }
    raise HTTPException(404)


@app.post("/stored")
async def store(number: int, upload: Upload) -> None:
    """Have so many ECGs there, all of the same samples: for the benchmark alone."""
    ecgs[:] = [{"id": str(uuid.UUID(int=n)), "upload": upload} for n in range(number)]


if __name__ == "__main__":
    import uvicorn

    # It takes uvloop and httptools, which `make bench` installs, instead of its own in Python.
    uvicorn.run(app, port=int(os.environ["PEER_PORT"]), log_level="warning")
