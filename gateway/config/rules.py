"""`rules:`, `allow:` and `deny:`: conditions and trees, read into the records that decide."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from gateway.config.conditions import READERS
from gateway.config.document import Entry, Fields, Items, Node, Place, Text, kind_of
from gateway.config.readers import BOOLEAN, text_of
from gateway.config.reading import Reading, Unreadable, attempt, attempt_each, nearest
from gateway.policy.expressions import VARIABLES, Expression, ExpressionError, compile_expression
from gateway.policy.rules import AllOf, AnyOf, Authenticated, EmailDomain, Named, Not, Rule, Unenforced, When

SUBDOMAINS = "include_subdomains"
ENFORCE = "enforce"
KEYS = (*READERS, SUBDOMAINS, "any", "all", "not", "when", ENFORCE)
_MAX_NAMES_DEEP = 16
_FORMS = "authenticated, a rule such as {email_domain: yourcompany.com}, the name of a rule, or a list of these"
_UNKNOWN = re.compile(r"undeclared reference to '([^']+)'")


@dataclass(frozen=True, slots=True)
class _Scope:
    """Where a rule stands: the captures it may use, and the named rules on the way to it."""

    captures: frozenset[str]
    names: tuple[str, ...] = ()


class RuleReader:
    """Reads the rules of one file. A named rule is read once for each set of captures that it meets."""

    def __init__(self, named: Mapping[str, Node], reading: Reading) -> None:
        self.used: set[str] = set()
        self._named = named
        self._reading = reading
        self._known: dict[tuple[str, frozenset[str]], Named | None] = {}
        self._expressions: dict[tuple[str, frozenset[str]], Expression] = {}

    def alternatives(self, node: Node, captures: frozenset[str]) -> tuple[Rule, ...]:
        """Return the rules of an `allow` or a `deny`, of which one must hold. Raises `Unreadable`."""
        return self._alternatives(node, _Scope(captures))

    def check_unused(self, captures: frozenset[str]) -> tuple[str, ...]:
        """Return the named rules that no route uses, after reading them: their mistakes count as well."""
        unused = tuple(name for name in self._named if name not in self.used)
        for name in unused:
            if name not in self.used:  # by another unused one, meanwhile
                attempt(self._by_name, name, _Scope(captures))
        return unused

    def _alternatives(self, node: Node, scope: _Scope) -> tuple[Rule, ...]:
        if not isinstance(node, Items):
            return (self._rule(node, scope),)
        if not node.members:
            self._reading.refuse(node, f"found an empty list, which is no rule, expected {_FORMS}")
        return attempt_each(self._rule, node.members, scope)

    def _rule(self, node: Node, scope: _Scope) -> Rule:
        match node:
            case Text():
                return self._word(node, scope)
            case Fields(entries=()):
                self._reading.refuse(node, f"found an empty rule, which everybody would meet, expected {_FORMS}")
            case Fields():
                return self._conditions(node, scope)
            case Items():
                self._reading.refuse(node, "found a list in a list, expected a rule ({any: [...]} or {all: [...]})")

    def _word(self, node: Text, scope: _Scope) -> Rule:
        word = text_of(node, self._reading, _FORMS).text
        if word == "authenticated":
            return Authenticated()
        if word in self._named:
            if word in scope.names:
                way = " -> ".join((*scope.names[scope.names.index(word) :], word))
                self._reading.refuse(node, f"found a rule that leads back to itself: {way}")
            if len(scope.names) >= _MAX_NAMES_DEEP:
                self._reading.refuse(node, f"found rules that name each other more than {_MAX_NAMES_DEEP} deep")
            return self._by_name(word, scope)
        if "=>" in word:
            way = "docs/how-to/from-mastra-jwt-auth.md has functions and the rules that do the same"
            self._reading.refuse(node, f"found a function of TypeScript, expected {_FORMS}", way)
        hint = nearest(word, [*self._named, "authenticated"])
        known = f"the rules are {', '.join(self._named)}" if self._named else "there are no 'rules:' in the file"
        self._reading.refuse(node, f"unknown rule {node.shown}, expected {_FORMS}{hint}", known)

    def _by_name(self, name: str, scope: _Scope) -> Named:
        self.used.add(name)
        key = name, scope.captures
        if key not in self._known:
            inner = replace(scope, names=(*scope.names, name))
            rules = attempt(self._alternatives, self._named[name], inner)
            self._known[key] = None if rules is None else Named(name, rules[0] if len(rules) == 1 else AnyOf(rules))
        known = self._known[key]
        if known is None:  # said already, once
            raise Unreadable
        return known

    def _conditions(self, node: Fields, scope: _Scope) -> Rule:
        conditions = [entry for entry in node.entries if entry.key.text not in (SUBDOMAINS, ENFORCE)]
        self._check_subdomains(node)
        enforces = self._enforces(node, conditions)
        rules = attempt_each(self._condition, conditions, node, scope)
        # Expressions last: they cost more than comparisons.
        ordered = tuple(sorted(rules, key=lambda rule: isinstance(rule, When)))
        rule = ordered[0] if len(ordered) == 1 else AllOf(ordered)
        return rule if enforces else Unenforced(rule)

    def _enforces(self, node: Fields, conditions: Sequence[Entry]) -> bool:
        value = node.get(ENFORCE)
        if value is None:
            return True
        if not conditions:
            self._reading.refuse_at(value.key_place, f"found {ENFORCE} alone, expected conditions beside it")
        return BOOLEAN.read(value, self._reading)

    def _condition(self, entry: Entry, node: Fields, scope: _Scope) -> Rule:
        name, value = entry.key.text, entry.value
        match name:
            case "any" | "all":
                return self._tree(name, value, scope)
            case "not":
                if isinstance(value, Items):
                    self._reading.refuse(
                        value, "found a list, expected one rule (not: {any: [...]} or not: {all: [...]})"
                    )
                return Not(self._rule(value, scope))
            case "when":
                return When(self._expression(value, scope))
            case "email_domain":
                return self._email_domain(value, node)
            case _ if name in READERS:
                return READERS[name].reader.read(value, self._reading)
            case _:
                note = f"expected one of {', '.join(sorted(KEYS))}"
                hint = nearest(name, KEYS) or (
                    " (a rule's name stands alone: 'allow: NAME')" if name in self._named else ""
                )
                self._reading.refuse_at(entry.key.place, f"unknown condition{hint}", note)

    def _tree(self, name: str, value: Node, scope: _Scope) -> Rule:
        if not isinstance(value, Items) or not value.members:
            self._reading.refuse(value, f"found {kind_of(value)}, expected a list of rules")
        rules = attempt_each(self._rule, value.members, scope)
        return AnyOf(rules) if name == "any" else AllOf(rules)

    def _check_subdomains(self, node: Fields) -> None:
        below = node.get(SUBDOMAINS)
        if below is None:
            return
        BOOLEAN.read(below, self._reading)
        if node.get("email_domain") is None:
            hint = "expected 'email_domain' beside it"
            self._reading.refuse_at(below.key_place, f"found {SUBDOMAINS} alone, {hint}")

    def _email_domain(self, value: Node, node: Fields) -> Rule:
        rule = READERS["email_domain"].reader.read(value, self._reading)
        below = node.get(SUBDOMAINS)
        if isinstance(rule, EmailDomain) and below is not None:
            return replace(rule, include_subdomains=BOOLEAN.read(below, self._reading))
        return rule

    def _expression(self, node: Node, scope: _Scope) -> Expression:
        text = text_of(node, self._reading, "a CEL expression, such as 'editor' in user.roles")
        key = text.text, scope.captures
        if key not in self._expressions:
            try:
                self._expressions[key] = compile_expression(text.text, sorted(scope.captures))
            except ExpressionError as problem:
                said = "the expression is no valid CEL" if text.is_replaced else _words(problem, scope)
                self._reading.refuse_at(self._place(text, problem), said)
        return self._expressions[key]

    def _place(self, node: Text, problem: ExpressionError) -> Place:
        """Return the place in the file of a place in an expression."""
        lines = node.text.split("\n")
        if node.is_replaced or not 0 < problem.line <= len(lines):
            return node.place
        offset = sum(len(line) + 1 for line in lines[: problem.line - 1]) + problem.column - 1
        unknown = _UNKNOWN.search(str(problem))
        if unknown is not None:  # CEL points at the dot of `user.emial`
            begin = node.text.rfind(unknown[1], 0, offset + len(unknown[1]))
            offset = begin if begin >= 0 else offset
        return self._reading.place_in(node, min(offset, len(node.text)))


def _words(problem: ExpressionError, scope: _Scope) -> str:
    said = str(problem)
    unknown = _UNKNOWN.search(said)
    if unknown is not None:
        known = [*VARIABLES, *sorted(scope.captures)]
        captures = f" and {', '.join(sorted(scope.captures))}" if scope.captures else ""
        roots = sorted({name.partition(".")[0] for name in VARIABLES})
        hint = nearest(unknown[1], known) or f" (known are {', '.join(roots)}{captures})"
        return f"unknown name '{unknown[1]}' in the expression{hint}"
    if "mismatched input '<EOF>'" in said or "no viable alternative at input '<EOF>'" in said:
        return "the expression ends too early"
    if said.startswith("the "):  # its own words: a result that is no boolean
        return said
    return f"the expression is no valid CEL: {said.partition(' expecting {')[0].removeprefix('Syntax error: ')}"
