"""The server as an operator runs it: a process, called by the plugin, by strangers, and by who listened."""

import http.client
import logging
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from soma_core.api import EncoderContext
from soma_core.api.encoding import digest, encode, signing_digest
from soma_core.crypto import ZERO_DIGEST, SecretKey
from soma_core.testing import EncoderSuite
from soma_core.testing.encoder import SECRET
from soma_webhook import Config, open_encoder

SERVER = Path(__file__).resolve().parents[1] / "server.py"
DIM = 32


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """Of a plugin that calls a server which runs while these tests do."""
    folder = tmp_path_factory.mktemp("server")
    who = ["--node", SECRET.public.hex(), "--chain", ZERO_DIGEST.hex(), "--key", str(folder / "key"), "--port", "0"]
    process = subprocess.Popen([sys.executable, SERVER, *who], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    with process:
        assert process.stdout is not None
        said = tomllib.loads(b"".join(process.stdout.readline() for _ in range(2)).decode())
        assert (folder / "key").stat().st_mode & 0o777 == 0o600
        yield {**said, "dim": DIM, "allow": ["127.0.0.0/8"]}
        process.terminate()


class TestServer(EncoderSuite):
    plugin = "encoder-webhook"
    bad = (b"",)

    @pytest.fixture(autouse=True)
    def _settings(self, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(type(self), "config", settings)


def text(value: object) -> str:
    """A value as it stands in a header."""
    if isinstance(value, list):
        return ",".join(map(str, value))
    return value.hex() if isinstance(value, bytes) else str(value)


def sent(settings: dict[str, Any], secret: SecretKey = SECRET, **other: Any) -> tuple[int, dict[str, str], bytes]:
    """What the server answers to a request for one item, with `other` fields after it was signed."""
    body = b"two cats"
    fields: dict[str, Any] = {
        "path": "/embed",
        "server": bytes.fromhex(settings["server"]),
        "time": time.time_ns() // 1_000_000,
        "nonce": digest("soma/payload", str(time.perf_counter_ns()).encode())[:16],
        "job": b"",
        "dim": DIM,
        "sizes": [len(body)],
        "payload": digest("soma/payload", body),
        **other.pop("before", {}),
    }
    canonical = encode([1, "POST", *fields.values()])
    signature = secret.sign(signing_digest("soma/webhook", ZERO_DIGEST, 0, canonical))
    fields |= {"signature": signature, "version": 1, **other}
    texts = {name: text(value) for name, value in fields.items() if value is not None}
    path = texts.pop("path")
    link = http.client.HTTPConnection(settings["url"].split("/")[2], timeout=10)
    link.request("POST", path, body, {f"Soma-{name}": value for name, value in texts.items()})
    reply = link.getresponse()
    answer = reply.status, dict(reply.headers), reply.read()
    link.close()
    return answer


def test_a_request_is_answered_once(settings: dict[str, Any]) -> None:
    nonce = bytes(16)
    status, headers, body = sent(settings, before={"nonce": nonce})
    assert (status, len(body)) == (200, 4 * DIM)
    assert len(headers["Soma-Signature"]) == 128
    status, headers, body = sent(settings, before={"nonce": nonce})
    assert (status, body) == (400, b"refused: too old, too new, or here before")
    assert "Soma-Signature" not in headers


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"secret": SecretKey.generate()}, "not signed"),
        ({"path": "/other"}, "not signed"),
        ({"job": bytes(32)}, "not signed"),
        ({"dim": DIM + 1}, "not signed"),
        ({"sizes": [4, 4]}, "not signed"),
        ({"version": 2}, "not signed"),
        ({"before": {"server": bytes(32)}}, "not signed"),
        ({"before": {"time": time.time_ns() // 1_000_000 - 600_000}}, "too old"),
        ({"before": {"time": time.time_ns() // 1_000_000 + 600_000}}, "too old, too new"),
        ({"before": {"payload": bytes(32)}}, "another body"),
        ({"before": {"dim": 1025}}, "bounds"),
        ({"before": {"sizes": [1 << 40]}}, "bounds"),
        ({"time": 1 << 70}, "refused"),
        ({"time": None}, "soma-time"),
        ({"signature": b""}, "not signed"),
        ({"nonce": "zz"}, "refused"),
    ],
    ids=str,
)
def test_what_is_no_request_of_the_node_is_refused(
    settings: dict[str, Any], change: dict[str, Any], reason: str
) -> None:
    status, headers, body = sent(settings, **change)
    assert status == 400
    assert reason in body.decode()
    assert "Soma-Signature" not in headers


def test_it_embeds_what_a_node_sends(settings: dict[str, Any], tmp_path: Path) -> None:
    def sign(body: bytes) -> bytes:
        return SECRET.sign(signing_digest("soma/webhook", ZERO_DIGEST, 0, body))

    config = Config(**{**settings, "allow": tuple(settings["allow"])})
    log = logging.getLogger("test")
    context = EncoderContext("encoder-webhook", tmp_path, log, sign, SECRET.public, ZERO_DIGEST, lambda: b"j" * 32)
    one, other, again = open_encoder(config, context).encode([b"two cats", b"three dogs", b"two cats"])
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)


def test_it_is_under_a_hundred_lines() -> None:
    assert len(SERVER.read_text("utf-8").splitlines()) < 100
