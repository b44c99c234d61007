"""Reading configuration texts in tests: the config of one, or its mistakes, one line each."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path

from gateway.config.document import ConfigError
from gateway.config.file import load_text
from gateway.config.model import Config
from gateway.policy.routes import Route

SECRET = "wohYeequ8aish4ahQuoo4aiPh7aish2eeF0"
ALL_TYPES = (
    "jwt, clerk, auth0, oidc, keys, google, entra, okta, keycloak, cognito, supabase, firebase, workos or better_auth"
)
BASE = {
    "upstream": "upstream: http://localhost:4111",
    "providers": f"providers: {{jobs: {{type: jwt, secret: {SECRET}}}}}",
    "routes": "routes: {/api: {provider: jobs, allow: authenticated}}",
}


def no_file(path: Path) -> bytes:
    raise FileNotFoundError(2, "No such file or directory", str(path))


def files(**contents: bytes) -> Mapping[str, bytes]:
    return contents


def read(text: str, environment: Mapping[str, str] | None = None, mounted: Mapping[str, bytes] | None = None) -> Config:
    """Return the configuration of a text. `mounted` are files by name."""

    def read_file(path: Path) -> bytes:
        return mounted[path.name] if mounted and path.name in mounted else no_file(path)

    return load_text(textwrap.dedent(text), "gateway.yaml", environment or {}, read_file=read_file)


def mistakes(
    text: str, environment: Mapping[str, str] | None = None, mounted: Mapping[str, bytes] | None = None
) -> list[str]:
    """Return the headline of every mistake, without the file's name: `12:7: routes./api.alow: unknown key ...`."""
    try:
        read(text, environment, mounted)
    except ConfigError as error:
        return [problem.headline.removeprefix("gateway.yaml:") for problem in error.problems]
    return []


def full(text: str, environment: Mapping[str, str] | None = None) -> str:
    """Return everything that is printed about a text with mistakes."""
    try:
        read(text, environment)
    except ConfigError as error:
        return str(error)
    return ""


def file_with(**sections: str) -> str:
    """Return a whole file, with sections replaced or added: `routes="routes: {...}"`. An empty one leaves it out."""
    return "\n".join(textwrap.dedent(section) for section in (BASE | sections).values() if section) + "\n"


def only_route(rule: str, **sections: str) -> Route:
    """Return the route of a file whose only one has this `allow`."""
    routes = f"routes: {{/api: {{provider: jobs, allow: {rule}}}}}"
    return read(file_with(routes=routes, **sections)).policy.routes[0]
