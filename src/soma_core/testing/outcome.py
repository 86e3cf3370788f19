"""What became of one case of a conformance run."""

from typing import Literal

from attrs import frozen


@frozen
class Outcome:
    """What became of one case. `known`: it failed, as was said it would.

    `detail`: the failure as pytest shows it, why it was skipped, or the reason that was given for a known failure.
    """

    name: str
    outcome: Literal["passed", "failed", "skipped", "known"]
    detail: str = ""

    @property
    def ok(self) -> bool | None:
        """Whether the case holds; None if it was skipped."""
        return None if self.outcome == "skipped" else self.outcome == "passed"
