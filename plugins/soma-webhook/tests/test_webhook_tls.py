"""https: the certificate must be of the host's name, and trusted."""

import datetime as dt
import ipaddress
import ssl

import numpy as np
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from webhook_world import Server, opened, vectors

from soma_core.errors import EncoderError
from soma_webhook import _encoder, soma_doctor


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """Certificate and key, in one file, of 127.0.0.1, by itself."""
    secret = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(secret.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(secret, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    pem, plain = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    path.write_bytes(made.public_bytes(pem) + secret.private_bytes(pem, plain, serialization.NoEncryption()))
    return path


@pytest.fixture
def server(certificate):
    """One that speaks TLS. A caller who does not like it hangs up."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    made = Server()
    made.listener.socket = context.wrap_socket(made.listener.socket, server_side=True)
    with made:
        yield made


def test_a_trusted_certificate_of_the_name_is_taken(tmp_path, server, certificate):
    url = f"https://127.0.0.1:{server.port}/x"
    found = opened(tmp_path, url, ca=str(certificate)).encode([b"a"])
    assert np.array_equal(found, vectors([b"a"], 8))
    settings = {"server": "00" * 32, "allow": ("127.0.0.0/8",), "ca": str(certificate)}
    (finding,) = soma_doctor("encoder-webhook", _encoder.Config(url=url, **settings))
    assert finding.level == "ok"


def test_one_that_nobody_vouches_for_is_refused_at_once(tmp_path, server):
    with pytest.raises(EncoderError, match="certificate verify failed"):
        opened(tmp_path, f"https://127.0.0.1:{server.port}/x", timeout=60.0).encode([b"a"])
    assert server.heads == []


def test_one_of_another_name_is_refused_at_once(tmp_path, server, certificate):
    with pytest.raises(EncoderError, match="certificate verify failed"):
        opened(tmp_path, f"https://localhost:{server.port}/x", timeout=60.0, ca=str(certificate)).encode([b"a"])
    assert server.heads == []


def test_a_server_without_tls_is_not_spoken_to(tmp_path):
    with Server() as plain:
        with pytest.raises(EncoderError, match="https://"):
            opened(tmp_path, f"https://127.0.0.1:{plain.port}/x", timeout=0.3).encode([b"a"])
        assert plain.heads == []
