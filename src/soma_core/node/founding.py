"""A development network of one: what `soma run` makes when it is given no genesis.

Its encoders are the ones that were named, opened once to learn what they are. The keys are made before any plugin is
imported; their secrets are not kept here.
"""

from collections.abc import Callable
from pathlib import Path

import trio

from soma_core.api import ConsensusSpec, EncoderInfo
from soma_core.config import Options, Prepared, gather, prepare
from soma_core.errors import UsageError
from soma_core.genesis import write
from soma_core.keystore import KeyStore
from soma_core.model import Speciality
from soma_core.plugins import Plugin, Plugins

from . import directory as places
from .components import one_of
from .development import Founder, FoundingEncoder, Frame, bundled_frame, foreign_frame, found_network
from .hosting import dimension_of, frame_of, open_encoder, role_of

SCORING = "scoring-soma"


async def found_development(
    options: Options, data_dir: Path, path: Path, begun: Callable[[], None] = lambda: None
) -> None:
    """Make keys and a genesis of one validator, and of the encoders that were named, as the file `path`.

    `begun` is called when nothing is wrong with what was named, before it is opened, which takes its time. Raises
    `UsageError` if no consensus was named: such a node can only join a network.
    """
    settings = gather(options)
    selection = Plugins().select(settings.plugins, settings.plugins_origin)
    if not selection.of("consensus"):
        raise UsageError(
            f"there is no genesis at {path}, and a node without consensus can only join a network",
            "name a consensus too (--plugin consensus-dag), or give the network's file with --set node.genesis=FILE",
        )
    encoders = selection.of("encoder")
    with places.locked(data_dir):
        roles = ("account", "node", "validator", *(role_of(plugin) for plugin in encoders))
        keys = {entry.role: entry.key for entry in KeyStore(data_dir).ensure(roles)}
        prepared = prepare(options)
        begun()
        infos = {plugin.name: await _info(prepared, plugin, data_dir) for plugin in encoders}
        consensus = one_of(prepared, "consensus")
        spec = prepared.specs[consensus.name]
        assert isinstance(spec, ConsensusSpec)
        genesis = found_network(
            "development",
            [Founder(name="me", account=keys["account"], node=keys["node"], validator=keys["validator"])],
            [
                _founding(
                    plugin, infos[plugin.name], keys[role_of(plugin)], _best(prepared, plugin, infos[plugin.name])
                )
                for plugin in encoders
            ],
            _common_frame(infos),
            (consensus.name, spec),
            (SCORING, prepared.plugins.spec("scoring", SCORING)),
        )
        await trio.to_thread.run_sync(write, genesis, path)


async def _info(prepared: Prepared, plugin: Plugin, data_dir: Path) -> EncoderInfo:
    async with open_encoder(prepared, plugin, data_dir) as worker:
        return worker.info


def _founding(plugin: Plugin, info: EncoderInfo, account: bytes, best: bytes) -> FoundingEncoder:
    frame = frame_of(info)
    audited = frame is not None and info.weights and info.architecture != "opaque"
    return FoundingEncoder(
        name=plugin.name.partition("-")[2].replace("-", "_"),
        account=account,
        weights=info.weights,
        frame=frame.digest() if frame is not None else b"",
        architecture=info.architecture if audited else "opaque",
        best=best if audited else b"",
    )


def _best(prepared: Prepared, plugin: Plugin, info: EncoderInfo) -> bytes:
    """The anchors its weights are best at, where they are beside them."""
    weights = getattr(prepared.resolved.of(plugin.name, prepared.specs[plugin.name].config), "weights", None)
    found = Speciality.beside(weights, info.weights) if isinstance(weights, str) and info.frame else None
    return found.best if found else b""


def _common_frame(infos: dict[str, EncoderInfo]) -> Frame:
    """The bundled frame if every encoder is in it, else one of the encoders' own length."""
    dimensions = {dimension_of(info) for info in infos.values()}
    if len(dimensions) > 1:
        lengths = ", ".join(f"{name} {dimension_of(info)}" for name, info in infos.items())
        raise UsageError(f"these encoders give vectors of different lengths ({lengths})", "name encoders of one length")
    if all(info.frame for info in infos.values()):
        return bundled_frame()
    return foreign_frame(dimensions.pop())
