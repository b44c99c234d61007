"""The audit: which decisions have a line, and what becomes of a request whose line cannot be written."""

from __future__ import annotations

import logging
import time
from typing import Final

from gateway.config.document import printable
from gateway.config.model import Audit, AuditEvent, Config
from gateway.policy.denied import Denied
from gateway.policy.reasons import Reason
from gateway.record.audit_file import AuditFile, AuditState
from gateway.record.audit_line import AuditLines, HashSubject
from gateway.record.outcome import Outcome

_log = logging.getLogger("gateway.server")
_READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})
# Of a request that has passed: that its answer is a stream, and whom it is of no more, is known only then.
_DECIDED_LATER: Final = frozenset({Reason.BUDGET_EXCEEDED.code, Reason.BUDGET_UNKNOWN.code, Reason.TOKEN_REVOKED.code})


class Auditing:
    """The audit of one configuration."""

    def __init__(self, config: Config, audit: Audit, file: AuditFile, state: AuditState, hash_: HashSubject) -> None:
        self.file = file
        self._state, self._refuses, self._events = state, audit.refuses, frozenset(audit.events)
        self._lines = AuditLines(config, audit, hash_)

    def before_it_passes(self, outcome: Outcome, *, is_websocket: bool) -> None:
        """Write the line of an allowed request, before anybody else hears of it.

        Raises `Denied` (AUDIT_UNAVAILABLE) if there is none, and `on_failure: refuse`.
        """
        outcome.has_passed = True
        event = self._event_of_allowed(outcome, is_websocket=is_websocket)
        if event is not None and not self._write(event, outcome) and self._refuses:
            outcome.has_passed = False
            raise Denied(Reason.AUDIT_UNAVAILABLE, f"the line of the audit cannot be written: {self.file.error}")

    def before_its_answer(self, outcome: Outcome) -> None:
        """Write the line of a refusal, or of what the gateway itself answers. What has passed has its line."""
        if outcome.has_passed and outcome.code not in _DECIDED_LATER:
            return
        event: AuditEvent | None = None
        if outcome.code is not None:
            event = "deny" if "deny" in self._events else None
        elif outcome.is_own:
            event = self._event_of_allowed(outcome, is_websocket=False)
        if event is not None:
            self._write(event, outcome)

    def _event_of_allowed(self, outcome: Outcome, *, is_websocket: bool) -> AuditEvent | None:
        if outcome.would_deny is not None and "would_deny" in self._events:
            return "would_deny"
        # Frames go both ways: whoever has a WebSocket may do with it what others do by POST.
        event: AuditEvent = "read" if outcome.method in _READING and not is_websocket else "write"
        return event if event in self._events else None

    def _write(self, event: AuditEvent, outcome: Outcome) -> bool:
        try:
            is_written = self.file.append(self._lines.line(event, outcome, time.time()))
        except Exception as surprise:  # a mistake of ours: what it means for the request is for `on_failure` to say
            _log.error("audit: no line for request %s", outcome.request_id, exc_info=surprise)
            is_written, self.file.error = False, type(surprise).__name__
        self._state.note(self.file, is_written=is_written)
        return is_written


def auditing_for(
    config: Config, before: Auditing | None, state: AuditState, hash_subject: HashSubject
) -> Auditing | None:
    """Return the audit of a configuration, its file open, which is kept where the name has not changed.

    Raises `OSError`, whose text is for people, if it cannot be written.
    """
    audit = config.audit
    if audit is None:
        return None
    file = before.file if before is not None and before.file.path == audit.file else None
    if file is None:
        file = AuditFile(audit.file, time.monotonic)
        check_writable(audit, file)
    else:
        file.follow()
    return Auditing(config, audit, file, state, hash_subject)


def check_writable(audit: Audit, file: AuditFile | None = None) -> None:
    """Open the file. Raises `OSError`, whose text is for people, if it cannot be written."""
    opened = file or AuditFile(audit.file, time.monotonic)
    try:
        opened.open()
    except OSError as problem:
        said = f"{printable(str(audit.file))} cannot be written: {problem.strerror or problem}"
        raise OSError(f"{printable(audit.where)}: {said}") from None
