"""How many threads NumPy takes in a command that computes."""

import os


def take_one_thread() -> None:
    """Of NumPy, which is not imported yet: its BLAS spins while it waits, so that two are slow on a busy machine."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
