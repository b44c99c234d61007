"""One file, read whole: a `Config` out of it, or every mistake with its place."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from gateway.config import observing, server
from gateway.config.addresses import is_same_place
from gateway.config.audit import AUDIT
from gateway.config.budget_lint import lint_budgets
from gateway.config.budgets import BUDGETS, Budgets, budgets_of
from gateway.config.cases import TESTS
from gateway.config.decisions import DECISIONS
from gateway.config.digest import digest_of
from gateway.config.document import ConfigError, Fields, Node, Place, Problem, Source, Text
from gateway.config.env_file import surroundings_of
from gateway.config.header_names import header_rules
from gateway.config.lint import lint
from gateway.config.lists import check_name
from gateway.config.login import LOGIN, read_login, with_sessions
from gateway.config.mastra_lint import lint_mastra
from gateway.config.model import Address, Config, Limits, Log
from gateway.config.own_routes import own_routes
from gateway.config.owners import with_owners
from gateway.config.parse import decode, parse
from gateway.config.preset_lint import lint_presets
from gateway.config.readers import Mistake
from gateway.config.reading import ReadFile, Reading, Unreadable, attempt
from gateway.config.records import Values
from gateway.config.revoked import REVOKED_FILE, read_revoked_file
from gateway.config.routes import Known, ReadRoute, captures_of, read_routes
from gateway.config.rules import RuleReader
from gateway.config.sections import FILE_RECORD, PROVIDERS, ROUTES, RULES, UPSTREAM, UPSTREAMS
from gateway.config.shared import SHARED
from gateway.config.streams import OF_ALL, read_streams
from gateway.policy.budgets import Budget
from gateway.policy.fields import TRACE
from gateway.policy.login import Login
from gateway.policy.providers import Provider
from gateway.policy.revocation import RevocationList, Revoked
from gateway.policy.routes import Policy
from gateway.policy.upstreams import Upstream

_DEFAULT_LISTEN = Address("0.0.0.0", 8080)  # noqa: S104  # the public port
_DEFAULT_ADMIN = Address("127.0.0.1", 9090)
_DEFAULT_DRAIN_SECONDS = 30.0
_NEVER = 1_000_000  # collections of the middle generation before one of all


def load(path: Path, environment: Mapping[str, str]) -> Config:
    """Return the configuration of a file; `.env` beside it adds to the environment.

    Raises `ConfigError` with every mistake, or why it cannot be read.
    """
    try:
        data = path.read_bytes()
    except OSError as problem:
        said = f"the file cannot be read: {problem.strerror or type(problem).__name__}"
        raise ConfigError([Problem(str(path), 0, 0, "", said)]) from None
    around = surroundings_of(path, environment)
    try:
        with _without_full_collections():
            config = load_text(decode(str(path), data), str(path), around.variables, folder=path.parent)
    except ConfigError as mistakes:
        raise ConfigError([*around.problems, *mistakes.problems]) from None
    if around.problems:
        raise ConfigError(around.problems)
    return replace(config, sources=(path, *around.watched, *config.sources))


@contextlib.contextmanager
def _without_full_collections() -> Iterator[None]:
    """Leave out the collections of all generations while a tree grows, none of which is garbage; young ones go on.

    For 10,000 routes there are several, a quarter of the time, and each stops every thread for a tenth of a second.
    """
    thresholds = gc.get_threshold()
    gc.set_threshold(*thresholds[:2], _NEVER)
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)


def load_text(
    text: str,
    file_name: str,
    environment: Mapping[str, str],
    read_file: ReadFile = Path.read_bytes,
    folder: Path = Path(),
) -> Config:
    """Return the configuration of a text. Relative paths in it begin at `folder`. Raises `ConfigError`."""
    reading = Reading(Source(file_name, text), environment, folder, read_file)
    config = attempt(_read, text, reading)
    if config is None or not reading.is_clean:
        raise reading.error_of_typescript() or reading.error()
    return config


def _read(text: str, reading: Reading) -> Config:
    root = parse(text, reading)
    values = FILE_RECORD.read(root, reading)
    rules = RuleReader(_named_rules(values, reading), reading)
    upstreams = _upstreams(values, rules, reading)
    providers = attempt(_providers, values)
    login = attempt(_login, values, providers, reading)
    if login is not None and providers is not None:
        own = providers[login.provider]
        providers = {**providers, login.provider: with_sessions(own, login) if own is not None else None}
    budgets = Budgets(_budgets(values, providers))
    revoked_file, revoked = _revoked(values, providers or {}, reading)
    streams = attempt(read_streams, values, REVOKED_FILE in values or login is not None, reading) or OF_ALL
    known = Known(providers, upstreams, rules, budgets, login, LOGIN in values, streams)
    routes = _routes(values, known, reading)
    routes = with_owners(routes, reading)
    routes += own_routes(routes, login, reading)
    unused = rules.check_unused(captures_of(routes))
    _check_ports(values, reading)
    if not reading.is_clean:
        raise Unreadable
    own_trace = TRACE if values.get(observing.TRACES) == "opentelemetry" else ()
    rules_of_headers = header_rules(values, upstreams or {}, providers or {}, own_trace, reading)
    policy = Policy([read.route for read in routes], rules_of_headers, login)
    policy.revoked = Revoked(revoked) if revoked.entries else None
    lint(values, routes, unused, reading)
    lint_presets(routes, reading)
    lint_budgets(values, budgets, reading)
    lint_mastra(routes, reading)
    default_limits = Limits()
    return Config(
        listen=values.get(server.LISTEN, _DEFAULT_LISTEN),
        admin=values.get(server.ADMIN, _DEFAULT_ADMIN),
        tls=values.get(server.TLS),
        workers=values.get(server.WORKERS, 1) or server.count_cores(),
        trusted_proxies=values.get(server.TRUSTED_PROXIES, ()),
        limits=values.get(server.LIMITS, default_limits),
        drain_timeout_seconds=values.get(server.DRAIN_TIMEOUT, _DEFAULT_DRAIN_SECONDS),
        strip_headers=values.get(server.STRIP_HEADERS, ()),
        upstreams=tuple(upstream for upstream in (upstreams or {}).values() if upstream is not None),
        providers=tuple(provider for provider in (providers or {}).values() if provider is not None),
        policy=policy,
        cors=values.get(server.CORS),
        warnings=reading.warnings,
        sources=tuple(reading.files),
        tests=values.get(TESTS, ()),
        log=values.get(observing.LOG, Log()),
        admin_hosts=values.get(observing.ADMIN_HOSTS, ()),
        # The variable is for an operator at night, and for running every test on both wires.
        express=values.get(server.EXPRESS, True) and reading.environment.get("GATEWAY_EXPRESS") != "off",
        traces=values.get(observing.TRACES, "pass"),
        decisions=values.get(DECISIONS),
        drain_delay_seconds=values.get(server.DRAIN_DELAY, 0.0),
        expansions=tuple(reading.expansions),
        shared=values.get(SHARED),
        budgets=tuple(one for one in (budgets.known or {}).values() if one is not None),
        audit=values.get(AUDIT),
        digest=digest_of(root, filter(None, (providers or {}).values()), reading.judged_by),
        revoked_file=revoked_file,
    )


def _revoked(
    values: Values, providers: Mapping[str, Provider | None], reading: Reading
) -> tuple[Path | None, RevocationList]:
    said = values.get(REVOKED_FILE)
    return (None if said is None else attempt(read_revoked_file, said, providers, reading)) or (None, RevocationList())


def _upstreams(values: Values, rules: RuleReader, reading: Reading) -> Mapping[str, Upstream | None] | None:
    if UPSTREAM in values and UPSTREAMS in values:
        reading.add(values.key_place(UPSTREAM), "found upstream and upstreams, expected one of them")
        return None
    if UPSTREAM in values:
        url = values.get(UPSTREAM)
        return {"default": Upstream("default", url) if url is not None else None}
    if UPSTREAMS in values:
        found = values.get(UPSTREAMS)
        if found is None:
            return None
        if not found:
            reading.add(
                values.key_place(UPSTREAMS), "found no upstream, expected at least one: mastra: {url: http://...}"
            )
            return None
        return {name: attempt(one.complete, name, rules, reading) if one else None for name, one in found.items()}
    if not {UPSTREAM.name, UPSTREAMS.name} & values.broken:
        reading.add(Place(1, 1, ""), "no upstream is named, expected 'upstream: http://localhost:4111' or 'upstreams:'")
    return None


def _providers(values: Values) -> Mapping[str, Provider | None]:
    if PROVIDERS.name in values.broken:
        raise Unreadable
    found = values.get(PROVIDERS) or {}
    return {name: replace(one, name=name) if one else None for name, one in found.items()}


def _budgets(values: Values, providers: Mapping[str, Provider | None] | None) -> Mapping[str, Budget | None] | None:
    if BUDGETS.name in values.broken:
        return None
    return budgets_of(values.get(BUDGETS), (providers or {}).values())


def _login(values: Values, providers: Mapping[str, Provider | None] | None, reading: Reading) -> Login | None:
    said = values.get(LOGIN)
    if said is None or providers is None:
        return None
    return read_login(said, providers, reading)


def _named_rules(values: Values, reading: Reading) -> dict[str, Node]:
    node = values.get(RULES)
    if node is None:
        return {}
    if not isinstance(node, Fields):
        attempt(reading.refuse, node, "found something else, expected names, each with a rule")
        return {}
    for entry in node.entries:
        _check_rule_name(entry.key, reading)
    return {entry.key.text: entry.value for entry in node.entries}


def _check_rule_name(key: Text, reading: Reading) -> None:
    try:
        check_name(key.text)
        if key.text == "authenticated":
            raise Mistake("found the name 'authenticated', which means any token that counts, expected another")
    except Mistake as mistake:
        reading.add(key.place, str(mistake))


def _routes(values: Values, known: Known, reading: Reading) -> tuple[ReadRoute, ...]:
    node = values.get(ROUTES)
    if node is not None:
        return attempt(read_routes, node, known, reading) or ()
    if ROUTES.name not in values.broken:
        reading.add(Place(1, 1, ""), "'routes' is missing, expected at least one: /api: {provider: ..., allow: ...}")
    return ()


def _check_ports(values: Values, reading: Reading) -> None:
    listen, admin = values.get(server.LISTEN, _DEFAULT_LISTEN), values.get(server.ADMIN, _DEFAULT_ADMIN)
    if is_same_place(listen, admin):
        field = server.ADMIN if server.ADMIN in values else server.LISTEN
        hint = "expected another port: health and metrics are not for the public"
        reading.add(values.node(field).place, f"listen and admin are both on port {listen.port}, {hint}")
    decisions = values.get(DECISIONS)
    for other, name in ((listen, "listen"), (admin, "admin")):
        if decisions is not None and is_same_place(decisions.listen, other):
            found = f"decisions and {name} are both on {decisions.where}, expected a socket or port of its own"
            reading.add(values.node(DECISIONS).place, found)
