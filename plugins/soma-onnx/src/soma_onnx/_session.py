"""A model that is ready to run."""

from typing import Any, Final

import onnxruntime

from soma_core.errors import SettingsError

PROVIDERS: Final = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
ERRORS: Final = 3
"""Of the runtime's log: errors, and nothing less."""


def session(model: bytes, device: str, threads: int) -> Any:
    """`threads`: of the CPU; 0 takes all cores. Raises `SettingsError` for a device that is not there."""
    provider = PROVIDERS[device]
    if provider not in onnxruntime.get_available_providers():
        raise SettingsError(f"device {device}: this ONNX Runtime has no {provider}", "write cpu")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = ERRORS
    return onnxruntime.InferenceSession(model, options, providers=[provider])
