"""Where the server is, as the operator wrote it. Rule WH2 of ``specs/26-webhook.md``."""

import re
from typing import Final
from urllib.parse import urlsplit

from attrs import frozen

from soma_core.errors import SettingsError

URL_MAX: Final = 2048
"""Characters of a URL."""

_PRINTABLE: Final = re.compile(r"[!-~]+")  # no blanks, no line ends: it goes into the head of a request as it is


@frozen
class Place:
    """`target`: path and query, as in the first line of a request. `authority`: host and port, as in `Host`."""

    url: str
    secure: bool
    host: str
    port: int
    authority: str
    target: str


def parse(url: str) -> Place:
    """`url` in its parts. Raises `SettingsError` for anything but plain http or https to a host."""
    if len(url) > URL_MAX or not _PRINTABLE.fullmatch(url):
        _refuse(url, f"it has more than {URL_MAX} characters, or blanks, or others than ASCII")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise SettingsError(f"encoder.webhook.url: {url!r:.80}: {error}", "write https://HOST/PATH") from error
    if parts.scheme not in ("http", "https"):
        _refuse(url, "it is neither http nor https")
    if not parts.hostname or port == 0:
        _refuse(url, "it names no host, or port 0")
    if "@" in parts.netloc:
        _refuse(url, "it holds a user name; requests are signed instead")
    if parts.fragment or "\\" in url:
        _refuse(url, "a part after # goes to no server, and no \\ belongs there")
    secure = parts.scheme == "https"
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Place(url, secure, parts.hostname or "", port or (443 if secure else 80), parts.netloc, target)


def _refuse(url: str, why: str) -> None:
    raise SettingsError(f"encoder.webhook.url: {url!r:.80}: {why}", "write https://HOST/PATH")
