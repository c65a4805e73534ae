"""The Python client of Isoline: upload electrocardiograms, get measurements.

>>> from isoline import Client, Ecg, Lead
>>> with Client("http://localhost:8000", token) as isoline:
...     answer = isoline.upload(Ecg([Lead("I", [1, 0, -1])], sampling_rate=500), wait_s=5)
...     print(answer.insights.leads[0].number_of_zero_crossings)
1
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from isoline.answers import Batch, EcgSummary, ErrorLine, Insights, LeadInsights
    from isoline.client import Client
    from isoline.ecg import Ecg, Lead
    from isoline.errors import (
        BadRequest,
        Conflict,
        Fault,
        Interrupted,
        IsolineError,
        NotFinished,
        NotFound,
        NotIsoline,
        ProblemError,
        ServerFault,
        TakenOver,
        Unauthenticated,
        Unavailable,
        Unreachable,
        UnreadableFile,
        Unusable,
        UnusableEcg,
    )
    from isoline.results import header_digest

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
    "NotFinished",
    "NotFound",
    "NotIsoline",
    "ProblemError",
    "ServerFault",
    "TakenOver",
    "Unauthenticated",
    "Unavailable",
    "Unreachable",
    "UnreadableFile",
    "Unusable",
    "UnusableEcg",
    "header_digest",
]

_MODULES = ("answers", "client", "ecg", "errors", "results")


def __getattr__(name: str) -> Any:
    """What is asked for, from its module: the command begins before any of them is there."""
    if name in __all__:
        for module in _MODULES:
            found = vars(import_module(f"isoline.{module}"))
            if name in found:
                return found[name]
    raise AttributeError(f"module 'isoline' has no attribute {name!r}")
