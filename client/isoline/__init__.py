"""The Python client of Isoline: upload electrocardiograms, get measurements.

>>> from isoline import Client, Ecg, Lead
>>> with Client("http://localhost:8000", token) as isoline:
...     answer = isoline.upload(Ecg([Lead("I", [1, 0, -1])], sampling_rate=500), wait_s=5)
...     print(answer.insights.leads[0].number_of_zero_crossings)
1
"""

from isoline.answers import Batch, EcgSummary, ErrorLine, Insights, LeadInsights
from isoline.client import Client
from isoline.ecg import Ecg, Lead
from isoline.errors import (
    BadRequest,
    Conflict,
    Fault,
    Interrupted,
    IsolineError,
    NotFound,
    ProblemError,
    ServerFault,
    TakenOver,
    Unauthenticated,
    Unavailable,
    Unreachable,
    UnreadableFile,
    Unusable,
)

__all__ = [
    "BadRequest",
    "Batch",
    "Client",
    "Conflict",
    "Ecg",
    "EcgSummary",
    "ErrorLine",
    "Fault",
    "Insights",
    "Interrupted",
    "IsolineError",
    "Lead",
    "LeadInsights",
    "NotFound",
    "ProblemError",
    "ServerFault",
    "TakenOver",
    "Unauthenticated",
    "Unavailable",
    "Unreachable",
    "UnreadableFile",
    "Unusable",
]
