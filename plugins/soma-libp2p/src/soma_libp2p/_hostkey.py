"""The key of libp2p's own peer id. It keeps the address stable and proves nothing about who a Soma node is."""

import os
import struct
from contextlib import suppress
from pathlib import Path
from typing import Final

from libp2p.crypto.keys import KeyPair
from libp2p.crypto.secp256k1 import create_new_key_pair

NAME: Final = "host.key"


def load_host_key(directory: Path) -> KeyPair:
    """The secp256k1 key in `directory`, made there (0600) at the first start. Raises `OSError` for a damaged file."""
    path = directory / NAME
    with suppress(FileNotFoundError):
        return _key(path, path.read_bytes())
    pair = create_new_key_pair()
    fresh = path.with_suffix(".new")
    with suppress(FileNotFoundError):
        fresh.unlink()
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(pair.private_key.to_bytes())
        file.flush()
        os.fsync(file.fileno())
    fresh.rename(path)
    return pair


def _key(path: Path, secret: bytes) -> KeyPair:
    try:
        (only,) = struct.unpack("32s", secret)
        return create_new_key_pair(only)
    except (struct.error, ValueError) as error:
        raise OSError(f"{path} is not a host key ({error}); remove it, and give peers the new address") from error
