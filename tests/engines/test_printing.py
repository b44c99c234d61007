"""What `gateway compile` prints for each engine, and what it refuses: no engine is needed here."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.commands.main import run_command
from gateway.config.file import load
from gateway.config.places import Places
from gateway.engines.plan import plan_of
from gateway.engines.printing import PRINTERS, print_engine
from gateway.proxy.told import Told
from tests.minting import SECRET

ENVIRONMENT = {"SECRET": SECRET.decode(), "GATEWAY_ENV_FILE": "off"}
FILE = """\
listen: 0.0.0.0:8080
decisions: {listen: 'unix:/run/gateway/decide.sock'}
upstreams:
  mastra:
    url: http://mastra.internal:4111
    identity: {headers: {X-Auth-Email: email}}
providers:
  jobs: {type: jwt, secret: "${SECRET}"}
strip_headers: [Remote-User, X-User-*]
routes:
  /api: {provider: jobs, allow: authenticated}
"""
TCP = FILE.replace("'unix:/run/gateway/decide.sock'", "'127.0.0.1:9191'")
NGINX, ENVOY, HAPROXY, CADDY, TRAEFIK = "nginx", "envoy", "haproxy", "caddy", "traefik"


def text_for(engine: str) -> str:
    """Return a file that an engine can be told."""
    return TCP if engine == TRAEFIK else FILE


def printed(engine: str, text: str, folder: Path) -> dict[str, str]:
    """Return what is printed, by the files' names. Fails if something was objected to."""
    file = folder / "gateway.yaml"
    file.write_text(text, encoding="utf-8")
    places = Places(file, ENVIRONMENT)
    files = print_engine(engine, plan_of(load(file, ENVIRONMENT), head=["from a test"]), places)
    assert places.error() is None, places.error()
    return {one.name: one.text for one in files}


def objections(engine: str, text: str, folder: Path) -> list[tuple[int, int, str, str]]:
    """Return line, column, path and message of each thing that an engine cannot do."""
    file = folder / "gateway.yaml"
    file.write_text(text, encoding="utf-8")
    places = Places(file, ENVIRONMENT)
    print_engine(engine, plan_of(load(file, ENVIRONMENT), head=[]), places)
    mistakes = places.error()
    return [(one.line, one.column, one.path, one.message) for one in mistakes.problems] if mistakes else []


@pytest.mark.parametrize("engine", PRINTERS)
def test_every_file_says_what_it_is_and_which_version_it_needs(engine: str, tmp_path: Path) -> None:
    for text in printed(engine, text_for(engine), tmp_path).values():
        first, *_ = text.splitlines()
        assert first in ("# from a test", "-- from a test")
        assert re.search(r"Needs \w+ [0-9.]+ or later", text)


@pytest.mark.parametrize("engine", PRINTERS)
def test_the_same_file_is_printed_the_same(engine: str, tmp_path: Path) -> None:
    assert printed(engine, text_for(engine), tmp_path) == printed(engine, text_for(engine), tmp_path)


@pytest.mark.parametrize("engine", PRINTERS)
def test_every_told_name_is_taken_from_the_decision_and_every_stripped_one_goes(engine: str, tmp_path: Path) -> None:
    whole = "\n".join(printed(engine, text_for(engine), tmp_path).values()).lower()
    config = load(tmp_path / "gateway.yaml", ENVIRONMENT)
    names = Told(config.policy.header_rules, config.upstreams)
    assert "X-Auth-Email" in names.told
    for name in names.told:
        assert name.lower() in whole, name
    if engine != ENVOY:  # to Envoy each decision names them
        for name in names.stripped:
            assert name.lower() in whole, name


@pytest.mark.parametrize("engine", PRINTERS)
def test_no_secret_is_printed(engine: str, tmp_path: Path) -> None:
    assert SECRET.decode() not in str(printed(engine, text_for(engine), tmp_path))


@pytest.mark.parametrize("engine", PRINTERS)
def test_websockets_pass_only_where_a_route_has_them(engine: str, tmp_path: Path) -> None:
    text = text_for(engine)
    without = str(printed(engine, text, tmp_path))
    with_them = str(
        printed(engine, text.replace("allow: authenticated", "allow: authenticated, websocket: true"), tmp_path)
    )
    mark = {
        NGINX: 'websocket[ \\\\t]*$" websocket', ENVOY: "upgrade_type: websocket", HAPROXY: "if true and upgrade",
        CADDY: "@websocket", TRAEFIK: "gateway-websocket",
    }[engine]  # fmt: skip
    assert (mark in without, mark in with_them) == (False, True)


def test_nginx_asks_before_it_passes_on_and_passes_on_what_it_was_told(tmp_path: Path) -> None:
    [text] = printed(NGINX, FILE, tmp_path).values()
    root = re.search(r"location / \{(.*?)\n        \}", text, re.DOTALL)
    assert root is not None
    assert "auth_request /.well-known/gateway-decision;" in root[1]
    assert "proxy_pass" not in root[1]
    assert "error_page 500 502 503 504 = @gateway_undecided;" in root[1]
    assert "proxy_pass http://gateway_to_mastra$gateway_target;" in text
    assert "default @gateway_undecided;" in text
    assert "server unix:/run/gateway/decide.sock" in text
    for line in ("proxy_buffering off;", "proxy_request_buffering off;", "proxy_read_timeout 6s;", "internal;"):
        assert line in text


def _envoy(text: str, folder: Path) -> Any:
    return yaml.safe_load(printed(ENVOY, text, folder)["envoy.yaml"])["static_resources"]


def test_envoy_fails_closed_and_asks_for_all_fields(tmp_path: Path) -> None:
    found = _envoy(FILE, tmp_path)
    manager = found["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    authz = manager["http_filters"][0]["typed_config"]
    assert authz["failure_mode_allow"] is False
    assert authz["status_on_error"] == {"code": "ServiceUnavailable"}
    assert authz["validate_mutations"] is authz["encode_raw_headers"] is authz["clear_route_cache"] is True
    assert authz["http_service"]["server_uri"]["timeout"] == "6s"
    assert authz["allowed_headers"] == {"patterns": [{"safe_regex": {"regex": ".*"}}]}
    assert manager["common_http_protocol_options"]["headers_with_underscores_action"] == "REJECT_REQUEST"
    assert (manager["use_remote_address"], manager["skip_xff_append"]) == (True, True)
    *told, last = manager["route_config"]["virtual_hosts"][0]["routes"]
    assert [route["route"]["cluster"] for route in told] == ["gateway_to_mastra"]
    assert all(route["match"]["headers"][0]["name"] == "x-gateway-upstream" for route in told)
    assert last["direct_response"]["status"] == 503
    decisions = found["clusters"][0]
    assert decisions["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"] == {
        "pipe": {"path": "/run/gateway/decide.sock"}
    }
    assert decisions["outlier_detection"]["split_external_local_origin_errors"] is True
    again = authz["http_service"]["retry_policy"]
    assert [one["name"] for one in again["retry_host_predicate"]] == ["envoy.retry_host_predicates.previous_hosts"]


def test_envoy_takes_as_many_streams_as_there_may_be_clients(tmp_path: Path) -> None:
    # By default it refuses the 1,025th to a server, and tries three again at a time.
    for cluster in _envoy(f"limits: {{connections: 2000}}\n{FILE}", tmp_path)["clusters"]:
        (thresholds,) = cluster["circuit_breakers"]["thresholds"]
        assert set(thresholds.values()) == {2000} and {"max_requests", "max_retries"} < set(thresholds)


def test_envoy_believes_the_scheme_of_trusted_proxies_only(tmp_path: Path) -> None:
    chains = _envoy(f"trusted_proxies: [10.0.0.0/8]\n{FILE}", tmp_path)["listeners"][0]["filter_chains"]
    trusted, everybody = (one["filters"][0]["typed_config"]["use_remote_address"] for one in chains)
    assert (trusted, everybody) == (False, True)
    assert chains[0]["filter_chain_match"]["direct_source_prefix_ranges"] == [
        {"address_prefix": "10.0.0.0", "prefix_len": 8}
    ]


def test_haproxy_denies_unless_it_was_allowed(tmp_path: Path) -> None:
    files = printed(HAPROXY, FILE, tmp_path)
    cfg, lua = files["haproxy.cfg"], files["gateway.lua"]
    for line in ("option http-no-delay", "option abortonclose", "http-request lua.gateway_decide"):
        assert line in cfg
    assert "unless { var(txn.gateway_allowed) -m str yes }" in cfg
    assert "use_backend gateway_to_%[var(txn.gateway_upstream)] if { var(txn.gateway_allowed) -m str yes }" in cfg
    allows = lua.index('txn:set_var("txn.gateway_allowed", "yes")')
    assert allows > lua.index("txn.http:req_set_uri(target)"), "the last thing that is done"
    assert "timeout = 6000" in lua


def test_caddy_takes_client_fields_away_before_it_asks(tmp_path: Path) -> None:
    [text] = printed(CADDY, FILE, tmp_path).values()
    asks = text.index("forward_auth unix//run/gateway/decide.sock {")
    for line in ("request_header -X-Auth-Email", "request_header -Remote-User", "request_header -x-user-*"):
        if "Auth-Email" not in line:
            assert text.lower().index(line.lower()) < asks
    assert "copy_headers X-Auth-Email" in text
    assert "response_header_timeout 6s" in text
    assert "flush_interval -1" in text


def test_traefik_rejects_aliases_and_believes_nobody(tmp_path: Path) -> None:
    files = {name: yaml.safe_load(text) for name, text in printed(TRAEFIK, TCP, tmp_path).items()}
    point = files["traefik.yaml"]["entryPoints"]["public"]
    assert point["http"]["aliasHeadersStrategy"] == "reject"
    assert files["traefik.yaml"]["providers"]["file"]["filename"] in files
    http = files["gateway-dynamic.yaml"]["http"]
    asks = http["middlewares"]["gateway-decision"]["forwardAuth"]
    assert (asks["address"], asks["trustForwardHeader"]) == (
        "http://127.0.0.1:9191/authz/forward~remote-user,x-auth-email",
        False,
    )
    assert "X-Auth-Email" in asks["authResponseHeaders"]
    for router in http["routers"].values():
        assert router["middlewares"][-2:] == ["gateway-decision", "gateway-after"]


# --- what an engine cannot do ---


@pytest.mark.parametrize("engine", PRINTERS)
def test_a_file_without_decisions_is_refused(engine: str, tmp_path: Path) -> None:
    text = re.sub(r"(?m)^decisions:.*\n", "", FILE)
    assert objections(engine, text, tmp_path)[0][:3] == (1, 1, "")


@pytest.mark.parametrize("engine", [CADDY, TRAEFIK])
def test_cors_is_refused_where_every_2xx_means_go_on(engine: str, tmp_path: Path) -> None:
    text = f"{text_for(engine)}cors: {{origins: ['https://app.example.com']}}\n"
    [(line, column, path, message)] = objections(engine, text, tmp_path)
    assert (line, column, path) == (text.count("\n"), 1, "cors")
    assert "preflight" in message


@pytest.mark.parametrize("engine", [ENVOY, CADDY, TRAEFIK])
def test_tokens_in_the_query_are_refused_where_it_cannot_be_rewritten(engine: str, tmp_path: Path) -> None:
    text = text_for(engine).replace('"${SECRET}"}', '"${SECRET}", token_from: [bearer, {query: token}]}')
    [(line, column, path, message)] = objections(engine, text, tmp_path)
    assert (line, column, path) == (8, 42, "providers.jobs.token_from")
    assert "query" in message


@pytest.mark.parametrize("engine", PRINTERS)
def test_an_mcp_route_is_refused_since_the_gateway_answers_beside_it(engine: str, tmp_path: Path) -> None:
    provider = "{type: oidc, issuer: https://a.example.com, audience: https://b.example.com/mcp}"
    text = text_for(engine).replace("providers:\n", f"providers:\n  mcp: {provider}\n")
    text = text.replace(
        "routes:\n", "routes:\n  /mcp: {provider: mcp, allow: authenticated, upstream: mastra, mcp: true}\n"
    )
    [(_, column, path, message)] = objections(engine, text, tmp_path)
    assert (column, path) == (65, "routes./mcp.mcp")
    assert "the gateway itself answers /.well-known/oauth-protected-resource/mcp" in message


@pytest.mark.parametrize("engine", PRINTERS)
def test_a_login_is_refused_since_an_engine_gives_no_cookies(engine: str, tmp_path: Path) -> None:
    text = text_for(engine).replace(
        "providers:\n", "providers:\n  a: {type: oidc, issuer: https://a.example.com, audience: b}\n"
    )
    text = text.replace("routes:\n", "routes:\n  /a: {provider: a, allow: authenticated, upstream: mastra}\n")
    session = f"session: {{secret: {'Quoh8eiNgeic4eiHa1iethooPh7aiD5e'}}}"
    text += f"login: {{provider: a, client_id: c, {session}, public_url: 'https://gw.example.com'}}\n"
    [(line, column, path, message)] = objections(engine, text, tmp_path)
    assert (line, column, path) == (text.count("\n"), 1, "login")
    assert "cookie" in message


@pytest.mark.parametrize("engine", PRINTERS)
def test_studio_is_refused_since_the_gateway_answers_it(engine: str, tmp_path: Path) -> None:
    text = text_for(engine).replace("providers:\n", "    studio: {allow: authenticated}\nproviders:\n")
    [(line, column, path, message)] = objections(engine, text, tmp_path)
    assert (line, column, path) == (7, 5, "upstreams.mastra.studio")
    assert "the gateway itself answers what Studio asks" in message


@pytest.mark.parametrize("engine", PRINTERS)
def test_streams_of_a_budget_are_refused_since_no_engine_says_when_one_ends(engine: str, tmp_path: Path) -> None:
    budgets = "budgets:\n  people: {per: provider, streams: 3}\nroutes:\n"
    text = text_for(engine).replace("routes:\n", budgets).replace("provider: jobs,", "provider: jobs, budget: people,")
    [(_, column, path, message)] = objections(engine, text, tmp_path)
    assert (column, path) == (27, "budgets.people.streams")
    assert "no engine says when a stream has ended" in message
    assert not objections(engine, text.replace("streams: 3", "requests: 60/1m"), tmp_path)


@pytest.mark.parametrize("engine", PRINTERS)
def test_ends_of_streams_are_refused_since_an_engine_ends_none(engine: str, tmp_path: Path) -> None:
    text = text_for(engine).replace("providers:\n", "streams: {max: 2h}\nproviders:\n")
    text = text.replace("allow: authenticated}", "allow: authenticated, streams: {heartbeat: 15s}}", 1)
    found = [one[2] for one in objections(engine, text, tmp_path)]
    assert found[0] == "streams" and len(found) == 2 and found[1].endswith(".streams")


@pytest.mark.parametrize("engine", PRINTERS)
def test_owners_are_refused_since_an_engine_sends_bodies_as_they_came(engine: str, tmp_path: Path) -> None:
    text = text_for(engine).replace("providers:\n", "    own: {by: subject}\nproviders:\n")
    [(line, column, path, message)] = objections(engine, text, tmp_path)
    assert (line, column, path) == (7, 5, "upstreams.mastra.own")
    assert "an engine sends a body as it came" in message


@pytest.mark.parametrize("engine", [ENVOY, HAPROXY, TRAEFIK])
def test_a_limit_of_bodies_is_refused_where_it_would_hold_them_back(engine: str, tmp_path: Path) -> None:
    text = f"limits: {{body_size: 5MiB}}\n{text_for(engine)}"
    assert [one[:3] for one in objections(engine, text, tmp_path)] == [(1, 10, "limits.body_size")]


def test_traefik_takes_one_upstream_and_no_socket(tmp_path: Path) -> None:
    second = "  other: {url: http://other:4111}\nproviders:"
    text = FILE.replace("providers:", second).replace(
        "authenticated}", "authenticated, upstream: mastra}\n  /other: {public: true, upstream: other}"
    )
    assert [one[:3] for one in objections(TRAEFIK, text, tmp_path)] == [
        (2, 13, "decisions.listen"),
        (7, 3, "upstreams.other"),
    ]


def test_haproxy_finds_a_key_only_beside_its_certificate(tmp_path: Path) -> None:
    from tests.server.test_server import make_certificate

    tls = make_certificate(tmp_path, "front")
    text = f"tls: {{certificate_file: '{tls.certificate_file}', key_file: '{tls.key_file}'}}\n{FILE}"
    [(line, _, path, message)] = objections(HAPROXY, text, tmp_path)
    assert (line, path) == (1, "tls.key_file")
    assert ".key" in message
    assert objections(NGINX, text, tmp_path) == []


def test_a_path_that_engines_would_read_in_their_own_way_is_refused(tmp_path: Path) -> None:
    text = FILE.replace("/run/gateway/decide.sock", "/run/my gateway/$x.sock")
    for engine in (NGINX, ENVOY, HAPROXY, CADDY):
        assert [one[2] for one in objections(engine, text, tmp_path)] == ["decisions.listen"]


def test_a_name_that_no_variable_of_nginx_can_have_is_refused(tmp_path: Path) -> None:
    text = FILE.replace("X-Auth-Email: email", "X~Email: email")
    [(line, _, path, _)] = objections(NGINX, text, tmp_path)
    assert (line, path) == (6, "upstreams.mastra.identity.headers.X~Email")


CLUSTER = FILE.replace("'unix:/run/gateway/decide.sock'", "'0.0.0.0:9191', from: [10.0.0.0/8]").replace(
    ", X-User-*", ""
)


def test_envoy_gateway_is_told_which_fields_to_send(tmp_path: Path) -> None:
    rule = """{when: 'request.headers["x-tenant"] == "a" || "x-plan" in request.headers'}"""
    (tmp_path / "gateway.yaml").write_text(CLUSTER.replace("authenticated", rule), encoding="utf-8")
    done = _run(tmp_path, "envoy", "--crd=envoy-gateway", "--decisions=gateway.mastra:9191")
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    found = yaml.safe_load(done.stdout)
    assert found["kind"] == "SecurityPolicy"
    asks = found["spec"]["extAuth"]
    assert (asks["failOpen"], asks["timeout"]) == (False, "6s")
    assert asks["http"]["backendRefs"] == [{"name": "gateway", "namespace": "mastra", "port": 9191}]
    assert {"authorization", "cookie", "origin", "x-tenant", "x-plan", "remote-user"} <= set(asks["headersToExtAuth"])
    assert "x-gateway-peer" not in asks["headersToExtAuth"], "a client could say who is connected"
    assert "x-auth-email" in asks["http"]["headersToBackend"]


def test_what_envoy_gateway_cannot_see_is_refused(tmp_path: Path) -> None:
    text = FILE.replace("allow: authenticated", "allow: {ip: 10.0.0.0/8}")
    found = objections("envoy-gateway", f"trusted_proxies: [10.0.0.0/8]\n{text}", tmp_path)
    assert [one[:3] for one in found] == [
        (1, 1, "trusted_proxies"),
        (3, 13, "decisions.listen"),
        (10, 30, "strip_headers[1]"),
        (12, 3, "routes./api"),
    ]


def test_an_object_of_kubernetes_is_for_envoy_alone(tmp_path: Path) -> None:
    (tmp_path / "gateway.yaml").write_text(FILE, encoding="utf-8")
    done = _run(tmp_path, "nginx", "--crd=envoy-gateway")
    assert (done.returncode, done.stdout) == (2, "")


# --- the command ---


def _run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "gateway", "compile", *arguments]
    return subprocess.run(command, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, check=False)


def test_one_file_is_printed_and_several_one_after_the_other(tmp_path: Path) -> None:
    (tmp_path / "gateway.yaml").write_text(FILE, encoding="utf-8")
    done = _run(tmp_path, "haproxy")
    assert done.returncode == 0, done.stderr
    assert re.findall(r"(?m)^# ---- file: (.*)$", done.stdout) == ["haproxy.cfg", "gateway.lua"]
    assert "on one machine give the engine another" in done.stderr
    assert "---- file" not in _run(tmp_path, "nginx").stdout


def test_files_are_written_where_out_says(tmp_path: Path) -> None:
    (tmp_path / "gateway.yaml").write_text(FILE, encoding="utf-8")
    done = _run(tmp_path, "haproxy", "--out", "made", "--listen", "127.0.0.1:8443")
    assert (done.returncode, done.stdout) == (0, "")
    assert sorted(path.name for path in (tmp_path / "made").iterdir()) == ["gateway.lua", "haproxy.cfg"]
    text = (tmp_path / "made" / "haproxy.cfg").read_text(encoding="utf-8")
    assert "bind 127.0.0.1:8443" in text
    assert "gateway compile haproxy -c gateway.yaml --listen 127.0.0.1:8443 --out made" in text


def test_several_services_may_be_named(tmp_path: Path) -> None:
    (tmp_path / "gateway.yaml").write_text(FILE, encoding="utf-8")
    where = ["--decisions=10.0.0.5:9191", "--decisions=unix:/run/two.sock"]
    text = _run(tmp_path, "nginx", *where).stdout
    assert "server 10.0.0.5:9191 max_fails=0;\n        server unix:/run/two.sock max_fails=0;" in text


def test_what_cannot_be_said_is_exit_1_with_the_place_and_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "gateway.yaml").write_text(f"{FILE}cors: {{origins: ['https://a.example']}}\n", encoding="utf-8")
    done = _run(tmp_path, "caddy")
    assert done.returncode == 1
    assert done.stdout.startswith("gateway.yaml:12:1: cors: Caddy cannot let a decision answer a preflight")
    assert "^" in done.stdout
    assert "nginx, HAProxy and Envoy can" in done.stdout


def test_a_file_with_a_mistake_is_refused_as_by_every_command(tmp_path: Path) -> None:
    (tmp_path / "gateway.yaml").write_text(FILE.replace("allow:", "alow:"), encoding="utf-8")
    done = _run(tmp_path, "nginx")
    assert (done.returncode, done.stdout) == (1, "")
    assert "did you mean 'allow'?" in done.stderr


def test_help_fits_a_terminal_of_80_columns(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert run_command(["compile", "--help"]) == 0
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 80
