"""Settings of a plugin that stand on the command line."""

from typing import Any

from soma_core.errors import UsageError


def settings_of(assignments: tuple[str, ...]) -> dict[str, Any]:
    """Settings of a plugin, as they were given. Raises `UsageError`."""
    from soma_core.config import toml_or_text

    settings = {}
    for assignment in assignments:
        key, mark, value = assignment.partition("=")
        if not mark:
            raise UsageError(f"--set: {assignment!r:.60}: not a setting", "write KEY=VALUE, such as takes=image")
        settings[key.strip()] = toml_or_text(value.strip())
    return settings
