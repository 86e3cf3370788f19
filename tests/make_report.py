"""``nox -s report``: what `soma encoder report` says of the bundled encoders, in ``specs/results/report.json``."""

import json
import subprocess
import sys
from typing import Any, Final

import results

SIZES: Final = {"items": 60, "functions": 1000, "digits": 1797, "pairs": 64, "bytes": 4096}
SEED: Final = 0
"""Of the directions along which a collapse is looked for: the command's own."""


def rounded(value: Any) -> Any:
    """Figures to four places, and without the spectra, which are long."""
    if isinstance(value, dict):
        return {name: rounded(each) for name, each in value.items() if name != "spectrum"}
    if isinstance(value, list):
        return [rounded(each) for each in value]
    return round(value, 4) if isinstance(value, float) else value


def main() -> None:
    """Run the command and keep what it prints."""
    options = [word for name, most in SIZES.items() for word in (f"--{name}", str(most))]
    command = [sys.executable, "-m", "soma_core.cli", "encoder", "report", "--json", *options]
    told = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    results.write("report", "the bundled encoders under `soma encoder report`", SEED, **rounded(told))


if __name__ == "__main__":
    main()
