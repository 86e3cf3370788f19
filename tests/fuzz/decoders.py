"""Every decoder that meets bytes from outside this process, by name."""

from typing import Final

import decoders_chain
import decoders_files
import decoders_net
import decoders_packed
import decoders_processes
import decoders_turmoil
import decoders_webhook
from decoder import Decoder

DECODERS: Final[dict[str, Decoder]] = {
    decoder.name: decoder
    for module in (
        *(decoders_chain, decoders_net, decoders_files, decoders_processes, decoders_turmoil, decoders_webhook),
        decoders_packed,
    )
    for decoder in module.DECODERS
}
