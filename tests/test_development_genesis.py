"""Development networks: validators have stake, so that others can join, and encoders have cells of their own."""

import pytest

import soma_encoders
from soma_core import chain
from soma_core.crypto import SecretKey
from soma_core.genesis import Genesis, is_best
from soma_core.model import ARCHITECTURE, Speciality, bundled_anchors, load_weights, read_frame
from soma_core.node.development import (
    STAKE,
    Founder,
    FoundingEncoder,
    Frame,
    bundled_frame,
    foreign_frame,
    found_network,
)
from soma_core.plugins import Plugins


def public() -> bytes:
    return SecretKey.generate().public


def founded(frame: Frame) -> Genesis:
    plugins = Plugins()
    encoders = []
    for name in soma_encoders.names():
        weights = load_weights(name)
        speciality = Speciality.beside(name, weights.digest)
        assert speciality is not None
        encoders.append(
            FoundingEncoder(
                name=name,
                account=public(),
                weights=weights.digest,
                frame=read_frame(weights.frame).digest(),
                architecture=ARCHITECTURE,
                best=speciality.best,
            )
        )
    founders = [Founder(name=f"v{n}", account=public(), node=public(), validator=public()) for n in range(3)]
    consensus, scoring = "consensus-solo", "scoring-soma"
    return found_network(
        "test",
        founders,
        encoders,
        frame,
        (consensus, plugins.spec("consensus", consensus)),
        (scoring, plugins.spec("scoring", scoring)),
    )


@pytest.fixture(scope="module")
def genesis() -> Genesis:
    return founded(bundled_frame())


def test_validators_have_stake(genesis: Genesis) -> None:
    assert [validator.stake for validator in genesis.validators] == [STAKE] * 3


def test_sketches_are_those_of_the_anchors_and_every_encoder_names_its_best(genesis: Genesis) -> None:
    assert genesis.sketches == tuple(chain.sketch_of(item.data) for item in bundled_anchors())
    assert all(is_best(genesis, encoder.best) for encoder in genesis.encoders)
    assert len({encoder.best for encoder in genesis.encoders}) == len(genesis.encoders)


def test_a_frame_of_no_anchors_has_no_cells() -> None:
    genesis = founded(foreign_frame(8))
    assert genesis.sketches == ()
    assert {encoder.best for encoder in genesis.encoders} == {b""}
