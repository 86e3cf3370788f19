"""Plugins of the kinds that run in the node's process: what goes wrong in their `open` is one line that names them."""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import trio
from attrs import evolve
from fake_distributions import forget, install
from ledger_world import World

from soma_core.api import Budget, Setup
from soma_core.config import Options, Prepared, prepare
from soma_core.errors import PluginError
from soma_core.genesis import Rule
from soma_core.node.components import engine_opener, open_ledger, open_transport, scoring_of
from soma_core.node.threads import open_thread
from soma_core.plugins import Plugins

CAREFUL = ("consensus-solo", "ledger-memory", "transport-memory")
SOURCE = """
    import contextlib, threading
    from soma_core.api import ConsensusSpec, LedgerSpec, NoConfig, NoParams, ScoringSpec, TransportSpec, hookimpl

    @hookimpl
    def soma_consensus():
        return ConsensusSpec(
            api=1, config=NoConfig, params=NoParams, rule_id="soma/solo", rule_version=1, open=lambda *_: opened()
        )

    @hookimpl
    def soma_scoring():
        return ScoringSpec(api=1, params=NoParams, rule_id="bad", rule_version=1, open=lambda *_: opened())

    @hookimpl
    def soma_ledger():
        return LedgerSpec(api=1, config=NoConfig, open=lambda *_: opened())

    @hookimpl
    def soma_transport():
        return TransportSpec(api=1, config=NoConfig, open=transport)

    @contextlib.asynccontextmanager
    async def transport(*_):
        import trio
        if HANGS:
            await trio.sleep_forever()
        yield opened()

    HANGS = False
    LET_GO = threading.Event()
    def opened():
"""
KINDS = ("consensus", "scoring", "ledger", "transport")
RAISES = "raise OSError('no such luck')"
FAULTS = {
    RAISES: r"open raised OSError: no such luck \(soma_bad\.py:\d+\); `soma plugins check {name}` shows the traceback",
    "raise SystemExit(7)": r"open raised SystemExit: 7 \(soma_bad\.py:\d+\); `soma plugins check {name}` shows the",
    "return None": r"open returned NoneType without \w+(, \w+)+; return what soma_core\.api\.\w+ describes",
}


class Careless:
    """The node's parts, one of which is the bad plugin."""

    def __init__(self, root: Path, body: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = root
        install(
            root, "soma-bad", {f"{kind}-bad": "soma_bad" for kind in KINDS}, {"soma_bad": SOURCE + f"        {body}"}
        )
        monkeypatch.syspath_prepend(str(root))
        monkeypatch.setenv("SOMA_DATA_DIR", str(root / "data"))
        monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def prepared(self, kind: str, *assignments: str) -> Prepared:
        names = [name for name in CAREFUL if not name.startswith(kind)]
        bad = () if kind == "scoring" else (f"{kind}-bad",)
        return prepare(Options(plugin=(*names, *bad), assignments=assignments))

    async def open(self, kind: str, *assignments: str) -> None:
        prepared, genesis = self.prepared(kind, *assignments), World().genesis
        if kind == "scoring":
            scoring_of(Plugins(), Rule(plugin="scoring-bad", rule_id="bad", rule_version=1, params={}))
        elif kind == "consensus":
            opener = engine_opener(prepared, evolve(genesis.consensus, rule_id="soma/solo", rule_version=1, params={}))
            opener(Setup(bytes(32), 0, (), None, 1))
        elif kind == "ledger":
            async with open_thread("test") as thread:
                await open_ledger(prepared, self.root / "data", "chain", thread)
        else:
            identity: Any = SimpleNamespace(peer=bytes(32))
            async with open_transport(prepared, self.root / "data", identity, Budget(members=frozenset())):
                pass


@pytest.fixture
def careless(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    yield lambda body: Careless(tmp_path, body, monkeypatch)
    forget(tmp_path)


@pytest.mark.parametrize("body", FAULTS)
@pytest.mark.parametrize("kind", KINDS)
async def test_a_fault_in_open_names_the_plugin(careless: Any, kind: str, body: str) -> None:
    world = careless(body)
    said = FAULTS[body].format(name=f"{kind}-bad")
    with pytest.raises(PluginError, match=rf"^{kind}-bad \(soma-bad 0\.3\): {said}") as caught:
        await world.open(kind)
    assert "\n" not in str(caught.value)


async def test_a_ledger_that_hangs_in_open_is_left_to_its_thread(careless: Any) -> None:
    world = careless("LET_GO.wait()")
    said = r"^ledger-bad \(soma-bad 0\.3\): not open after 1 s; raise \[node\] open_timeout, or run `soma plugins"
    try:
        with trio.fail_after(10), pytest.raises(PluginError, match=said):
            await world.open("ledger", "node.open_timeout=1")
    finally:
        sys.modules["soma_bad"].LET_GO.set()


async def test_a_transport_that_hangs_in_open_is_ended(careless: Any, autojump_clock: object) -> None:
    world = careless(RAISES)
    path = world.root / "soma_bad.py"
    path.write_text(path.read_text().replace("HANGS = False", "HANGS = True"))
    with pytest.raises(PluginError, match=r"^transport-bad \(soma-bad 0\.3\): not open after 30 s; raise \[node\]"):
        await world.open("transport")
