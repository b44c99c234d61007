"""Spans for OpenTelemetry, for who asks for them (`traces: opentelemetry`): request, decision, key fetch, upstream.

Where they go is said in OpenTelemetry's own variables (OTEL_EXPORTER_OTLP_ENDPOINT and its kind). Without this, W3C
trace headers pass through untouched. Nothing in a span that is not in the log: no token, no query, no subject.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from gateway.policy.fields import TRACE
from gateway.policy.model import Headers, RequestHead
from gateway.policy.onward import Line
from gateway.record.outcome import Outcome

# What W3C Trace Context (sections 3.2 and 3.3) sends along; ours replaces the client's, as a child of it.
_SERVICE = "mastra-auth-gateway"
_FLUSH_SECONDS = 5.0


class Tracing:
    """Makes spans and sends them away in the background, from a queue that is bounded."""

    def __init__(self) -> None:
        # Imported here: the packages are an extra, and half a second of start that nobody else should wait for.
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        resource = Resource.create({"service.name": _SERVICE} | _named_by_environment(Resource))
        self._provider = TracerProvider(resource=resource)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer(_SERVICE)
        self._propagator = TraceContextTextMapPropagator()

    def begin(self, head: RequestHead) -> Trace:
        """Begin the span of a request, as a child of the client's if it names one."""
        return Trace(self._tracer, self._propagator, head)

    async def stop(self) -> None:
        """Send what is left, and end."""
        await asyncio.to_thread(self._provider.force_flush, int(_FLUSH_SECONDS * 1000))
        await asyncio.to_thread(self._provider.shutdown)


class Trace:
    """The spans of one request."""

    def __init__(self, tracer: Any, propagator: Any, head: RequestHead) -> None:
        from opentelemetry.trace import SpanKind, set_span_in_context

        self._tracer, self._propagator = tracer, propagator
        # `time.perf_counter` to nanoseconds of Unix time.
        self._epoch = time.time_ns() - time.perf_counter_ns()
        parent = propagator.extract(_sent_with(head.headers))
        attributes = {"http.request.method": head.method, "url.path": head.target.partition("?")[0][:256]}
        self._span = tracer.start_span(head.method, context=parent, kind=SpanKind.SERVER, attributes=attributes)
        self._context = set_span_in_context(self._span)
        self._upstream: Any = None

    @property
    def trace_id(self) -> str:
        """The trace that the spans belong to, the client's or one of our own, as the log has it."""
        return f"{self._span.get_span_context().trace_id:032x}"

    def key_fetched(self, began_at: float, ended_at: float) -> None:
        """A key was fetched for the request. Times are seconds of `time.perf_counter`."""
        self._child("key fetch", began_at, ended_at)

    def decided(self, outcome: Outcome) -> None:
        """The decision stands."""
        self._child("decision", outcome.began_at, outcome.decided_at or time.perf_counter())

    def upstream_lines(self, name: str = "upstream") -> list[Line]:
        """Begin the span of the upstream's part, or of a `look-up` before; returns the headers that carry it on."""
        from opentelemetry.trace import SpanKind, set_span_in_context

        if self._upstream is not None:
            self._upstream.end()  # a look-up is answered before the next begins
        self._upstream = self._tracer.start_span(name, context=self._context, kind=SpanKind.CLIENT)
        carrier: dict[str, str] = {}
        self._propagator.inject(carrier, context=set_span_in_context(self._upstream))
        return list(carrier.items())

    def end(self, outcome: Outcome) -> None:
        """The request has ended."""
        from opentelemetry.trace import Status, StatusCode

        said = {
            "http.route": outcome.route,
            "http.response.status_code": outcome.status or None,
            "gateway.decision": outcome.decision,
            "gateway.code": outcome.code,
            "gateway.would_deny": outcome.would_deny,
            "gateway.provider": outcome.provider,
            "gateway.request_id": outcome.request_id,
            "gateway.ended": outcome.ended,
        }
        self._span.set_attributes({name: value for name, value in said.items() if value is not None})
        if outcome.route is not None:
            self._span.update_name(f"{outcome.method} {outcome.route}")
        if outcome.status >= 500 or outcome.ended in ("upstream_cut", "failed"):
            self._span.set_status(Status(StatusCode.ERROR, outcome.code or outcome.ended))
        if self._upstream is not None:
            if outcome.first_byte_at is not None:
                self._upstream.add_event("first byte", timestamp=self._nanoseconds(outcome.first_byte_at))
            self._upstream.end()
        self._span.end()

    def _child(self, name: str, began_at: float, ended_at: float) -> None:
        span = self._tracer.start_span(name, context=self._context, start_time=self._nanoseconds(began_at))
        span.end(self._nanoseconds(ended_at))

    def _nanoseconds(self, moment: float) -> int:
        return self._epoch + int(moment * 1e9)


def _sent_with(headers: Headers) -> dict[str, str]:
    """Return the client's trace headers; two of a kind are none (W3C Trace Context section 3.2)."""
    found = {name: headers.all(name) for name in TRACE}
    return {name: ",".join(values) for name, values in found.items() if len(values) == 1 or name == "tracestate"}


def _named_by_environment(resource: Any) -> dict[str, Any]:
    """Return the service's name if OTEL_SERVICE_NAME or OTEL_RESOURCE_ATTRIBUTES give one."""
    name = resource.create({}).attributes.get("service.name", "")
    return {"service.name": name} if name and not str(name).startswith("unknown_service") else {}
