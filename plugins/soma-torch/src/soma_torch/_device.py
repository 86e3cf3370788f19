"""Where Torch computes."""

import torch

from soma_core.errors import SettingsError


def device_of(name: str) -> torch.device:
    """Raises `SettingsError` for one that is not there."""
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise SettingsError(f"device {name!r:.40}: Torch knows no such device", "write cpu, cuda or cuda:N") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise SettingsError(f"device {name}: no CUDA device is here, or this Torch was built without", "write cpu")
    if device.type not in {"cpu", "cuda"} or (device.index or 0) >= max(1, torch.cuda.device_count()):
        raise SettingsError(f"device {name}: it is not here", "write cpu, cuda or cuda:N")
    return device
