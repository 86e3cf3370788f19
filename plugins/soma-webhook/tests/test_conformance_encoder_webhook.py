"""encoder-webhook does what every encoder must do, when its server does."""

import pytest
from webhook_world import LOOPBACK, SERVER, ZERO_DIGEST, Server, head, honest

from soma_core.testing import EncoderSuite


def refuses_what_is_empty(server, out, asked):
    for place, item in enumerate(asked.items):
        if not item:
            body = f"{place} empty".encode()
            out.write(head(422, body, asked.signed(422, body)))
            return
    honest(server, out, asked)


class TestWebhook(EncoderSuite):
    plugin = "encoder-webhook"
    bad = (b"",)

    @pytest.fixture(autouse=True)
    def _server(self, monkeypatch):
        with Server(refuses_what_is_empty, chain=ZERO_DIGEST) as server:
            settings = {"url": server.url, "server": SERVER.public.hex(), "dim": 16, "allow": list(LOOPBACK)}
            monkeypatch.setattr(type(self), "config", settings)
            yield
