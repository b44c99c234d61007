"""A Mastra with its things in memory, which reads requests as the real one was seen to (tests/mastra/test_bodies.py).

Careless where it is: path, query and body are one set of parameters, the later over the earlier; where a route has no
schema every name counts; an owner that is not given, or empty, is not looked at. So whatever a gateway lets through
that it must not shows in what the things of others are afterwards, or in what the caller is told.
"""

from __future__ import annotations

import base64
import contextlib
import copy
import json
import re
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from email.parser import BytesParser
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.security.rig import TIMEOUT_SECONDS, Listener
from tests.security.strict import Reader, Seen, Violation

SECRET, OPEN = "the-secret-of-ann", "the-word-of-bob"
NOT_FOUND = (404, {"error": "not found"})
OTHERS = (403, {"error": "Access denied: thread belongs to a different resource"})
Answer = tuple[int, Any]


@dataclass
class Things:
    """What is whose: each thing by its id, with its owner and a text."""

    threads: dict[str, dict[str, Any]] = field(default_factory=dict)
    messages: dict[str, dict[str, Any]] = field(default_factory=dict)
    runs: dict[str, dict[str, Any]] = field(default_factory=dict)
    suspended: dict[str, dict[str, Any]] = field(default_factory=dict)
    traces: dict[str, dict[str, Any]] = field(default_factory=dict)
    tasks: dict[str, dict[str, Any]] = field(default_factory=dict)
    schedules: dict[str, dict[str, Any]] = field(default_factory=dict)
    models: dict[str, str] = field(default_factory=lambda: {"weather": "small"})
    believed: list[Any] = field(default_factory=list)  # what tools were told of the caller

    def of_others(self) -> Any:
        """Return all that is not bob's to change."""
        kinds = ("threads", "messages", "runs", "suspended", "traces", "tasks", "schedules")
        kept = {kind: {id: one for id, one in getattr(self, kind).items() if one["owner"] != "bob"} for kind in kinds}
        return copy.deepcopy([kept, self.models, self.believed])


def furnished() -> Things:
    """Return the things of ann and bob, with ids `ann-...` and `bob-...`."""
    things = Things()
    for owner, text in (("ann", SECRET), ("bob", OPEN)):
        one = {"owner": owner, "text": text}
        things.threads[f"{owner}-thread"] = dict(one)
        things.messages[f"{owner}-message"] = {**one, "thread": f"{owner}-thread"}
        things.runs[f"{owner}-run"] = {**one, "state": "suspended"}
        things.suspended[f"{owner}-asks"] = {**one, "state": "suspended"}
        things.traces[f"{owner}-trace"] = dict(one)
        things.tasks[f"{owner}-task"] = dict(one)
        things.schedules[f"{owner}-schedule"] = {**one, "state": "active"}
    return things


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


RAW = None  # no schema: every name counts
# method, path below the prefix, names of the query's schema, names of the body's, handler
_ROUTES: list[tuple[str, str, frozenset[str] | None, frozenset[str] | None, str]] = [
    ("GET", "/memory/threads", _names("resourceId agentId page perPage"), RAW, "list_threads"),
    ("POST", "/memory/threads", _names("agentId"), _names("resourceId threadId title metadata"), "put_thread"),
    ("GET", "/memory/threads/:threadId", _names("resourceId agentId"), RAW, "get_thread"),
    ("PATCH", "/memory/threads/:threadId", _names("agentId"), _names("resourceId title metadata"), "name_thread"),
    ("DELETE", "/memory/threads/:threadId", _names("resourceId agentId"), RAW, "drop_thread"),
    ("GET", "/memory/threads/:threadId/messages", _names("resourceId agentId include perPage"), RAW, "get_messages"),
    ("POST", "/memory/threads/:threadId/clone", _names("agentId"), _names("resourceId newThreadId title"), "clone"),
    ("POST", "/memory/save-messages", _names("agentId"), _names("messages"), "save_messages"),
    ("POST", "/agents/:agentId/generate", RAW, RAW, "generate"),
    ("POST", "/agents/:agentId/stream", RAW, RAW, "generate"),
    ("POST", "/agents/:agentId/network", RAW, RAW, "network"),
    ("POST", "/agents/:agentId/send-message", RAW, _names("resourceId threadId runId ifIdle message"), "send"),
    ("POST", "/agents/:agentId/approve-tool-call", RAW, _names("runId toolCallId requestContext"), "approve"),
    ("GET", "/agents/:agentId/suspended-runs", _names("resourceId threadId page perPage"), RAW, "list_suspended"),
    ("POST", "/agents/:agentId/model", RAW, _names("modelId provider"), "set_model"),
    ("POST", "/workflows/:workflowId/create-run", _names("runId"), _names("resourceId"), "start_run"),
    ("POST", "/workflows/:workflowId/start-async", _names("runId"), _names("resourceId inputData"), "start_run"),
    ("POST", "/workflows/:workflowId/resume-async", _names("runId"), _names("step resumeData"), "move_run"),
    ("GET", "/workflows/:workflowId/runs", _names("resourceId page perPage"), RAW, "list_runs"),
    ("GET", "/workflows/:workflowId/runs/:runId", _names("fields withNestedWorkflows"), RAW, "get_run"),
    ("DELETE", "/workflows/:workflowId/runs/:runId", RAW, RAW, "drop_run"),
    ("POST", "/workflows/:workflowId/runs/:runId/cancel", RAW, RAW, "move_run"),
    ("GET", "/v1/conversations/:conversationId", RAW, RAW, "get_conversation"),
    ("DELETE", "/v1/conversations/:conversationId", RAW, RAW, "drop_conversation"),
    ("POST", "/v1/conversations", RAW, _names("agent_id conversation_id resource_id title"), "put_conversation"),
    ("GET", "/observability/traces", _names("resourceId threadId runId"), RAW, "list_traces"),
    ("GET", "/observability/traces/:traceId", RAW, RAW, "get_trace"),
    ("GET", "/background-tasks/:backgroundTaskId", RAW, RAW, "get_task"),
    ("GET", "/schedules/:scheduleId", RAW, RAW, "get_schedule"),
    ("DELETE", "/schedules/:scheduleId", RAW, RAW, "drop_schedule"),
    ("POST", "/schedules/:scheduleId/pause", RAW, RAW, "pause_schedule"),
    ("POST", "/agents/:agentId/voice/listen", RAW, _names("audio options"), "listen"),
]


class Mastra(Listener):
    """`things` is what it has; `seen` what came. `lookups` scripts how it answers a GET: see `_odd_answer`."""

    def __init__(self) -> None:
        self.things = furnished()
        self.seen: list[Seen] = []
        self.violations: list[str] = []
        self.lookups, self.told = "", 0
        self.released = threading.Event()  # ends what hangs
        self._lock = threading.Lock()
        super().__init__(self._serve_requests)

    def take(self) -> list[Seen]:
        """Return what has come since the last call, and have all things as they were. Raises `Violation`."""
        with self._lock:
            seen, self.seen, self.things = self.seen, [], furnished()
            if self.violations:
                raise Violation(self.violations.pop())
        return seen

    def _serve_requests(self, connection: socket.socket) -> None:
        reader = Reader(lambda: connection.recv(65536))
        with contextlib.suppress(ConnectionError):
            try:
                while (request := reader.request()) is not None:
                    with self._lock:
                        self.seen.append(request)
                        status, said = self._answer(request)
                    if self.lookups and request.method == "GET":
                        if self._odd_answer(connection):
                            continue
                        return
                    body = json.dumps(said).encode()
                    head = f"HTTP/1.1 {status} Said\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
                    connection.sendall(head.encode() + b"\r\n\r\n" + (b"" if request.method == "HEAD" else body))
            except Violation as problem:
                with self._lock:
                    self.violations.append(str(problem))

    def _odd_answer(self, connection: socket.socket) -> bool:
        """Answer oddly, and say whether the connection goes on."""
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        bob = b'{"resourceId":"bob","thread":{"resourceId":"bob"},"spans":[{"resourceId":"bob"}]}'
        match self.lookups:
            case "hang":
                self.released.wait(TIMEOUT_SECONDS)
            case "cut":  # it says bob's, and breaks off within
                connection.sendall(head % (len(bob) + 1) + bob)
            case "huge":
                with contextlib.suppress(OSError):
                    connection.sendall(head % (64 << 20) + bob[:-1] + b" " * (64 << 20))
            case "huge and whole":
                connection.sendall(head % (5 << 20) + b" " * ((5 << 20) - len(bob)) + bob)
            case "endless":
                connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                with contextlib.suppress(OSError):
                    while not self.released.is_set():
                        connection.sendall(b"10000\r\n" + b" " * 65536 + b"\r\n")
            case "nearly all":
                connection.sendall(head % (4 << 20) + b" " * ((4 << 20) - 1))
                self.told += 1
                self.released.wait(TIMEOUT_SECONDS)
            case "deep":
                connection.sendall(head % 200_000 + b"[" * 200_000)
            case said:
                connection.sendall(said.encode("latin-1"))
                return True
        return False

    def _answer(self, request: Seen) -> Answer:
        parts = urlsplit(request.target)
        segments = [unquote(one) for one in parts.path.strip("/").split("/")]
        method = "GET" if request.method == "HEAD" else request.method
        if segments[0] == "chat" and method == "POST":
            return self._chat(_body_of(request))
        for route in _ROUTES:
            captured = _captured(route[1], segments[1:]) if segments[0] == "api" and route[0] == method else None
            if captured is not None:
                return self._call(route, captured, parts.query, request)
        return NOT_FOUND

    def _call(self, route: Any, captured: dict[str, str], query: str, request: Seen) -> Answer:
        method, _, in_query, in_body, name = route
        # Hono: the last of a name in this model; two are a list, which a schema refuses.
        asked: dict[str, Any] = {}
        for key, values in parse_qs(query, keep_blank_values=True).items():
            bracket = re.fullmatch(r"([^\[]+)\[([^\]]+)\]", key)
            if bracket:
                asked.setdefault(bracket[1], json.dumps({bracket[2]: values[0]}))
            else:
                asked[key] = values[0] if len(values) == 1 else values
        if in_query is not None:
            asked = {key: value for key, value in asked.items() if key in in_query}
            if any(isinstance(value, list) for value in asked.values()):
                return 400, {"error": "Invalid query parameters"}
        said = None if method == "GET" else _body_of(request)
        if said is _BROKEN:
            return 400, {"error": "Invalid request body"}
        body = said if isinstance(said, dict) else {}
        is_form = any("multipart/form-data" in type_ for type_ in request.all("content-type"))
        self._note_context(parse_qs(query).get("requestContext", [""])[0], {} if is_form else body)
        if in_body is not None:
            body = {key: value for key, value in body.items() if key in in_body}
        handler: Callable[[dict[str, Any]], Answer] = getattr(self, f"_{name}")
        try:
            return handler({**captured, **asked, **body})
        except (KeyError, TypeError, AttributeError):
            return 400, {"error": "Invalid request"}

    def _note_context(self, asked_context: str, body: dict[str, Any]) -> None:
        read: Any = None
        with contextlib.suppress(ValueError):
            read = json.loads(asked_context)
        if read is None and asked_context:
            with contextlib.suppress(ValueError):
                read = json.loads(base64.b64decode(asked_context + "==", altchars=b"-_"))
        for context in (body.get("requestContext"), read):
            said = context if isinstance(context, dict) else {}
            self.things.believed += [
                (key, said[key]) for key in ("user", "userRoles", "userPermissions") if key in said
            ]

    # --- threads ---

    def _of(self, kind: dict[str, Any], id: Any, given: Any) -> Answer | dict[str, Any]:
        one = kind.get(id) if isinstance(id, str) else None
        if one is None:
            return NOT_FOUND
        return OTHERS if given and one["owner"] != given else one

    def _told(self, id: Any, one: Any) -> Answer:
        return one if isinstance(one, tuple) else (200, {"id": id, "resourceId": one["owner"], "title": one["text"]})

    def _list(self, kind: dict[str, Any], given: Any) -> Answer:
        found = [
            {"id": id, "runId": id, "text": one["text"]}
            for id, one in kind.items()
            if given in (None, "", one["owner"])
        ]
        return 200, {"threads": found, "runs": found, "total": len(found)}

    def _list_threads(self, of: dict[str, Any]) -> Answer:
        return self._list(self.things.threads, of.get("resourceId"))

    def _put_thread(self, of: dict[str, Any]) -> Answer:
        owner, id = of["resourceId"], of.get("threadId") or f"new-{len(self.things.threads)}"
        text = self.things.threads.get(id, {"text": ""})["text"]
        self.things.threads[id] = {"owner": owner, "text": text}
        return 200, {"id": id, "resourceId": owner, "title": text}

    def _get_thread(self, of: dict[str, Any]) -> Answer:
        return self._told(of["threadId"], self._of(self.things.threads, of["threadId"], of.get("resourceId")))

    def _name_thread(self, of: dict[str, Any]) -> Answer:
        one = self._of(self.things.threads, of["threadId"], of.get("resourceId"))
        if isinstance(one, dict):
            one["text"] += str(of.get("title"))
        return self._told(of["threadId"], one)

    def _drop_thread(self, of: dict[str, Any]) -> Answer:
        one = self._of(self.things.threads, of["threadId"], of.get("resourceId"))
        if isinstance(one, dict):
            del self.things.threads[of["threadId"]]
        return self._told(of["threadId"], one)

    def _clone(self, of: dict[str, Any]) -> Answer:
        one = self._of(self.things.threads, of["threadId"], of.get("resourceId"))
        if isinstance(one, dict):
            self.things.threads[of.get("newThreadId") or "copy"] = {
                **one,
                "owner": of.get("resourceId") or one["owner"],
            }
        return self._told("copy", one)

    def _get_messages(self, of: dict[str, Any]) -> Answer:
        one = self._of(self.things.threads, of["threadId"], of.get("resourceId"))
        if isinstance(one, tuple):
            return one
        included = [entry["id"] for entry in json.loads(of.get("include") or "[]")]
        found = [
            {"id": id, "resourceId": message["owner"], "text": message["text"]}
            for id, message in self.things.messages.items()
            if (message["thread"] == of["threadId"] and of.get("perPage") != "0") or id in included
        ]
        return 200, {"messages": found}

    def _keep(self, message: Any, thread: str, owner: str) -> None:
        if isinstance(message, dict) and isinstance(message.get("id"), str):
            self.things.messages[message["id"]] = {"owner": owner, "text": "kept", "thread": thread}

    def _save_messages(self, of: dict[str, Any]) -> Answer:
        for message in of["messages"]:
            self._keep(message, message["threadId"], message["resourceId"])
        return 200, {"messages": []}

    # --- agents ---

    def _chat(self, body: Any) -> Answer:
        if not isinstance(body, dict):
            return 400, {"error": "no body"}
        self._note_context("", body)
        return self._generate(body)

    def _generate(self, of: dict[str, Any], *, looks: bool = True) -> Answer:
        memory, messages = of.get("memory"), of.get("messages")
        run = of.get("runId")
        if isinstance(run, str) and (run in self.things.suspended or run in self.things.runs):
            (self.things.suspended | self.things.runs)[run]["state"] = "taken"
        if not isinstance(memory, dict):
            return 200, {"text": f"w0 {OPEN}", "runId": run}
        owner, thread = memory.get("resource"), memory.get("thread")
        if isinstance(thread, dict):
            owner, thread = thread.get("resourceId") or owner, thread.get("id")
        if not owner or not isinstance(thread, str):
            return 400, {"error": "A resource ID is required when using memory"}
        one = self.things.threads.setdefault(thread, {"owner": owner, "text": ""})
        if looks and one["owner"] != owner:
            return OTHERS
        for message in messages if isinstance(messages, list) else ():
            self._keep(message, thread, one["owner"])
        one["text"] += "+"
        return 200, {"text": f"w0 {OPEN} {one['text']}", "runId": run}

    def _network(self, of: dict[str, Any]) -> Answer:
        return self._generate(of, looks=False)

    def _send(self, of: dict[str, Any]) -> Answer:
        if of.get("runId") in self.things.suspended and not of.get("threadId"):
            self.things.suspended[of["runId"]]["state"] = "told"
            return 200, {"text": OPEN}
        one = self._of(self.things.threads, of["threadId"], of.get("resourceId"))
        idle = (of.get("ifIdle") or {}).get("streamOptions")
        if isinstance(one, dict) and idle:
            return self._generate({**idle, "messages": []})
        if isinstance(one, dict):
            one["text"] += "+"
        return self._told(of["threadId"], one)

    def _approve(self, of: dict[str, Any]) -> Answer:
        if of["runId"] not in self.things.suspended:
            return 500, {"error": "No snapshot found for this workflow run"}
        self.things.suspended[of["runId"]]["state"] = "approved"
        return 200, {"text": OPEN}

    def _list_suspended(self, of: dict[str, Any]) -> Answer:
        return self._list(self.things.suspended, of.get("resourceId"))

    def _set_model(self, of: dict[str, Any]) -> Answer:
        self.things.models[of["agentId"]] = of["modelId"]
        return 200, {"message": "set"}

    def _listen(self, of: dict[str, Any]) -> Answer:
        return 200, {"text": OPEN}

    # --- runs and the rest ---

    def _start_run(self, of: dict[str, Any]) -> Answer:
        run = of.get("runId") or "new-run"
        started = self.things.runs.setdefault(run, {"owner": of.get("resourceId"), "text": OPEN, "state": ""})
        started["state"] += "started"
        return 200, {"runId": run, "text": started["text"]}

    def _move_run(self, of: dict[str, Any]) -> Answer:
        one = self._of(self.things.runs, of["runId"], None)
        if isinstance(one, dict):
            one["state"] = "moved"
        return self._told(of["runId"], one)

    def _list_runs(self, of: dict[str, Any]) -> Answer:
        return self._list(self.things.runs, of.get("resourceId"))

    def _get_run(self, of: dict[str, Any]) -> Answer:
        return self._told(of["runId"], self._of(self.things.runs, of["runId"], None))

    def _drop_run(self, of: dict[str, Any]) -> Answer:
        one = self._of(self.things.runs, of["runId"], None)
        self.things.runs.pop(of["runId"], None)
        return self._told(of["runId"], one)

    def _get_conversation(self, of: dict[str, Any]) -> Answer:
        one = self._of(self.things.threads, of["conversationId"], None)
        status, said = self._told(of["conversationId"], one)
        return status, {"thread": said}

    def _drop_conversation(self, of: dict[str, Any]) -> Answer:
        return self._drop_thread({"threadId": of["conversationId"]})

    def _put_conversation(self, of: dict[str, Any]) -> Answer:
        return self._put_thread({"threadId": of.get("conversation_id"), "resourceId": of["resource_id"]})

    def _list_traces(self, of: dict[str, Any]) -> Answer:
        return self._list(self.things.traces, of.get("resourceId"))

    def _get_trace(self, of: dict[str, Any]) -> Answer:
        one = self._of(self.things.traces, of["traceId"], None)
        if isinstance(one, tuple):
            return one
        return 200, {"spans": [{"parentSpanId": None, "resourceId": one["owner"], "text": one["text"]}]}

    def _get_task(self, of: dict[str, Any]) -> Answer:
        return self._told(of["backgroundTaskId"], self._of(self.things.tasks, of["backgroundTaskId"], None))

    def _get_schedule(self, of: dict[str, Any]) -> Answer:
        return self._told(of["scheduleId"], self._of(self.things.schedules, of["scheduleId"], None))

    def _drop_schedule(self, of: dict[str, Any]) -> Answer:
        one = self._of(self.things.schedules, of["scheduleId"], None)
        self.things.schedules.pop(of["scheduleId"], None)
        return self._told(of["scheduleId"], one)

    def _pause_schedule(self, of: dict[str, Any]) -> Answer:
        one = self._of(self.things.schedules, of["scheduleId"], None)
        if isinstance(one, dict):
            one["state"] = "paused"
        return self._told(of["scheduleId"], one)


_BROKEN: Any = object()


def _body_of(request: Seen) -> Any:
    """Return what Mastra takes for the body: None where it takes none."""
    type_ = ", ".join(request.all("content-type")[:1])
    if "multipart/form-data" in type_:
        return _form_of(type_, request.body)
    if "application/json" not in type_:
        return None
    text = request.body.decode("utf-8", "replace").removeprefix("\ufeff")
    if not text.strip():
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return _BROKEN


def _form_of(type_: str, body: bytes) -> Any:
    message = BytesParser().parsebytes(f"Content-Type: {type_}\r\n\r\n".encode() + body)
    if not message.is_multipart():
        return _BROKEN
    fields: dict[str, Any] = {}
    for part in message.get_payload():
        name = part.get_param("name", header="Content-Disposition")  # type: ignore[union-attr]
        text = part.get_payload(decode=True).decode("utf-8", "replace")  # type: ignore[union-attr]
        try:
            fields[str(name)] = json.loads(text)
        except ValueError:
            fields[str(name)] = text
    return fields


def _captured(path: str, segments: list[str]) -> dict[str, str] | None:
    names = path.strip("/").split("/")
    if len(names) != len(segments):
        return None
    pairs = list(zip(names, segments, strict=True))
    if any(name != segment for name, segment in pairs if not name.startswith(":")):
        return None
    return {name[1:]: segment for name, segment in pairs if name.startswith(":")}
