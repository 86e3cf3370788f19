"""What ``soma doctor`` says of the server: whether it can be connected to, and not what it answers."""

import ssl
from collections.abc import Iterator
from typing import Final

from soma_core.api import Finding
from soma_core.errors import SomaError

from . import Config
from ._addresses import networks
from ._exchange import Patience, connect
from ._place import parse

SECONDS: Final = 4.0
"""For looking up, connecting and TLS together."""


def examine(name: str, config: Config) -> Iterator[Finding]:
    """One finding."""
    try:
        place = parse(config.url)
        trust = ssl.create_default_context(cafile=config.ca or None) if place.secure else None
        connect(place, networks(config.allow), trust, Patience(SECONDS)).close()
    except SomaError as error:
        yield Finding("fail", name, error.what, error.remedy)
    except OSError as error:
        yield Finding("fail", name, f"{config.url}: {error.strerror or error}", "see whether the server runs")
    else:
        yield Finding("ok", name, f"{config.url} takes connections")
