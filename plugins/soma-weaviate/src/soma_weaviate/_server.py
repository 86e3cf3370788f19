"""One server: a request of JSON, an answer of JSON, and everything that can go wrong between as one line."""

import errno
import json
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any, Final
from urllib.parse import urlsplit

MAX_ANSWER: Final = 1 << 28
"""Bytes of an answer, at most."""


class Server:
    """At `url`, asked with `api_key` if there is one. Keeps a connection between requests."""

    def __init__(self, url: str, api_key: str, timeout: float) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError(f"index.weaviate.url: {url!r:.80} is no http:// or https:// address")
        kind = HTTPConnection if parts.scheme == "http" else HTTPSConnection
        self._connection = kind(parts.hostname, parts.port, timeout=timeout)
        self._base, self.url = parts.path.rstrip("/"), url
        self._headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if api_key:
            self._headers["Authorization"] = f"Bearer {api_key}"

    def ask(self, method: str, path: str, body: Any = None, *, missing: bool = False) -> Any:
        """The answer to a request; None for an empty one, and for 404 if `missing` may be. Raises `OSError`."""
        data = None if body is None else json.dumps(body, ensure_ascii=False).encode()
        try:
            self._connection.request(method, self._base + path, data, self._headers)
            response = self._connection.getresponse()
            told = response.read(MAX_ANSWER + 1)
        except (OSError, HTTPException) as error:
            self._connection.close()
            what = f"no Weaviate answers ({_line(str(error) or type(error).__name__)}); is it running? Then do it again"
            raise OSError(errno.ECONNREFUSED, what, self.url) from error
        if len(told) > MAX_ANSWER:
            self._connection.close()
            raise OSError(errno.EPROTO, f"an answer of more than {MAX_ANSWER} bytes", self.url)
        if response.status == 404 and missing:
            return None
        if not 200 <= response.status < 300:
            what = f"Weaviate refused {method} {path.partition('?')[0]} with status {response.status}"
            raise OSError(errno.EPROTO, f"{what}: {_line(told.decode('utf-8', 'replace'))}", self.url)
        try:
            return json.loads(told) if told.strip() else None
        except ValueError as error:
            raise OSError(errno.EPROTO, f"an answer that is not JSON: {_line(str(error))}", self.url) from error

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def _line(text: str) -> str:
    return " ".join(text.split())[:150]
