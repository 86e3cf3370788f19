"""What running a vector file yields: a line for each thing it checks."""

from attrs import frozen


@frozen
class Case:
    """One check: its name in the file, whether it holds, and where it does not, what was found instead."""

    name: str
    ok: bool
    detail: str = ""
