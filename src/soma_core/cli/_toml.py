"""Settings as lines of ``soma.toml``. The standard library reads TOML and does not write it."""

import json
from typing import Any


def toml(value: Any) -> str:
    """A plain value as TOML. What is not set has no TOML: it is shown as ``unset``, in a comment's place."""
    if value is None:
        return "unset"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)  # a JSON string is a TOML basic string, DEL apart
    if isinstance(value, list):
        return f"[{', '.join(toml(item) for item in value)}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{json.dumps(key)} = {toml(item)}' for key, item in value.items())}}}"
    return repr(value)
