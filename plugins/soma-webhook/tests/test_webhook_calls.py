"""The plugin against servers on loopback that do as they should, or anything else."""

import logging
import socket
import threading
import time

import numpy as np
import pytest
from webhook_world import CHAIN, JOB, LOOPBACK, OTHER, SERVER, Server, free_port, head, honest, opened, vectors

from soma_core.api import EncoderContext
from soma_core.api.encoding import signing_digest
from soma_core.errors import EncoderError, SettingsError
from soma_core.testing.encoder import SECRET
from soma_webhook import Config, _addresses, _encoder, _exchange, open_encoder, soma_doctor, soma_encoder

QUICK = 0.15
"""Seconds for a request that shall not be answered."""


def test_vectors_are_the_servers(tmp_path):
    with Server() as server:
        found = opened(tmp_path, server).encode([b"a", b"", b"ccc"])
    assert found.dtype == np.float32
    assert np.array_equal(found, vectors([b"a", b"", b"ccc"], 8))


def test_a_request_says_what_the_chapter_says(tmp_path):
    before = time.time_ns() // 1_000_000
    with Server() as server:
        encoder = opened(tmp_path, server, job=JOB)
        encoder.encode([b"a", b"", b"ccc"])
        encoder.encode([b"d"])
    (first, fields), (_, again) = server.heads
    assert first == ["POST", "/embed?model=a", "HTTP/1.1"]
    assert server.bodies == [b"accc", b"d"]
    assert fields["host"] == f"127.0.0.1:{server.port}"
    assert fields["connection"] == "close"
    assert fields["content-length"] == "4"
    assert fields["soma-version"] == "1"
    assert fields["soma-chain"] == CHAIN.hex()
    assert fields["soma-key"] == SECRET.public.hex()
    assert before <= int(fields["soma-time"]) <= time.time_ns() // 1_000_000
    assert (len(fields["soma-nonce"]), fields["soma-nonce"] != again["soma-nonce"]) == (32, True)
    assert fields["soma-job"] == JOB.hex()
    assert (fields["soma-dim"], fields["soma-sizes"]) == ("8", "1,0,3")
    assert {name for name in fields if name.startswith("soma-")} == {
        *("soma-version", "soma-chain", "soma-key", "soma-time", "soma-nonce", "soma-job", "soma-dim", "soma-sizes"),
        *("soma-payload", "soma-signature"),
    }


def test_no_items_are_no_request(tmp_path):
    with Server() as server:
        assert opened(tmp_path, server).encode([]).shape == (0, 8)
    assert server.heads == []


def test_opening_asks_nobody_and_needs_no_identity(tmp_path):
    info = opened(tmp_path, f"http://127.0.0.1:{free_port()}/").info
    assert (info.dim, info.weights, info.architecture, info.numeric, info.max_batch) == (8, b"", "opaque", "other", 16)
    assert soma_encoder().features == frozenset()
    assert soma_encoder().needs == {"network", "identity"}
    config = Config(url="http://a.example/", server=SERVER.public.hex())
    nobody = open_encoder(config, EncoderContext("encoder-webhook", tmp_path, logging.getLogger("test")))
    with pytest.raises(EncoderError, match="no identity was given, so nothing can be signed; run it in a node"):
        nobody.encode([b"a"])


def test_what_the_server_is_told_to_trust_stands_in_the_log(tmp_path, caplog):
    with caplog.at_level("INFO"):
        opened(tmp_path, "http://a.example/x")
    assert caplog.messages == [f"calls http://a.example/x as key {SECRET.public.hex()}, chain {CHAIN.hex()}"]


def test_a_signer_that_says_no_is_an_error_and_nothing_is_sent(tmp_path):
    def refuse(_body):
        raise EncoderError("the node did not sign", "see its log")

    with Server() as server, pytest.raises(EncoderError, match="the node did not sign"):
        opened(tmp_path, server, sign=refuse).encode([b"a"])
    assert server.heads == []


def test_a_large_batch_goes_through(tmp_path):
    items = [bytes([n]) * (1 << 18) for n in range(16)]
    with Server() as server:
        assert np.array_equal(opened(tmp_path, server).encode(items), vectors(items, 8))


# --- replies that are none --------------------------------------------------------------------------------------------


def replying(make):
    """A server that writes what `make` makes of a request and of the honest body."""

    def behave(_server, out, asked):
        out.write(make(asked, vectors(asked.items, asked.dim).tobytes()))

    return behave


def signed_for(request, body):
    from webhook_world import reply_signature

    return reply_signature(SERVER, CHAIN, request, 200, body)


NOT_SIGNED = "its key did not sign for this request; compare encoder.webhook.server"
NO_HTTP = "answered what is no HTTP"
LONG = "its reply is longer than that may be"


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda _, body: head(200, body), NOT_SIGNED),
        (lambda _, body: head(200, body, bytes(64)), NOT_SIGNED),
        (lambda _, body: head(200, body, b"short"), NOT_SIGNED),
        (lambda asked, body: head(200, body, asked.signed(200, body, OTHER)), NOT_SIGNED),
        (lambda asked, body: head(200, body, asked.signed(200, body, SECRET)), NOT_SIGNED),
        (lambda asked, body: head(200, body[::-1], asked.signed(200, body)), NOT_SIGNED),
        (lambda asked, body: head(200, body, asked.signed(422, body)), NOT_SIGNED),
        (lambda _, body: head(200, body, signed_for(bytes(32), body)), NOT_SIGNED),
        (lambda asked, body: head(200, body, asked.signed(200, body))[:-1], NOT_SIGNED),
        (lambda asked, _: head(200, b"1234", asked.signed(200, b"1234")), "4 bytes for 2 vectors of 8 numbers"),
        (lambda asked, _: head(422, b"2 no", asked.signed(422, b"2 no")), "a refusal that names none of the items"),
        (lambda asked, _: head(422, b"", asked.signed(422, b"")), "a refusal that names none of the items"),
        (lambda _, body: head(422, body), NOT_SIGNED),
        (lambda asked, body: head(204, b"", asked.signed(204, b"")), "status 204; see the server's log"),
        (lambda _, body: head(500, b"Traceback"), "status 500; see the server's log"),
        (lambda asked, body: head(302, b"", asked.signed(302, b""), ["Location: /y"]), "redirects are not followed"),
        (lambda _, body: b"", "hung up without a reply"),
        (lambda _, body: b"\xff" * 99, NO_HTTP),
        (lambda _, body: b"HTTP/1.1 abc\r\n\r\n", NO_HTTP),
        (lambda _, body: b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", NO_HTTP),
        (lambda _, body: head(200, bytes(201)), LONG),
        (lambda _, body: b"HTTP/1.1 200 OK\r\n\r\n" + bytes(1 << 20), LONG),
        (lambda _, body: b"HTTP/1.1 200 OK\r\nContent-Length: 9999999\r\n\r\n" + bytes(1 << 20), LONG),
        (lambda _, body: b"HTTP/1.1 200 " + b"x" * (1 << 20), LONG),
        (lambda _, body: b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * (1 << 17), f"{NO_HTTP}|{LONG}"),
        (lambda _, body: b"HTTP/1.1 100 Go on\r\n\r\n" * (1 << 15), LONG),
    ],
    ids=range(26),
)
def test_a_reply_that_is_none_is_an_error_and_the_encoder_goes_on(tmp_path, make, reason):
    with Server(replying(make)) as server:
        encoder = opened(tmp_path, server)
        with pytest.raises(EncoderError, match=reason) as caught:
            encoder.encode([b"a", b"b"])
        assert len(str(caught.value)) < 300
        assert len(server.heads) == 1, "what was sent is not sent again"
        server.behave = honest
        assert encoder.encode([b"a", b"b"]).shape == (2, 8)


def test_other_forms_of_a_good_reply_are_taken(tmp_path):
    def chunked(asked, body):
        more = head(200, b"", asked.signed(200, body)).replace(b"Content-Length: 0", b"transfer-encoding: chunked")
        return b"HTTP/1.1 100 Go on\r\n\r\n" + more + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)

    def until_the_end(asked, body):
        return head(200, b"", asked.signed(200, body)).replace(b"Content-Length: 0\r\n", b"") + body

    for make in (chunked, until_the_end):
        with Server(replying(make)) as server:
            assert np.array_equal(opened(tmp_path, server).encode([b"a"]), vectors([b"a"], 8))


def test_an_item_that_the_server_refuses_is_named(tmp_path):
    refusing = replying(lambda asked, _: head(422, b"1 too long", asked.signed(422, b"1 too long")))
    with Server(refusing) as server, pytest.raises(ValueError, match=r"^item 1: too long$"):
        opened(tmp_path, server).encode([b"a", b"b"])


# --- time -------------------------------------------------------------------------------------------------------------


def says_nothing(server, _out, _asked):
    server.hang.wait()


def drips(server, out, _asked):
    for byte in b"HTTP/1.1 200 OK\r\nSoma-Signature: ":
        if server.hang.wait(0.02):
            return
        out.write(bytes([byte]))


def stops_in_the_body(server, out, asked):
    body = vectors(asked.items, asked.dim).tobytes()
    out.write(head(200, body, asked.signed(200, body))[:-5])
    server.hang.wait()


@pytest.mark.parametrize("behave", [says_nothing, drips, stops_in_the_body])
def test_a_reply_that_takes_too_long_is_given_up(tmp_path, behave):
    with Server(behave) as server:
        begun = time.monotonic()
        with pytest.raises(EncoderError, match=r"no reply in time|timed out"):
            opened(tmp_path, server, timeout=QUICK).encode([b"a"])
        assert time.monotonic() - begun < 5


def test_patience_that_is_over_waits_for_nothing():
    with pytest.raises(TimeoutError, match="no reply in time"):
        _exchange.Patience(0).left()


def test_a_server_that_does_not_read_is_given_up(tmp_path):
    with socket.create_server(("127.0.0.1", 0), backlog=1) as deaf:
        encoder = opened(tmp_path, f"http://127.0.0.1:{deaf.getsockname()[1]}/", timeout=QUICK)
        with pytest.raises(EncoderError, match=r"no reply in time|timed out"):
            encoder.encode([bytes(1 << 24)])


def test_a_server_that_is_not_there_is_waited_for_and_then_given_up(tmp_path):
    url = f"http://127.0.0.1:{free_port()}/"
    with pytest.raises(EncoderError, match=rf"^{url}: Connection refused; see whether the server runs; `soma doctor`"):
        opened(tmp_path, url, timeout=QUICK).encode([b"a"])


def test_a_server_that_starts_again_is_found(tmp_path, monkeypatch):
    port = free_port()
    servers, pauses = [], []

    def sleep(seconds):
        pauses.append(seconds)
        if len(pauses) == 3:
            servers.append(Server(port=port).__enter__())

    monkeypatch.setattr(_encoder.time, "sleep", sleep)
    found = opened(tmp_path, f"http://127.0.0.1:{port}/", timeout=30.0).encode([b"a"])
    assert np.array_equal(found, vectors([b"a"], 8))
    assert pauses == [0.1, 0.2, 0.4]
    servers[0].__exit__()


# --- addresses --------------------------------------------------------------------------------------------------------


def test_what_is_not_public_is_not_called_unless_it_is_allowed(tmp_path):
    with Server() as server:
        begun = time.monotonic()
        for allow in ((), ("10.0.0.0/8",), ("::/0",)):
            with pytest.raises(EncoderError, match=r"127\.0\.0\.1, which is not public; name the network in encoder"):
                opened(tmp_path, server, allow=allow).encode([b"a"])
        assert time.monotonic() - begun < 5, "it is not waited for"
        assert server.heads == []
        opened(tmp_path, server, allow=("127.0.0.1/32",)).encode([b"a"])


@pytest.mark.parametrize("host", ["2130706433", "0x7f.1", "0177.0.0.1", "127.1", "localhost", "[::ffff:127.0.0.1]"])
def test_other_spellings_are_the_same_address(tmp_path, host):
    with Server() as server, pytest.raises(EncoderError, match="which is not public"):
        opened(tmp_path, f"http://{host}:{server.port}/", allow=()).encode([b"a"])
    assert server.heads == []


@pytest.fixture
def names(monkeypatch):
    """Sets what a name is found to be, and counts how often it is looked up."""
    asked = []

    def look_up(*addresses):
        def getaddrinfo(host, port, **_):
            asked.append(host)
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

        monkeypatch.setattr(_addresses.socket, "getaddrinfo", getaddrinfo)
        return asked

    return look_up


def test_a_name_is_looked_up_once_and_what_was_looked_at_is_called(tmp_path, names, monkeypatch):
    asked, called = names("169.254.169.254", "127.0.0.2", "127.0.0.1", "10.0.0.1"), []
    real = socket.socket.connect

    def connect(link, address):
        called.append(address[0])
        return real(link, address)

    monkeypatch.setattr(socket.socket, "connect", connect)
    with Server() as server:  # it listens at 127.0.0.1 alone
        opened(tmp_path, f"http://a.example:{server.port}/").encode([b"a"])
    assert asked == ["a.example"]
    assert called == ["127.0.0.2", "127.0.0.1"]
    assert server.heads[0][1]["host"] == f"a.example:{server.port}"


def test_no_more_than_four_addresses_are_tried(names):
    names(*(f"127.0.0.{n}" for n in range(1, 9)), "127.0.0.1")
    from soma_webhook._place import parse

    found = _addresses.look_up(parse("http://a.example/"), _addresses.networks(LOOPBACK), 1.0)
    assert [address[0] for _, address in found] == [f"127.0.0.{n}" for n in range(1, 5)]


def test_a_name_that_is_only_inside_says_where(tmp_path, names):
    names("10.0.0.7", "169.254.169.254")
    with pytest.raises(EncoderError, match=r"^http://a\.example/ is at 10\.0\.0\.7, 169\.254\.169\.254, which is not"):
        opened(tmp_path, "http://a.example/").encode([b"a"])


def test_a_name_that_nobody_answers_for_is_given_up(tmp_path, monkeypatch):
    hang = threading.Event()
    monkeypatch.setattr(_addresses.socket, "getaddrinfo", lambda *_, **__: hang.wait())
    with pytest.raises(EncoderError, match=r"a\.example was not looked up in time"):
        opened(tmp_path, "http://a.example/", timeout=QUICK).encode([b"a"])
    hang.set()


@pytest.mark.parametrize("error", [socket.gaierror(-2, "Name or service not known"), UnicodeError("label too long")])
def test_a_name_that_there_is_not_is_an_error(tmp_path, monkeypatch, error):
    def getaddrinfo(*_, **__):
        raise error

    monkeypatch.setattr(_addresses.socket, "getaddrinfo", getaddrinfo)
    with pytest.raises(EncoderError, match=r"http://a\.example/: (Name or service not known|a\.example is no name)"):
        opened(tmp_path, "http://a.example/", timeout=QUICK).encode([b"a"])


def test_no_proxy_is_asked(tmp_path, monkeypatch):
    with Server() as server, Server() as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        opened(tmp_path, server).encode([b"a"])
    assert (len(server.heads), proxy.heads) == (1, [])


# --- settings and doctor ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"server": "ab"}, r"encoder\.webhook\.server: ab is no public key; give the 64 hex digits it prints"),
        ({"server": "zz" * 32}, "is no public key"),
        ({"allow": ("10.0.0.1/8",)}, r"encoder\.webhook\.allow: 10\.0\.0\.1/8 has host bits set; write networks"),
        ({"allow": ("here",)}, "encoder.webhook.allow: 'here' does not appear"),
        ({"ca": "/nowhere.pem"}, r"encoder\.webhook\.ca: /nowhere\.pem: No such file or directory; name a file"),
    ],
)
def test_settings_that_do_not_fit_are_named(tmp_path, settings, reason):
    with pytest.raises(SettingsError, match=reason):
        opened(tmp_path, "https://a.example/", **settings)


def doctor(url, **settings):
    (finding,) = soma_doctor("encoder-webhook", Config(url=url, server="00" * 32, **{"allow": LOOPBACK, **settings}))
    return finding.level, finding.detail


def test_the_doctor_says_whether_the_server_takes_connections():
    with Server() as server:
        assert doctor(server.url) == ("ok", f"{server.url} takes connections")
        assert doctor(server.url, allow=()) == ("fail", f"{server.url} is at 127.0.0.1, which is not public")
    assert server.heads == []
    url = f"http://127.0.0.1:{free_port()}/"
    assert doctor(url) == ("fail", f"{url}: Connection refused")
    assert doctor("gopher://a.example/")[0] == "fail"


def test_what_is_signed_is_for_this_chain_and_domain_alone(tmp_path):
    signed = []

    def sign(body):
        signed.append(body)
        return SECRET.sign(signing_digest("soma/webhook", CHAIN, 0, body))

    with Server() as server:
        opened(tmp_path, server, sign=sign).encode([b"a"])
    assert len(signed) == 1
    assert SERVER.public in signed[0]
