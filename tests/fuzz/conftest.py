"""What only fuzzing needs is imported by name from this folder."""

import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """A refused input may be logged; thousands of them need not be."""
    logging.disable()
    yield
    logging.disable(logging.NOTSET)
