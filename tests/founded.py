"""A network of one, founded in this process: keys and a genesis whose windows a test chooses."""

from pathlib import Path
from typing import Final

from attrs import evolve

from soma_core import keystore
from soma_core.genesis import write
from soma_core.keystore import KeyStore
from soma_core.node.development import Founder, FoundingEncoder, foreign_frame, found_network
from soma_core.plugins import Plugins

DIMENSION: Final = 8
"""Of the vectors of its encoders, which are opaque and share no frame."""
SCRYPT_N: Final = 1 << 14


def found(data_dir: Path, *encoders: str, **parameters: int) -> None:
    """Found a network in `data_dir` whose one validator also runs the plugins called `encoders`."""
    cost, keystore.SCRYPT_N = keystore.SCRYPT_N, SCRYPT_N  # keys that guard nothing
    try:
        made = KeyStore(data_dir).ensure(["account", "node", "validator", *encoders])
    finally:
        keystore.SCRYPT_N = cost
    keys = {entry.role: entry.key for entry in made}
    plugins = Plugins()
    genesis = found_network(
        "test",
        [Founder(name="me", account=keys["account"], node=keys["node"], validator=keys["validator"])],
        [
            FoundingEncoder(
                name=name.partition("-")[2].replace("-", "_"),
                account=keys[name],
                weights=b"",
                frame=b"",
                architecture="opaque",
            )
            for name in encoders
        ],
        foreign_frame(DIMENSION),
        ("consensus-solo", plugins.spec("consensus", "consensus-solo")),
        ("scoring-soma", plugins.spec("scoring", "scoring-soma")),
    )
    write(evolve(genesis, parameters=evolve(genesis.parameters, **parameters)), data_dir / "genesis.cbor")
