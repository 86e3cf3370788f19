"""The one encoding and the one hash, for plugins whose bytes are stored, hashed or compared.

Not imported by ``soma_core.api`` itself: who needs it imports this module. Rules in ``specs/01-encoding.md``.
"""

from soma_core.codec import Value, decode, encode
from soma_core.crypto import DIGEST_SIZE, SIGNATURE_SIZE, digest, signing_digest

__all__ = ["DIGEST_SIZE", "SIGNATURE_SIZE", "Value", "decode", "digest", "encode", "signing_digest"]
