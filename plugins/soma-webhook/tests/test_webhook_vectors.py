"""``specs/vectors/webhook.json``: what the chapter's own words make, and what the plugin makes of it."""

import json
import logging
import re
from pathlib import Path

import make_webhook_vectors
import numpy as np
import pytest

from soma_core.api import EncoderContext
from soma_core.api.encoding import verify
from soma_core.errors import EncoderError, SettingsError
from soma_webhook import Config, _addresses, _canonical, _encoder, _exchange, _place

SPECS = Path(__file__).resolve().parents[3] / "specs"
VECTORS = json.loads((SPECS / "vectors" / "webhook.json").read_text("utf-8"))
CHAIN, KEY, SERVER = (bytes.fromhex(VECTORS[name]) for name in ("chain", "key", "server"))
OTHERS = {"KEY_SIZE", "SIGNATURE_SIZE"}  # of chapter 02
REQUESTS = {case["name"]: case for case in VECTORS["requests"]}


def named(cases):
    return pytest.mark.parametrize("case", cases, ids=lambda case: case["name"])


def test_the_file_is_what_its_maker_writes():
    assert make_webhook_vectors.text() == (SPECS / "vectors" / "webhook.json").read_text("utf-8")


def request_of(case):
    items = [bytes.fromhex(item) for item in case["items"]]
    return _canonical.Request(
        server=SERVER,
        target=case["target"],
        time=case["time"],
        nonce=bytes.fromhex(case["nonce"]),
        job=bytes.fromhex(case["job"]),
        dim=case["dim"],
        sizes=tuple(map(len, items)),
        payload=_canonical.payload_digest(b"".join(items)),
    )


@named(VECTORS["requests"])
def test_requests(case):
    request = request_of(case)
    assert len(request.nonce) == _canonical.NONCE_SIZE
    assert request.payload.hex() == case["payload"]
    assert request.canonical().hex() == case["canonical"]
    assert request.digest(CHAIN).hex() == case["digest"]
    assert verify(KEY, request.digest(CHAIN), bytes.fromhex(case["signature"]))


@named(VECTORS["requests"][1:])
def test_every_field_counts(case):
    request, other = request_of(VECTORS["requests"][0]), request_of(case)
    signature = bytes.fromhex(VECTORS["requests"][0]["signature"])
    from attrs import evolve, fields

    for field in fields(_canonical.Request):
        changed = evolve(request, **{field.name: getattr(other, field.name)})
        if changed != request:
            assert not verify(KEY, changed.digest(CHAIN), signature), field.name


@pytest.fixture
def answered(tmp_path, monkeypatch):
    """What the encoder makes of a reply to the request of a case."""

    def encode(case):
        asked = REQUESTS[case["request"]]
        config = Config(url="http://a.example/", server=SERVER.hex(), dim=asked["dim"])
        log = logging.getLogger("soma.encoder-webhook")
        context = EncoderContext("encoder-webhook", tmp_path, log, lambda body: bytes(64), KEY, CHAIN)
        encoder = _encoder.WebhookEncoder(config, context)
        reply = _exchange.Reply(case["status"], case["signature"], bytes.fromhex(case["body"]))
        digest = bytes.fromhex(asked["digest"])
        monkeypatch.setattr(_encoder.WebhookEncoder, "_ask", lambda *_: (reply, digest))
        return encoder.encode([bytes.fromhex(item) for item in asked["items"]])

    return encode


@named([case for case in VECTORS["replies"] if "vectors" in case])
def test_replies_with_vectors(case, answered):
    vectors = answered(case)
    assert vectors.dtype == np.float32
    assert vectors.tolist() == case["vectors"]
    assert vectors.flags.writeable


@named([case for case in VECTORS["replies"] if "place" in case])
def test_replies_that_refuse_an_item(case, answered):
    with pytest.raises(ValueError, match=f"^item {case['place']}: {re.escape(case['reason'])}$"):
        answered(case)


SAID = {"WH11": "its key did not sign", "WH12": r"status|bytes for|names none of the items"}


@named([case for case in VECTORS["replies"] if "rule" in case])
def test_replies_that_are_none(case, answered):
    with pytest.raises(EncoderError, match=SAID[case["rule"]]):
        answered(case)


@pytest.mark.parametrize("case", VECTORS["addresses"], ids=lambda case: f"{case['address']} {case['allow']}")
def test_addresses(case):
    assert _addresses.permitted(case["address"], _addresses.networks(case["allow"])) is case["called"]


@pytest.mark.parametrize("case", [case for case in VECTORS["urls"] if "rule" not in case], ids=lambda case: case["url"])
def test_urls(case):
    place = _place.parse(case["url"])
    assert (place.host, place.port, place.target) == (case["host"], case["port"], case["target"])
    assert place.secure == case["url"].startswith("https:")
    assert f"//{place.authority}" in case["url"]


@pytest.mark.parametrize("case", [case for case in VECTORS["urls"] if "rule" in case], ids=lambda c: c["url"][:40])
def test_urls_that_are_none(case):
    with pytest.raises(SettingsError, match=r"^encoder\.webhook\.url: .*; write https://HOST/PATH$"):
        _place.parse(case["url"])


def test_constants_and_networks_stand_in_the_chapter():
    chapter = (SPECS / "26-webhook.md").read_text("utf-8")
    written = {name: int(value) for name, value in re.findall(r"^\| `(\w+)` \| (\d+) \|", chapter, re.MULTILINE)}
    modules = (_addresses, _canonical, _encoder, _exchange, _place)
    in_code = {
        name: value
        for module in modules
        for name, value in vars(module).items()
        if name.isupper() and not name.startswith("_") and type(value) is int and name not in OTHERS
    }
    assert written == in_code
    for network in (*_addresses.REFUSED, _addresses.GLOBAL):
        assert str(network) in chapter
