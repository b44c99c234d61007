"""Traces: W3C's headers pass through; with OpenTelemetry the gateway's own spans stand between client and upstream."""

from __future__ import annotations

import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from gateway.policy.model import Headers, RequestHead
from gateway.record.outcome import Outcome
from gateway.record.tracing import Trace
from tests.configuring import mistakes
from tests.jwks import serving_keys
from tests.minting import claims_of, mint, rsa_key
from tests.processes import served
from tests.rawpeer import RawUpstream, ask
from tests.running import BEARER, config_for, running, upstream_at

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
STATE = "vendor=opaque,other=1"


@pytest.mark.parametrize("path", [b"/public/x", b"/api/x"])
async def test_trace_headers_pass_untouched(path: bytes) -> None:
    # https://www.w3.org/TR/trace-context/ section 4.4: who takes no part passes them on.
    async with RawUpstream() as upstream, running(config_for(upstream_at(upstream.url))) as gateway:
        lines = f"traceparent: {PARENT}\r\ntracestate: {STATE}\r\n".encode()
        await ask(gateway.port, b"GET " + path + b" HTTP/1.1\r\nHost: a\r\n" + lines + BEARER + b"\r\n")
    (visit,) = upstream.visits
    assert (visit.header("traceparent"), visit.header("tracestate")) == (PARENT, STATE)


class Collector:
    """An OTLP collector that keeps the spans it is sent."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.services: set[str] = set()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                request = ExportTraceServiceRequest.FromString(body)
                for resource in request.resource_spans:
                    named = {a.key: a.value.string_value for a in resource.resource.attributes}
                    collector.services.add(named["service.name"])
                    collector.spans += [span for scope in resource.scope_spans for span in scope.spans]
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        self.server = HTTPServer(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"


class Upstream(BaseHTTPRequestHandler):
    """Answers, and says which trace it was told of."""

    def do_GET(self) -> None:
        body = self.headers.get("traceparent", "").encode()
        self.send_response(500 if self.path.endswith("broken") else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def collector() -> Iterator[Collector]:
    yield from serving(Collector())


@pytest.fixture
def upstream() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Upstream) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def serving(collector: Collector) -> Iterator[Collector]:
    thread = threading.Thread(target=collector.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield collector
    collector.server.shutdown()
    thread.join()
    collector.server.server_close()


def get(url: str, token: str | None, **headers: str) -> tuple[int, str]:
    request = urllib.request.Request(url, headers=headers)
    if token is not None:
        request.add_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as problem:
        return problem.code, problem.read().decode()


def test_spans_stand_between_client_and_upstream(tmp_path: Path, collector: Collector, upstream: str) -> None:
    with serving_keys() as keys:
        text = f"""
upstream: {upstream}
traces: opentelemetry
providers: {{people: {{type: oidc, issuer: "https://idp.example.test", jwks_uri: "{keys}", audience: none}}}}
routes:
  /api: {{provider: people, allow: authenticated}}
"""
        token = mint(claims_of(iat=time.time(), exp=time.time() + 60), rsa_key(), "RS256", kid="k1")
        unknown = mint(claims_of(iat=time.time(), exp=time.time() + 60), rsa_key(), "RS256", kid="k9")
        with served(text, tmp_path, {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}) as gateway:
            base = f"http://127.0.0.1:{gateway.port}/api"
            status, told = get(f"{base}/agents?secret=query", token, traceparent=PARENT, tracestate=STATE)
            assert get(base, unknown)[0] == 401
            assert get(f"{base}/broken", token)[0] == 500
        # The process has ended: what was left was sent.
    assert status == 200
    assert collector.services == {"mastra-auth-gateway"}
    of_client = [span for span in collector.spans if span.trace_id.hex() == PARENT.split("-")[1]]
    by_name = {span.name: span for span in of_client}
    assert set(by_name) == {"GET /api", "decision", "upstream"}
    request = by_name["GET /api"]
    assert request.parent_span_id.hex() == PARENT.split("-")[2] and request.trace_state == STATE
    assert by_name["decision"].parent_span_id == by_name["upstream"].parent_span_id == request.span_id
    assert told == f"00-{PARENT.split('-')[1]}-{by_name['upstream'].span_id.hex()}-01"
    for child in (by_name["decision"], by_name["upstream"]):
        assert request.start_time_unix_nano - 10**7 <= child.start_time_unix_nano <= child.end_time_unix_nano
    said = attributes(request)
    assert (said["http.route"], said["http.response.status_code"], said["url.path"]) == ("/api", 200, "/api/agents")
    refused = next(s for s in collector.spans if attributes(s).get("gateway.code") == "key_unknown")
    logged = [json.loads(line) for line in gateway.log.read_text().splitlines()]
    traces = [line["trace_id"] for line in logged if "trace_id" in line]  # the client's, and two of the gateway's own
    assert len(traces) == 3 and traces[:2] == [PARENT.split("-")[1], refused.trace_id.hex()]
    assert "key fetch" in {s.name for s in collector.spans if s.trace_id == refused.trace_id}
    broken = next(s for s in collector.spans if attributes(s).get("http.response.status_code") == 500)
    assert broken.status.code == broken.status.STATUS_CODE_ERROR
    everything = str(collector.spans)
    assert "query" not in everything and "user-1" not in everything and token.rpartition(".")[2] not in everything


def attributes(span: Span) -> dict[str, Any]:
    return {
        a.key: a.value.int_value if a.value.HasField("int_value") else a.value.string_value for a in span.attributes
    }


def test_traces_without_the_packages_say_how_to_get_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    (found,) = mistakes("upstream: http://x\ntraces: opentelemetry\nroutes: {/: {public: true}}")
    assert "pip install 'mastra-auth-gateway[opentelemetry]'" in found


def test_look_up_has_a_span_of_its_own_which_ends_where_the_next_begins() -> None:
    kept = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(kept))
    head = RequestHead("GET", "/api/x?secret", Headers([("traceparent", PARENT)]), "127.0.0.1", "http")
    trace = Trace(provider.get_tracer("test"), TraceContextTextMapPropagator(), head)
    lines = [dict(trace.upstream_lines("look-up"))["traceparent"], dict(trace.upstream_lines())["traceparent"]]
    assert [span.name for span in kept.get_finished_spans()] == ["look-up"]
    trace.end(Outcome("id", "GET", "/api/x", "127.0.0.1"))
    spans = kept.get_finished_spans()
    assert [span.name for span in spans] == ["look-up", "upstream", "GET"]
    own = [f"{span.context.span_id:016x}" for span in spans[:2] if span.context is not None]
    assert [line.split("-")[2] for line in lines] == own, "each is told of its own"
