"""`transport-memory` is held to what every transport is held to, on a good network and on a slow one."""

from soma_core.testing import TransportSuite


class TestTransportMemory(TransportSuite):
    plugin = "transport-memory"


class TestTransportMemorySlow(TransportSuite):
    plugin = "transport-memory"
    config = {"network": "slow", "delay_ms_min": 1, "delay_ms_max": 3, "seed": 7}  # noqa: RUF012
