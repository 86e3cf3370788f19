"""The one encoding, the one hash and the one signature, for plugins whose bytes are stored, hashed or signed.

Not imported by ``soma_core.api`` itself: who needs it imports this module. Rules in ``specs/01-encoding.md`` and
``specs/02-signatures.md``.
"""

from soma_core.codec import Value, decode, encode
from soma_core.crypto import DIGEST_SIZE, KEY_SIZE, SIGNATURE_SIZE, digest, signing_digest, verify

__all__ = [
    "DIGEST_SIZE",
    "KEY_SIZE",
    "SIGNATURE_SIZE",
    "Value",
    "decode",
    "digest",
    "encode",
    "signing_digest",
    "verify",
]
