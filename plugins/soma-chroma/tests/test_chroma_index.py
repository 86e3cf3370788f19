"""What is Chroma's own: it fetches nothing, tells nobody, and its files are Chroma's."""

import logging
import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import chromadb
import pytest
from chromadb.config import Settings

from soma_chroma import ChromaConfig, open_index
from soma_core.api import Context, Index
from soma_core.testing.index_machine import clustered, floats, names

WATCHED = """
import logging, sys
from pathlib import Path
import numpy as np

def watch(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto"):
        print(event, arguments)

sys.addaudithook(watch)
from soma_core.api import Context
from soma_chroma import ChromaConfig, open_index
index = open_index(ChromaConfig(), Context("index-chroma", Path(sys.argv[1]), logging.getLogger("t")))
index.add([b"x"], np.ones((1, 4), np.float32), [{"n": 1}])
index.search(np.ones((1, 4), np.float32), 1)
index.stats()
index.close()
"""


def opened(directory: Path, config: ChromaConfig | None = None) -> Index:
    return open_index(config or ChromaConfig(), Context("index-chroma", directory, logging.getLogger("t")))


def test_nothing_is_fetched_and_nobody_is_told(tmp_path: Path) -> None:
    home, directory = tmp_path / "home", tmp_path / "index"
    home.mkdir()
    directory.mkdir()
    told = {**os.environ, "HOME": str(home), "XDG_CACHE_HOME": str(home / "cache")}
    done = subprocess.run(
        [sys.executable, "-c", WATCHED, str(directory)],
        env=told,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert done.stdout == ""
    assert list(home.rglob("*")) == [], "no model, no id of this user"


def test_second_opening_is_refused(tmp_path: Path) -> None:
    with closing(opened(tmp_path)) as index:
        index.add([b"x"], floats([[1, 0]]))
        with pytest.raises(OSError, match="already open"):
            opened(tmp_path)
        assert len(index) == 1


@pytest.mark.filterwarnings("ignore:legacy embedding function config")  # that there is none
def test_files_are_chromas(tmp_path: Path) -> None:
    with closing(opened(tmp_path, ChromaConfig(neighbours=8))) as index:
        index.add([b"x"], floats([[0, 2]]), [{"n": 1}])
    client = chromadb.PersistentClient(str(tmp_path / "chroma"), Settings(anonymized_telemetry=False))
    try:
        found = client.get_collection("vectors", embedding_function=None)
        told = found.get(include=["embeddings", "metadatas"])
        assert found.configuration["hnsw"]["max_neighbors"] == 8
    finally:
        client.close()
    assert (told["ids"], told["metadatas"]) == (["78"], [{"n": 1}])
    assert told["embeddings"].tolist() == [[0, 1]]


def test_more_than_chroma_takes_at_once(tmp_path: Path) -> None:
    with closing(opened(tmp_path)) as index:
        index._together = 64
        index.add(names(200), clustered(200, 8, 1))
        index.add(names(200)[50:150], clustered(100, 8, 2), [{"n": 1}] * 100)
        assert len(index) == 200
        assert len(index.search(clustered(1, 8, 1), 200, {"n": 1})[0]) == 100
        assert index.remove(names(200)[100:]) == 100
        assert len(index) == 100
