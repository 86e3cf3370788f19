"""Opening an encoder in its worker: every fault is one line; needs must be granted; an identity signs by the node."""

import pytest
from worker_world import encode_one, opened

from soma_core.errors import EncoderError, KeyStoreError, PluginError
from soma_core.node.encoding import Limits


@pytest.mark.parametrize(
    ("at_open", "text"),
    [
        (
            "raise",
            (
                r"^encoder-fake \(soma-encoder-fake 0\.3\): open raised OSError: weights\.safetensors not found "
                r"\(soma_fake\.py:\d+\); `soma plugins check encoder-fake` shows the traceback$"
            ),
        ),
        ("exit", "open raised SystemExit: 7"),
        ("die", r"encoder-fake \(soma-encoder-fake 0\.3\): the worker ended with status 3; see the log above"),
        ("noinfo", r"encoder-fake \(soma-encoder-fake 0\.3\): open returned a object without info"),
        ("badinfo", r"encoder-fake \(soma-encoder-fake 0\.3\): info: dim 0 is outside 1\.\.8192; report it to"),
    ],
)
async def test_what_goes_wrong_in_open_is_one_plugin_error(fake, tmp_path, at_open, text):
    with pytest.raises(PluginError, match=text) as caught:
        async with opened(fake, tmp_path, at_open=at_open):
            pass
    assert "\n" not in str(caught.value)


async def test_an_open_that_hangs_is_ended(fake, tmp_path):
    text = r"not open after 0\.4 s; raise \[node\] open_timeout, or run `soma plugins check encoder-fake`"
    with pytest.raises(PluginError, match=text):
        async with opened(fake, tmp_path, limits=Limits(open_seconds=0.4), at_open="hang"):
            pass


async def test_faults_of_the_module_are_the_plugin_systems_lines(fake, tmp_path):
    with pytest.raises(PluginError, match="import of soma_absent failed: ModuleNotFoundError"):
        async with opened(fake._replace(module="soma_absent"), tmp_path):
            pass
    with pytest.raises(PluginError, match="did you mean dim"):
        async with opened(fake, tmp_path, dimm=3):
            pass


async def test_what_a_plugin_needs_must_have_been_granted(fake, tmp_path, monkeypatch):
    monkeypatch.setenv("XLA_TEST_NEEDS", "network identity")
    with pytest.raises(PluginError, match="needs identity, which it was not granted"):
        async with opened(fake, tmp_path, needs=("network",)):
            pass


# --- signing ----------------------------------------------------------------------------------------------------------


async def test_an_encoder_with_an_identity_signs_through_the_node(fake, tmp_path):
    asked = []

    async def sign(body):
        asked.append(body)
        return bytes(64)

    async with opened(fake, tmp_path, needs=("identity",), sign=sign) as worker:
        assert (await encode_one(worker, b"signs")).tolist() == [64] * 4
        with pytest.raises(EncoderError, match="40000 bytes to sign"):
            await worker.encode([b"signs_much"])
    assert asked == [b"a request"]


async def test_an_encoder_with_an_identity_knows_as_whom_it_calls_and_for_which_job(fake, tmp_path):
    asked = []

    async def sign(body):
        asked.append(body)
        return bytes(64)

    async with opened(fake, tmp_path, needs=("identity",), sign=sign) as worker:
        await worker.encode([b"tells"], job=b"1" * 32)
        await worker.encode([b"tells"])
        await worker.evaluate([b"tells"], b"seed", job=b"2" * 32)
    who = b"k" * 32 + b"c" * 32
    assert asked == [who + b"1" * 32, who, who + b"2" * 32]


async def test_without_a_signer_the_encoder_is_told(fake, tmp_path):
    async with opened(fake, tmp_path, needs=("identity",)) as worker:
        with pytest.raises(EncoderError, match="the node did not sign; see its log"):
            await worker.encode([b"signs"])
    async with opened(fake, tmp_path) as worker:
        with pytest.raises(EncoderError, match="'NoneType' object is not callable"):
            await worker.encode([b"signs"])


async def test_a_signer_that_refuses_is_no_end(fake, tmp_path, caplog):
    async def refuse(body):
        raise KeyStoreError("the key for encoder is not open", "make one")

    async with opened(fake, tmp_path, needs=("identity",), sign=refuse) as worker:
        with pytest.raises(EncoderError, match="the node did not sign"):
            await worker.encode([b"signs"])
        assert (await encode_one(worker, b"a")).tolist() == [97] * 4
    assert any("not signed: the key for encoder is not open" in r.getMessage() for r in caplog.records)
