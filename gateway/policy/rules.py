"""Rules: conditions about a verified caller and the request, and trees of them.

A condition holds (True), does not hold (False) or cannot be decided (None): a missing claim, a wrong type, another
spelling, an error inside an expression. `allow` asks for True, `deny` passes only on False, so what is unclear closes
the door on both sides, also below `not`. The three values combine as in Kleene's logic.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from gateway.policy.addresses import Network, is_within
from gateway.policy.claim_names import claim_at
from gateway.policy.expressions import Expression, Facts
from gateway.policy.freshness import Fresh, is_fresh, login_may_do
from gateway.policy.likeness import Value, is_alike, is_same, some_alike
from gateway.policy.mastra_roles import MastraPermission, MastraRole, asks_mastra_permission, has_mastra_role
from gateway.policy.paths import is_under


@dataclass(frozen=True, slots=True)
class Authenticated:
    """`allow: authenticated`: any verified token."""


@dataclass(frozen=True, slots=True)
class EmailDomain:
    """The email's domain is one of these (lower case, IDNA), or with `include_subdomains` below one of them."""

    domains: frozenset[str]
    include_subdomains: bool = False


@dataclass(frozen=True, slots=True)
class Equals:
    """A single fact of the principal equals one of these. For `email` the domain is compared in any case."""

    fact: Literal["email", "subject", "organization", "client", "kind", "actor"]
    values: frozenset[str]


@dataclass(frozen=True, slots=True)
class HasAny:
    """The principal has at least one of these roles or groups."""

    fact: Literal["roles", "groups"]
    values: frozenset[str]


@dataclass(frozen=True, slots=True)
class HasAll:
    """The principal has every one of these scopes or permissions."""

    fact: Literal["scopes", "permissions"]
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Claim:
    """A claim equals one of `values`, or is an array that contains one.

    `steps` is the way to it: one literal name, or the reference tokens of a JSON Pointer (RFC 6901).
    """

    name: str  # as written
    steps: tuple[str, ...]
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class MethodIs:
    """The request's method is one of these."""

    methods: frozenset[str]


@dataclass(frozen=True, slots=True)
class PathUnder:
    """The path is one of these prefixes or below it, cut at segment borders.

    Undecided where only a laxer server would read it so: `/a/Admin` is not clearly beside `/a/admin`.
    """

    prefixes: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class AddressIn:
    """The client's address is in one of these networks."""

    networks: tuple[Network, ...]


@dataclass(frozen=True, slots=True)
class When:
    """A CEL expression is true."""

    expression: Expression


@dataclass(frozen=True, slots=True)
class AllOf:
    """Every rule holds. One rule of the file with several conditions is this, too."""

    rules: tuple[Rule, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """At least one rule holds."""

    rules: tuple[Rule, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """The rule does not hold, which is more than that it cannot be decided."""

    rule: Rule


@dataclass(frozen=True, slots=True)
class Named:
    """A rule of the file's `rules:`, by its name."""

    name: str
    rule: Rule


@dataclass(frozen=True, slots=True)
class Unenforced:
    """A rule with `enforce: false`: what it says is logged and counted, and stops nobody."""

    rule: Rule


Granted = Literal["", "scopes", "login"]
Condition = (
    Authenticated | EmailDomain | Equals | HasAny | HasAll | Claim | MethodIs | PathUnder | AddressIn | When | Fresh
    | MastraRole | MastraPermission
)  # fmt: skip
Rule = Condition | AllOf | AnyOf | Not | Named | Unenforced


def evaluate(rule: Rule, facts: Facts, *, granted: Granted = "", unenforced: bool | None = None) -> bool | None:
    """Return True if the rule holds, False if not, None if it cannot be decided.

    With "scopes" `granted` the caller is taken to have every scope: what a refusal then says is that only scopes
    are missing (RFC 6750 section 3.1, insufficient_scope); with "login" to have logged in just now (RFC 9470).
    `unenforced` is what a rule with `enforce: false` counts as: None for what it says, else what keeps it from
    refusing, True in `allow` and False in `deny`. Never raises.
    """
    holds = CONDITIONS.get(type(rule))
    if holds is not None and not granted:
        return holds(rule, facts)
    match rule:
        case AllOf(rules):
            return _all(rules, facts, granted, unenforced)
        case AnyOf(rules):
            return _any(rules, facts, granted, unenforced)
        case Not(inner):
            # Below `not` what is granted would turn into its opposite: there all is what it is.
            harmless = None if unenforced is None else not unenforced
            verdict = evaluate(inner, facts, unenforced=harmless)
            return None if verdict is None else not verdict
        case Named(_, inner):
            return evaluate(inner, facts, granted=granted, unenforced=unenforced)
        case Unenforced(inner):
            return evaluate(inner, facts, granted=granted) if unenforced is None else unenforced
        case HasAll(fact="scopes") if granted == "scopes":
            return True
        case Fresh() if granted == "login":
            return login_may_do(rule, facts)
        case _:
            return CONDITIONS[type(rule)](rule, facts)


def rules_within(rule: Rule) -> Iterator[Rule]:
    """Yield a rule and everything inside it."""
    yield rule
    match rule:
        case AllOf(rules) | AnyOf(rules):
            for member in rules:
                yield from rules_within(member)
        case Named(_, inner) | Not(inner) | Unenforced(inner):
            yield from rules_within(inner)


def _email_domain(condition: EmailDomain, facts: Facts) -> bool | None:
    domain, domains = facts.principal.email_domain, condition.domains
    if domain is None:
        return None
    if domain in domains:
        return True
    # Cut at a dot, or `evil-example.com` would be below `example.com`.
    return condition.include_subdomains and any(domain.endswith(f".{name}") and domain[0] != "." for name in domains)


def _equals(condition: Equals, facts: Facts) -> bool | None:
    single = getattr(facts.principal, condition.fact)
    if single is None:
        return False if condition.fact == "actor" else None  # nobody acts: tokens say so by their silence
    if condition.fact == "email":
        is_one = _same_email(single) in map(_same_email, condition.values)
    else:
        is_one = single in condition.values
    return is_one or (None if is_alike(single, condition.values) else False)


def _has_any(condition: HasAny, facts: Facts) -> bool | None:
    several = getattr(facts.principal, condition.fact)
    if several is None:
        return None
    return not condition.values.isdisjoint(several) or (None if some_alike(several, condition.values) else False)


def _has_all(condition: HasAll, facts: Facts) -> bool | None:
    several = getattr(facts.principal, condition.fact)
    if several is None:
        return None
    missing = set(condition.values) - set(several)
    return not missing or (None if all(some_alike(several, (one,)) for one in missing) else False)


# Loops, so that a rule behind one that decides is not asked: compiled, a generator is a list.
def _all(rules: Sequence[Rule], facts: Facts, granted: Granted, unenforced: bool | None) -> bool | None:
    undecided = False
    for rule in rules:
        verdict = evaluate(rule, facts, granted=granted, unenforced=unenforced)
        if verdict is False:
            return False
        undecided = undecided or verdict is None
    return None if undecided else True


def _any(rules: Sequence[Rule], facts: Facts, granted: Granted, unenforced: bool | None) -> bool | None:
    undecided = False
    for rule in rules:
        verdict = evaluate(rule, facts, granted=granted, unenforced=unenforced)
        if verdict is True:
            return True
        undecided = undecided or verdict is None
    return None if undecided else False


def _some(verdicts: Sequence[bool | None]) -> bool | None:
    return True if True in verdicts else None if None in verdicts else False


def _same_email(email: str) -> str:
    local, _, domain = email.rpartition("@")
    return f"{local}@{domain.lower()}"


def _claim_is(claims: Any, steps: tuple[str, ...], wanted: tuple[Value, ...]) -> bool | None:
    is_there, value = claim_at(claims, steps)
    if not is_there:
        return None
    members = value if isinstance(value, list) else [value]
    return _some([is_same(member, one) for member in members for one in wanted])


def _method_is(methods: frozenset[str], method: str) -> bool | None:
    """Return whether a method is one of these; HEAD is GET's own, without the body (RFC 9110 section 9.3.2)."""
    if method in methods or (method == "HEAD" and "GET" in methods):
        return True
    return None if method.upper() in methods else False


# By their type: a `match` over ten classes would cost a request as much as the rest of its rules.
CONDITIONS: Final[dict[type, Callable[[Any, Facts], bool | None]]] = {
    Authenticated: lambda condition, facts: True,
    EmailDomain: _email_domain,
    Equals: _equals,
    HasAny: _has_any,
    HasAll: _has_all,
    Claim: lambda condition, facts: _claim_is(facts.principal.claims, condition.steps, condition.values),
    MethodIs: lambda condition, facts: _method_is(condition.methods, facts.head.method),
    PathUnder: lambda condition, facts: _some([is_under(facts.path.segments, one) for one in condition.prefixes]),
    AddressIn: lambda condition, facts: is_within(facts.head.client_ip, condition.networks),
    When: lambda condition, facts: condition.expression.holds(facts),
    Fresh: is_fresh,
    MastraRole: has_mastra_role,
    MastraPermission: asks_mastra_permission,
}
