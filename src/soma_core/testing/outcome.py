"""What became of one case of a conformance run."""

from typing import Literal

from attrs import frozen


@frozen
class Outcome:
    """What became of one case. `detail`: the failure as pytest shows it, or why it was skipped."""

    name: str
    outcome: Literal["passed", "failed", "skipped"]
    detail: str = ""

    @property
    def ok(self) -> bool | None:
        """Whether the case holds; None if it was skipped."""
        return None if self.outcome == "skipped" else self.outcome == "passed"
