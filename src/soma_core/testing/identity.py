"""Who a test node is: a key in memory, in place of the signer process."""

from attrs import define, field

from soma_core.api import PeerId
from soma_core.crypto import ZERO_DIGEST, SecretKey, signing_digest, verify
from soma_core.errors import KeyStoreError


@define
class KeyIdentity:
    """An `Identity` that signs with `key`. With another `peer` it is a liar: it names a key it does not hold."""

    key: SecretKey = field(factory=SecretKey.generate)
    peer: PeerId = field()
    chain: bytes = ZERO_DIGEST

    @peer.default
    def _own_key(self) -> PeerId:
        return PeerId(self.key.public)

    @classmethod
    def number(cls, number: int) -> "KeyIdentity":
        """The identity of this number, the same in every run. For numbers from 1."""
        return cls(SecretKey(number.to_bytes(32, "big")))

    async def sign(self, challenge: bytes, /) -> bytes:
        """Sign at most 256 bytes under ``soma/hello``."""
        if len(challenge) > 256:
            raise KeyStoreError(f"a challenge of {len(challenge)} bytes", "sign at most 256")
        return self.key.sign(signing_digest("soma/hello", self.chain, 0, challenge))

    def verify(self, peer: PeerId, challenge: bytes, signature: bytes, /) -> bool:
        """Whether `peer` signed `challenge` so."""
        return verify(peer, signing_digest("soma/hello", self.chain, 0, challenge), signature)
