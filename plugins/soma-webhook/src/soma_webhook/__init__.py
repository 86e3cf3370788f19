"""``encoder-webhook``: vectors from an HTTP server of the operator's own, asked with signed requests."""

from collections.abc import Iterable

from attrs import frozen

from soma_core.api import Encoder, EncoderContext, EncoderSpec, Finding, hookimpl, option, required

__all__ = ["Config", "soma_doctor", "soma_encoder"]


@frozen
class Config:
    """The operator's settings."""

    url: str = required(str, "where the server answers: https://HOST/PATH, or http on a network of yours")
    server: str = required(str, "the server's public key, 64 hex digits: it signs its replies")
    dim: int = option(128, "numbers of a vector; the network's dimension", min=1, max=8192)
    max_batch: int = option(16, "items of one request", min=1, max=256)
    timeout: float = option(10.0, "seconds for one request, from the first attempt to the reply", min=0.1, max=60)
    allow: tuple[str, ...] = option((), 'networks that it may reach though they are not public: ["127.0.0.0/8"]')
    ca: str = option("", "a file of certificates to trust instead of the system's")


@hookimpl
def soma_encoder() -> EncoderSpec[Config]:
    """Vectors from an HTTP server of the operator's own, asked with signed requests."""
    return EncoderSpec(api=1, config=Config, open=open_encoder, needs=frozenset({"network", "identity"}))


def open_encoder(config: Config, context: EncoderContext) -> Encoder:
    """The encoder; the server is not asked before the first batch. Raises `SettingsError`."""
    from ._encoder import WebhookEncoder

    return WebhookEncoder(config, context)


@hookimpl
def soma_doctor(name: str, config: object) -> Iterable[Finding]:
    """Whether the server can be reached, without asking it anything."""
    from ._doctor import examine

    assert isinstance(config, Config)
    return examine(name, config)
