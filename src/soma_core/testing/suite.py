"""What every suite has: the component's name and settings, and what it is known to fail or declares to do."""

from collections.abc import Iterator, Mapping
from inspect import iscoroutinefunction
from typing import Any, ClassVar

import pytest

from .component import NOTHING, component


class Suite:
    """Inherited by the suite of each kind.

    `known_failures` maps a test to the reason why the component fails it: a test's name (``test_x``, with all its
    parameters) or one case of it (``test_x[1]``). Such a test runs and is reported with its reason, strictly: a case
    that passes although it is named is a failure, and so is a name that no case has.
    """

    plugin: ClassVar[str]
    config: ClassVar[Mapping[str, object]] = NOTHING
    known_failures: ClassVar[Mapping[str, str]] = {}
    capabilities: ClassVar[frozenset[str]] = frozenset()
    """Features that the suite of this kind holds a component to, once its spec declares them."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        check_known(cls, cls.known_failures)
        for name, test in vars(cls).items():
            if name.startswith("test_") and iscoroutinefunction(test):
                pytest.mark.trio(test)  # an author need not set pytest-trio's mode

    @pytest.fixture(autouse=True)
    def _expect_known_failure(self, request: pytest.FixtureRequest) -> None:
        case = request.node.name
        reason = self.known_failures.get(case) or self.known_failures.get(_test_of(case))
        if reason is not None:
            request.applymarker(pytest.mark.xfail(reason=reason, strict=True))

    def test_known_failures_name_cases(self, request: pytest.FixtureRequest) -> None:
        cases = {item.name for item in request.session.items if getattr(item, "cls", None) is type(self)}
        tests = {_test_of(case) for case in cases}
        stale = [name for name in self.known_failures if "[" in name and name not in cases and _test_of(name) in tests]
        assert stale == [], f"no case is named {', '.join(stale)}; take it out of known_failures"

    def test_declared_features_can_be_held(self) -> None:
        beyond = sorted(component(self.plugin, self.config).spec.features - self.capabilities)
        assert beyond == [], f"this suite cannot hold a component to {', '.join(beyond)}; do not declare it"


def check_known(suite: type[Suite], known: Mapping[str, str]) -> None:
    """Raise `ValueError` if `known` names a test that `suite` has not, or gives no reason."""
    for problem in _problems(suite, known):
        raise ValueError(f"known failures of {suite.__name__}: {problem}")


def _problems(suite: type[Suite], known: Mapping[str, str]) -> Iterator[str]:
    for name, reason in known.items():
        if not _test_of(name).startswith("test_") or not callable(getattr(suite, _test_of(name), None)):
            yield f"there is no {_test_of(name)}"
        if not isinstance(reason, str) or not reason.strip():
            yield f"{name} has no reason"


def _test_of(case: str) -> str:
    return case.partition("[")[0]
