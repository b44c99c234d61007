"""What a step raises that says no. Of all exceptions of a decision only these exist."""

from __future__ import annotations

from dataclasses import dataclass

from mypy_extensions import mypyc_attr

from gateway.policy.reasons import Reason


@dataclass(frozen=True, slots=True)
class StepUp:
    """What a client asks its authorization server for, to be let in: RFC 9470 section 3."""

    max_age_seconds: int | None
    acr_values: tuple[str, ...]


@mypyc_attr(allow_interpreted_subclasses=True)
class Denied(Exception):
    """Raised by a step that says no. `detail` is for our log, never for the client."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__()
        self.reason = reason
        self.detail = detail
        self.provider: str | None = None  # whose token it was, once that is known
        self.rule: str | None = None  # what of the file refused, as it is called there

    def __str__(self) -> str:
        return f"{self.reason.code}: {self.detail}"


class MethodNotAllowed(Denied):
    """Routes cover the path, none of them the method."""

    def __init__(self, allowed: tuple[str, ...]) -> None:
        super().__init__(Reason.METHOD_NOT_ALLOWED, f"the path takes {', '.join(allowed)}")
        self.allowed = allowed


class LoginFailed(Denied):
    """A login that was begun at a page of ours led to no session. `page` is a path: there one may begin anew."""

    def __init__(self, cause: Denied, page: str) -> None:
        super().__init__(cause.reason, cause.detail)
        self.page = page


class DeniedByRules(Denied):
    """A rule said no. `rule` names it as the file does; `scopes` are those that alone are missing (RFC 6750).

    `step_up` is the login that alone is missing (RFC 9470).
    """

    def __init__(
        self, reason: Reason, detail: str, rule: str, scopes: tuple[str, ...] = (), step_up: StepUp | None = None
    ) -> None:
        super().__init__(reason, detail)
        self.rule = rule
        self.scopes = scopes
        self.step_up = step_up
