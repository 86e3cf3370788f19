"""A cell of the matrix: a network of one, from four named plugins, embeds a file and its supply is exact.

Run by ``nox -s matrix``, which names the cells in ``SOMA_MATRIX``: consensus/encoder/transport/ledger.
"""

import json
import os
from pathlib import Path

import pytest
from running_node import RunningNode

CELLS = [cell.split("/") for cell in os.environ.get("SOMA_MATRIX", "").split()]


@pytest.mark.parametrize("cell", CELLS, ids="-".join)
def test_a_network_of_one_embeds(cell: list[str], tmp_path: Path) -> None:
    consensus, encoder, transport, ledger = cell
    node = RunningNode(
        tmp_path / "node",
        plugins=(f"consensus-{consensus}", f"encoder-{encoder}", f"transport-{transport}", f"ledger-{ledger}"),
    )
    source = tmp_path / "note.txt"
    source.write_text("The same network, made of other parts.\n" * 4)
    node.start()
    try:
        (entry,) = json.loads(node.soma("embed", source, "--json"))["inputs"]
        assert (entry["outcome"], entry["winner"]) == ("settled", encoder)
        assert json.loads(node.soma("verify", entry["receipt"], "--json"))["vector_digest"] == entry["vector_digest"]
        status = json.loads(node.soma("status", "--json"))
        assert status["supply"]["drift"] == 0
        assert status["commit"] > 0
    finally:
        assert node.stop() == 0, node.log.read_text()


def test_there_are_cells() -> None:
    assert CELLS, "run this through nox -s matrix"
