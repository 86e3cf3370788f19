from collections.abc import Iterator
from pathlib import Path

import pytest
from running_node import RunningNode


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    running = RunningNode(tmp_path_factory.mktemp("e2e") / "node")
    running.start()
    yield running
    assert running.stop() == 0, running.log.read_text()


@pytest.fixture
def text_file(tmp_path: Path) -> Path:
    path = tmp_path / "note.txt"
    path.write_text(f"Two cats sat by the door and looked at each other. {tmp_path.name}\n" * 3)
    return path
