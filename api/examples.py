"""What the texts of an answer look like, for whoever reads the contract."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

# By the name of the field; the first that fits.
EXAMPLES: dict[str, Sequence[str]] = {
    "id": ["01a208f9-aad6-728b-860f-e3721aa89d31"],
    "ecg_id": ["01a208f9-aad6-728b-860f-e3721aa89d31"],
    "request_id": ["01a208f9-aac1-7c02-9e55-3b1f0c6d2a77"],
    "status": ["pending", "running", "ok"],
    "username": ["ada"],
    "custom_id": ["ecg00001.csv"],
    "date": ["2026-11-23T08:00:00+01:00"],
    "created_at": ["2026-11-23T07:00:01.250Z"],
    "finished_at": ["2026-11-23T07:00:01.275Z"],
}


def give_examples(properties: dict[str, dict[str, Any]]) -> None:
    """Write into the schemas of some fields what would be in them."""
    for name, schema in properties.items():
        forms = [schema, *schema.get("anyOf", ())]
        is_text = any(form.get("type") == "string" for form in forms)
        choices = schema.get("enum")
        for example in EXAMPLES.get(name, ()):
            if example in choices if choices else is_text:
                schema["examples"] = [example]
                break
