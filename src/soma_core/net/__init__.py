"""What peers say to each other, over any transport: handshake, requests, consensus messages, blobs, commits.

`Network` owns the connections of a node. Queues, heartbeats, reconnecting and newest-wins live here, once.
"""

from ._address import Address
from ._blobs import KEEP_FOR, BlobStore, Manifest, manifest_of
from ._counters import Statistics
from ._fetch import fetch, serve_blobs
from ._hello import NET_API, Hello
from ._peers import Network
from ._requests import Handler, Refusal, Reply
from ._sync import CommitSource, Entry, follow, serve_entries

__all__ = [
    "KEEP_FOR",
    "NET_API",
    "Address",
    "BlobStore",
    "CommitSource",
    "Entry",
    "Handler",
    "Hello",
    "Manifest",
    "Network",
    "Refusal",
    "Reply",
    "Statistics",
    "fetch",
    "follow",
    "manifest_of",
    "serve_blobs",
    "serve_entries",
]
