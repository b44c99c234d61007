r"""Dialogues with an exchange, played without a socket, a loop or a real clock, in the manner of mitmproxy's playbook.

A dialogue is a text. `-- ` is what was there before, `>> ` an event, and behind it, or in lines of their own, stand all
the commands that follow from it, in order: `<< one; another`. TEXT goes to the end of its line or command: bytes with
escapes (`\r\n`), or one byte many times (`x*70000`). A write of nothing is no command, nor is one that changes nothing
(`client held`, if it is held).

    >> request GET /public/x         << upstream begin GET /public/x
    >> response 200 length 2 body ok << client write 200 length 2 body ok; client ended keep-alive, complete

    -- limit NAME NUMBER       one of `limits`, as `body_bytes`
    -- cors                    pages of https://app.test may call
    -- llhttp                  every head is read by llhttp, not only what our own grammar does not read
    -- tight                   whoever is written to takes no more for now
    -- at once                 what a budget says is there before anybody waits for it
    -- streams NAME NUMBER ... `grace`, `max` and `heartbeat` seconds of /live, /open and /pages
    -- opening                 no connection to the upstream was kept: it is full until it `takes again`

    >> request METHOD TARGET [WORD ...] [body TEXT]    words: those of `_LINES`, `length N`, `1.0` for the version
    >> client sends TEXT | slow | takes again | leaves
    >> response STATUS [length N | chunked] [events] [gzip] [broken] [body TEXT]
                               without a framing the connection's end ends it; `broken`: the upstream breaks at
                               once behind these bytes
    >> piece TEXT | last piece TEXT | response ended
    >> upstream full | takes again | breaks [kept | unsent] | switches [wrongly] [body TEXT]
    >> key comes | fails | is unknown
    >> session comes | stays | ends | waits    the issuer's next word; none, and this one is good; no; nobody is there
    >> answer comes | fails    the gateway's own
    >> budget lends | is free | is spent    there is a place to give back; none is needed; none is left
    >> clock SECONDS           goes by, and whose deadline is over is told so
    >> revoke SUBJECT
    >> leave | drain | shut down    the gateway stops: it still takes requests, it takes no more, at once
    >> mistake                 from now on our own code raises an exception where it can

    << upstream begin METHOD TARGET [as SUBJECT] [length N | chunked | websocket] [unfinished] [body TEXT]
    << upstream write TEXT | has all | held | freed | close | abort      the connection that `open` gave: `new upstream`
    << client write STATUS [length N] [chunked] [close | keep-alive | websocket] [cors] [cookie | cookie gone]
                 [CODE of a refusal] [body TEXT]
    << client write TEXT | held | freed | switched | reset
    << client write heartbeat | event CODE | close CODE REASON    what the gateway says in a stream
    << client keeps TEXT       nobody takes it, so it is the next request, or lost
    << client ended keep-alive | close | lingers, ENDED     the latter as in the record, which was made just before
    << key fetch KID | given up
    << session renew; answer to NAME [of SUBJECT] | given up    what the issuer, or we ourselves, are asked
    << budgets NAMES of SUBJECT | given up | given back    who is to use some of them up
    << stream                  the host was told that nobody knows how long the response will be
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import zip_longest
from typing import Any, cast

import pytest

from gateway.config.model import Cors
from gateway.http1.arrivals import Arrivals
from gateway.http1.fields import Field
from gateway.http1.llhttp import BrokenRequest
from gateway.http1.request import RequestRead
from gateway.http1.response import ResponseRead, Responses
from gateway.policy.budgets import Budget, OverBudget
from gateway.policy.decision import NeedKey
from gateway.policy.denied import Denied
from gateway.policy.jwk import Key
from gateway.policy.key_lookup import Keys, NoKey
from gateway.policy.model import Headers, Principal
from gateway.policy.ownership import Ownership
from gateway.policy.providers import KeySource, Provider
from gateway.policy.reasons import Reason
from gateway.policy.revocation import Revocation, RevocationList, Revoked
from gateway.policy.routes import Policy, Route
from gateway.policy.rules import Authenticated
from gateway.policy.seen_sessions import SeenSessions
from gateway.policy.session import Session
from gateway.policy.streams import Streams
from gateway.proxy.event_stream import HEARTBEAT
from gateway.proxy.exchange import Exchange
from gateway.proxy.headers import is_response_line_forwarded
from gateway.proxy.holding import Holding
from gateway.proxy.host import Host, Lease
from gateway.proxy.own import OwnAnswer, OwnQuestion, json_answer
from gateway.proxy.runtime import Runtime
from gateway.proxy.states import RESPONDING, State
from gateway.proxy.tunnel import Tunnel
from gateway.proxy.wire import Client, Connections, Relay, Upstream
from gateway.record.outcome import Outcome
from tests.login import sealed
from tests.minting import NOW, OTHER_SECRET, claims_of, mint, rsa_key
from tests.running import BEARER, SHARED, config_for, upstream_at

STALL_SECONDS = 60.0
REMOTE = Provider("partners", "oidc", frozenset({"RS256"}), key_source=KeySource("https://idp.example.test", None))
_KEY = Key("k1", frozenset({"RS256"}), rsa_key().public_key(), "t1")
_KEY_TOKEN = mint(claims_of(exp=NOW + 3000), rsa_key(), "RS256", kid="k1")
_SESSION, _OLD_SESSION, _DUE_SESSION = sealed.session(), sealed.session(-1.0), sealed.session(20.0)
_NEXT_SESSION = replace(_SESSION, refresh_token="another")
_ORIGIN = b"Origin: https://app.test\r\n"
_LINES = {
    "token": BEARER,
    "bad-token": f"Authorization: Bearer {mint({'sub': 'user-1'}, OTHER_SECRET)}\r\n".encode(),
    "key-token": f"Authorization: Bearer {_KEY_TOKEN}\r\n".encode(),  # its key has to be fetched
    "session": f"Cookie: {sealed.cookie(_SESSION)}\r\n".encode(),
    "old-session": f"Cookie: {sealed.cookie(_OLD_SESSION)}\r\n".encode(),  # its issuer's word has ended
    "due-session": f"Cookie: {sealed.cookie(_DUE_SESSION)}\r\n".encode(),  # and here it is about to
    "bad-session": f"Cookie: {sealed.LOGIN.cookie}=bad\r\n".encode(),
    "navigate": b"Sec-Fetch-Mode: navigate\r\n",
    "our-page": b"Origin: https://gw.test\r\n",
    "chunked": b"Transfer-Encoding: chunked\r\n",
    "events": b"Content-Type: text/event-stream; charset=utf-8\r\n",
    "token-5s": f"Authorization: Bearer {mint({'sub': 'user-1', 'exp': NOW + 5})}\r\n".encode(),
    "short-session": f"Cookie: {sealed.cookie(sealed.session(100.0, None))}\r\n".encode(),  # nobody renews it
    "json": b"Content-Type: application/json\r\n",
    "text": b"Content-Type: text/plain\r\n",
    "form": b"Content-Type: multipart/form-data; boundary=x\r\n",
    "range": b"Range: bytes=0-1\r\n",
    "cookie": b"Cookie: a=b\r\n",
    "condition": b"If-None-Match: x\r\nX-Custom: y\r\n",
    "gzip": b"Content-Encoding: gzip\r\n",
    "close": b"Connection: close\r\n",
    "keep-alive": b"Connection: keep-alive\r\n",
    "expect": b"Expect: 100-continue\r\n",
    "other-host": b"Host: other.test\r\n",
    "origin": _ORIGIN,
    "preflight": _ORIGIN + b"Access-Control-Request-Method: POST\r\n",
    "websocket": b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
}
_SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: "
_ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"  # RFC 6455 section 1.3
_BROKEN = Denied(Reason.UPSTREAM_BROKEN, "the connection ended")


def dialogues(text: str) -> list[Any]:
    """Return the parameters of a test: the dialogues of a text, each behind its title (`# a response by chunks`)."""
    found = re.findall(r"^# (.+)\n((?:[->< ].*\n)+)", text, re.MULTILINE)
    assert len(found) == text.count("# "), "a line that is no part of a dialogue"
    return [pytest.param(dialogue, id=title) for title, dialogue in found]


def play(dialogue: str) -> Player:
    """Play a dialogue, and hold that after each event come its commands and no others."""
    lines = [line.strip() for line in dialogue.splitlines() if line.strip()]
    player = Player([line[3:] for line in lines if line.startswith("-- ")])
    turns: list[tuple[str, list[str]]] = []
    for line in lines:
        event, _, commands = (part.strip() for part in line.partition("<< "))
        assert event[:3] in ("", "-- ", ">> "), f"neither event nor command: {line}"
        if event.startswith(">> "):
            turns.append((event[3:], []))
        if commands:
            turns[-1][1].extend(commands.split("; "))
    for event, expected in turns:
        said = player.feed(event)
        assert said == expected, _difference(event, expected, said, player)
    return player


def _difference(event: str, expected: list[str], said: list[str], player: Player) -> str:
    rows = [(one or "(nothing)", other or "(nothing)") for one, other in zip_longest(expected, said)]
    width = max(len("expected"), *(len(one) for one, _ in rows))
    table = [f"{'!' if one != other else ' '} {one:{width}} | {other}" for one, other in rows]
    return "\n".join((f"after `>> {event}`, in {player.last!r}:", f"  {'expected':{width}} | said", *table))


class Player:
    """One client's connection to a gateway that is not there. Whatever an exchange commands is noted."""

    def __init__(self, given: list[str]) -> None:
        upstream = upstream_at("http://upstream.test")
        config = config_for(upstream, providers=(SHARED, REMOTE))
        keys = Route("/keys", ("keys",), upstream, providers=(REMOTE,), allow=(Authenticated(),))
        words = [one.split(" ") for one in given if one.startswith("limit ")]
        limits: dict[str, Any] = {
            name: float(number) if "seconds" in name else int(number) for _, name, number in words
        }
        cors = Cors(frozenset({"https://app.test"})) if "cors" in given else None
        pages = Route(
            "/pages", ("pages",), upstream, providers=(sealed.STAFF,), allow=(Authenticated(),), login=True,
            websocket=True, sealed=sealed.LOGIN.cookie,
        )  # fmt: skip
        said = next((one.split(" ")[1:] for one in given if one.startswith("streams ")), [])
        streams = Streams(
            **{f"{name}_seconds": float(number) for name, number in zip(said[::2], said[1::2], strict=True)}
        )
        pages = replace(pages, streams=streams)
        live = Route(
            "/live", ("live",), upstream, providers=(SHARED,), allow=(Authenticated(),), websocket=True, streams=streams
        )
        observed = replace(live, key="/observed", segments=("observed",), enforce=False)
        everybodys = Route("/open", ("open",), upstream, public=True, websocket=True, streams=streams)
        counted = Route(
            "/counted",
            ("counted",),
            upstream,
            providers=(SHARED,),
            allow=(Authenticated(),),
            budgets=(Budget("people", "subject"), Budget("all", "ip")),
        )
        things = Ownership(prefix=("things",))
        parted = Route(
            "/things", ("things",), upstream, providers=(SHARED,), allow=(Authenticated(),), own_things=things,
            websocket=True,
        )  # fmt: skip
        watched = replace(
            parted, key="/watched", segments=("watched",), enforce=False, own_things=Ownership(prefix=("watched",))
        )
        both = replace(
            parted,
            key="/both",
            segments=("both",),
            budgets=(Budget("people", "subject"),),
            own_things=Ownership(prefix=("both",)),
        )
        own = [sealed.own_route(name, upstream) for name in ("login", "me")]
        own.append(sealed.own_route("logout", upstream, "POST"))
        policy = Policy(
            [*config.policy.routes, keys, pages, live, observed, everybodys, counted, parted, watched, both, *own],
            login=sealed.LOGIN,
        )
        config = replace(config, policy=policy, cors=cors, limits=replace(config.limits, **limits))
        self.is_fast, self.is_opening, self.is_tight = "llhttp" not in given, "opening" in given, "tight" in given
        words_alone = ("cors", "llhttp", "opening", "tight", "at once")
        assert len(given) == len(limits) + bool(said) + sum(one in words_alone for one in given), given
        self.is_at_once = "at once" in given
        self.now = 1000.0
        self.is_mistaken = False
        self.notes: list[str] = []
        self.moves: set[tuple[State, State]] = set()
        self.upstreams: list[PlayedUpstream] = []
        self.host = PlayedHost(self, Runtime(config, {"default": PlayedConnections(self)}))
        self.client = PlayedClient(self)
        self.last: Exchange | None = None

    @property
    def exchange(self) -> Exchange:
        """The last one."""
        assert self.last is not None, "no request has come"
        return self.last

    def note(self, said: str) -> None:
        self.look()
        self.notes.append(said)

    def look(self) -> None:
        """Note what the upstreams were told without a call."""
        for upstream in self.upstreams:
            upstream.look()

    def feed(self, event: str) -> list[str]:
        """Have an event happen; returns the commands that follow."""
        before = len(self.notes)
        told, _, text = event.partition(" body ")
        client, host, body = self.client, self.host, _bytes(text)
        match told.split(" "):
            case ["request", method, target, *words]:
                client.receive(_request(method, target, words) + body)
            case ["client", "sends", *_]:
                client.receive(_bytes(told.removeprefix("client sends ")))
            case ["client", "slow" | "takes", *_]:
                client.is_slow = told == "client slow"
                assert client.sender is not None
                client.sender.client_is_slow(is_slow=client.is_slow)
            case ["client", "leaves"]:
                assert client.sender is not None
                client.sender.client_left()
            case ["key", *how]:
                host.end_fetch(" ".join(how))
            case ["session", how]:
                host.end_renewal(how)
            case ["answer", how]:
                host.end_answer(how)
            case ["budget", *how]:
                host.end_spending(" ".join(how))
            case ["clock", seconds]:
                self._go_by(float(seconds))
            case ["revoke", subject]:
                revoked = Revoked(RevocationList([Revocation("revoked.yaml:1", subject=subject)]))
                host.runtime.config.policy.revoked = revoked
                if client.sender is not None:
                    client.sender.end_revoked(revoked)
            case ["leave"]:
                host.is_draining = True
            case ["drain"]:
                host.is_draining, host.takes_requests = True, False
                for tunnel in list(host.tunnels):
                    tunnel.go_away()
            case ["shut", "down"]:
                host.is_draining, host.takes_requests = True, False
                assert client.sender is not None
                client.sender.shut_down()
            case ["mistake"]:
                self.is_mistaken = True
            case _:
                self.upstreams[-1].feed(told, body)
        self.look()
        return self.notes[before:]

    def _go_by(self, seconds: float) -> None:
        end, client = self.now + seconds, self.client
        while client.sender is not None and client.deadline <= end:
            self.now = max(self.now, client.deadline)
            client.sender.expire()
            assert client.sender is None or client.deadline > self.now, "it would expire again at once, for ever"
        self.now = end

    def possible(self) -> Iterator[str]:
        """Yield events that can come now; none, once the exchange has ended."""
        client, host, sender = self.client, self.host, self.client.sender
        if sender is None:
            return
        yield from ("client takes again" if client.is_slow else "client slow", "client leaves", "shut down")
        yield from (f"clock {seconds}" for seconds in (1, 29, 59, 200))
        if not host.is_draining:
            yield "leave"
        if host.takes_requests:
            yield "drain"
        if sender.takes_bytes:
            yield from (f"client sends {text}" for text in ("a", r"1\r\na\r\n", r"0\r\n\r\n", "x*70000", r"\x88\x00"))
        if host.fetched is not None:
            yield from ("key comes", "key fails", "key is unknown")
        if host.renewed is not None:
            yield from ("session comes", "session stays", "session ends", "session waits")
        if host.answered is not None:
            yield from ("answer comes", "answer fails")
        if host.spent is not None:
            yield from ("budget lends", "budget is free", "budget is spent")
        if not self.upstreams or self.upstreams[-1].taker is None:
            return
        yield from ("upstream takes again" if self.upstreams[-1].is_full else "upstream full", "upstream breaks")
        yield "revoke user-1"
        if isinstance(sender, Tunnel) or self.exchange.state is RESPONDING or self.upstreams[-1].has_begun:
            yield from ("piece a", r"piece \x88\x00", "last piece a", "response ended", r"piece data: 1\n\ndata")
        else:
            yield from (
                f"response 200{form}" for form in (" length 1 body a", " length 2", " chunked body a", "", " events")
            )
            yield from ("upstream switches", "upstream switches wrongly", "upstream breaks unsent")
            if len(self.upstreams) == 1 and not self.is_opening:
                yield "upstream breaks kept"


class Watched(Exchange):
    """An exchange whose moves are noted."""

    def __init__(self, player: Player, request: RequestRead) -> None:
        self._moves = player.moves
        super().__init__(player.host, player.client, request)

    def _move(self, state: State) -> None:
        self._moves.add((self.state, state))
        super()._move(state)


class PlayedKeys(Keys):
    """What the gateway has of keys."""

    def __init__(self) -> None:
        self.found: Key | NoKey = NoKey(fetch_may_help=True, is_outage=True)

    def find(self, source: KeySource, kid: str | None, algorithm: str, now: float) -> Key | NoKey:
        return self.found


class PlayedHost(Host):
    """The gateway around an exchange."""

    def __init__(self, player: Player, runtime: Runtime) -> None:
        self._player, self.runtime, self.tracing = player, runtime, None
        self.keys = self.held = PlayedKeys()
        self.is_draining, self.takes_requests = False, True
        self.open_requests, self.tunnels, self.sessions = 0, set(), SeenSessions()
        self.holding = Holding()
        self.begun: list[Outcome] = []
        self.outcomes: list[Outcome] = []  # of what has ended
        self.fetched: Callable[[tuple[float, float]], None] | None = None  # is told that a key was fetched
        self.asked_about: Session | None = None
        self.renewed: Callable[[Session | Denied], None] | None = None  # is told of a session's next state
        self.answered: Callable[[OwnAnswer | Denied], None] | None = None  # is told of an answer of our own
        self.lent = 0
        self.spent: Callable[[Lease | Denied], None] | None = None  # is told what is left of a budget
        self.clock, self.next_id = self._clock, self._next_id

    def _clock(self) -> float:
        if self._player.is_mistaken:
            raise ZeroDivisionError
        return NOW + self._player.now - 1000.0

    def _next_id(self) -> str:
        return f"{len(self.begun):032x}"

    def began(self, outcome: Outcome) -> None:
        self.begun.append(outcome)

    def stream_began(self, outcome: Outcome) -> None:
        self._player.note("stream")

    def ended(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)

    def fetch_key(self, need: NeedKey, then: Callable[[tuple[float, float]], None]) -> Callable[[], object]:
        self._player.note(f"key fetch {need.kid}")
        self.fetched = then
        return self._give_up

    def _give_up(self) -> None:
        self._player.note("key given up")
        self.fetched = None

    def end_fetch(self, how: str) -> None:
        no_key = NoKey(fetch_may_help=True, is_outage=how == "fails")  # yet nobody may ask a second time
        self.held.found = _KEY if how == "comes" else no_key
        then, self.fetched = self.fetched, None
        assert then is not None, "no key is being fetched"
        then((1.0, 2.0))

    def renew_session(self, session: Session, then: Callable[[Session | Denied], None]) -> Callable[[], object]:
        self._player.note("session renew")
        self.asked_about, self.renewed = session, then
        return self._give_up_session

    def _give_up_session(self) -> None:
        self._player.note("session given up")
        self.renewed = None

    def end_renewal(self, how: str) -> None:
        before, then, self.renewed = self.asked_about, self.renewed, None
        assert then is not None and before is not None, "no session is being renewed"
        no = Reason.SESSION_EXPIRED if how == "ends" else Reason.LOGIN_UNAVAILABLE
        then({"comes": _NEXT_SESSION, "stays": before}.get(how) or Denied(no, how))

    def answer(self, question: OwnQuestion, then: Callable[[OwnAnswer | Denied], None]) -> Callable[[], object]:
        of = "" if question.principal is None else f" of {question.principal.subject}"
        self._player.note(f"answer to {question.name}{of}")
        self.answered = then
        return self._give_up_answer

    def _give_up_answer(self) -> None:
        self._player.note("answer given up")
        self.answered = None

    def end_answer(self, how: str) -> None:
        then, self.answered = self.answered, None
        assert then is not None, "nobody asked us"
        then(json_answer({}) if how == "comes" else Denied(Reason.LOGIN_INVALID, how))

    def spend(
        self,
        route: Route,
        principal: Principal | None,
        client_ip: str,
        then: Callable[[Lease | Denied], None],
        *,
        may_stream: bool,
    ) -> Callable[[], object]:
        assert principal is not None and client_ip == "192.0.2.1"
        names = ", ".join([one.name for one in route.budgets])
        self._player.note(f"budgets {names} of {principal.subject}{', a stream' if may_stream else ''}")
        self.spent = then
        if self._player.is_at_once:
            self.end_spending("lends")
        return self._give_up_spending

    def _give_up_spending(self) -> None:
        self._player.note("budgets given up")
        self.spent = None

    def end_spending(self, how: str) -> None:
        then, self.spent = self.spent, None
        assert then is not None, "nobody asked for a budget"
        told: dict[str, Lease | Denied] = {
            "lends": PlayedLease(self._player, is_place=True),
            "is free": PlayedLease(self._player, is_place=False),
            "is spent": OverBudget(Reason.BUDGET_EXCEEDED, how, b"Retry-After: 7\r\n"),
        }
        self.lent += how == "lends"
        then(told[how])


class PlayedLease(Lease):
    """A place in a budget; without `is_place` there is nothing to give back."""

    def __init__(self, player: Player, *, is_place: bool = True) -> None:
        super().__init__()
        self._player, self._is_place = player, is_place

    def answered(self, *, has_length: bool, is_events: bool, cut: Callable[[OverBudget], None]) -> None:
        if self._is_place and has_length:
            self.release()

    def release(self) -> None:
        if self._is_place:
            self._is_place = False
            self._player.note("budgets given back")


class PlayedClient(Client):
    """A connection from a client: bytes come, and go to one exchange after the other, as in `ClientConnection`."""

    stall_seconds = STALL_SECONDS

    def __init__(self, player: Player) -> None:
        self._player, self._kept = player, b""
        self.sender: Relay | None = None
        self.deadline, self.is_slow, self.is_upload_held = 0.0, False, False
        self.is_member: bool | None = None
        self.urgent: list[bool] = []  # of each write
        self.now, self.serve = self._now, self._serve

    def receive(self, data: bytes) -> None:
        sender, player, arrived = self.sender, self._player, Arrivals()
        if sender is None:
            arrived.ahead = data
            sender = self._begin(arrived)
            data = arrived.take() if self.sender is sender else b""
        if data and sender.takes_bytes:
            data = sender.uploaded(data)
        if data:
            player.note(f"client keeps {_text(data)}")
            self._kept += data

    def _begin(self, arrived: Arrivals) -> Exchange:
        player, runtime, broken = self._player, self._player.host.runtime, None
        try:
            max_bytes = int(runtime.config.limits.header_bytes)
            request = arrived.next(runtime.requests, "192.0.2.1", "http", max_bytes, is_fast=player.is_fast)
            assert request is not None, "half a head"
        except BrokenRequest as problem:
            broken, request = problem, problem.head or RequestRead("-", "-", Headers(()), "192.0.2.1", "http")
            request.keeps_alive, request.length_bytes = False, 0
        exchange = self.sender = player.last = Watched(player, request)
        if request.length_bytes:
            arrived.at = exchange.take_body(arrived.ahead, arrived.at)
        exchange.begin(broken)
        return exchange

    def _now(self) -> float:
        return self._player.now

    @property
    def unsent_bytes(self) -> int:
        return int(self.is_slow)

    def _serve(self, is_member: bool) -> None:
        self.is_member = is_member

    def write(self, data: bytes, *, is_urgent: bool = False) -> None:
        if data:
            self._player.note(f"client write {_shown(data)}")
            self.urgent.append(is_urgent)
            if self._player.is_tight and not self.is_slow and self.sender is not None:
                self.is_slow = True
                self.sender.client_is_slow(is_slow=True)

    def hold_upload(self, *, is_held: bool) -> None:
        if self.is_upload_held is not is_held:
            self.is_upload_held = is_held
            self._player.note("client held" if is_held else "client freed")

    def switch(self, other: Relay) -> bytes:
        self._player.note("client switched")
        self.sender, kept, self._kept = other, self._kept, b""
        return kept

    def exchange_ended(self, *, keeps_alive: bool, lingers: bool = False) -> None:
        outcomes, how = self._player.host.outcomes, "keep-alive" if keeps_alive else "close"
        self._player.note(f"client ended {'lingers' if lingers else how}, {outcomes[-1].ended}")
        assert not (keeps_alive and lingers)
        assert len(outcomes) == len(self._player.host.begun), "ended before it was recorded"
        self.sender, self.is_upload_held = None, False

    def reset(self) -> None:
        self._player.note("client reset")


class PlayedConnections(Connections):
    """The connections to the upstream, each of which is noted down."""

    def __init__(self, player: Player) -> None:
        self._player = player

    def take(self) -> Upstream:
        return self._add("upstream", is_opening=self._player.is_opening)

    def open(self) -> Upstream:
        return self._add("new upstream", is_opening=True)

    def _add(self, name: str, *, is_opening: bool) -> Upstream:
        self._player.upstreams.append(PlayedUpstream(self._player, name, is_opening=is_opening))
        return self._player.upstreams[-1]


class PlayedUpstream(Upstream):
    """A connection to the upstream: its events come from the dialogue, as from `UpstreamConnection`."""

    def __init__(self, player: Player, name: str, *, is_opening: bool) -> None:
        self._player, self._name = player, name
        self.is_held, self.is_sending, self.is_full = False, False, is_opening
        self._was_sending = False
        self.taker: Relay | None = None
        self._method, self.begun = "", b""
        self.has_begun = False

    def look(self) -> None:
        """Note that it was told to have all of the request, if it was."""
        if self._was_sending and not self.is_sending:
            self._player.notes.append(f"{self._name} has all")
        self._was_sending = self.is_sending

    @property
    def unsent_bytes(self) -> int:
        return int(self.is_full)

    def begin(self, taker: Relay, method: str, data: bytes) -> None:
        self.taker, self._method, self.begun = taker, method, data
        self.has_begun = False
        assert data.startswith(method.encode() + b" ")
        self._player.note(f"{self._name} begin {_shown(data, *['unfinished'] * self.is_sending)}")
        if self.is_full:
            taker.upload_may_go_on(may=False)

    def write(self, data: bytes) -> None:
        assert self.taker is not None, "written to what is nobody's any more"
        if data:
            self.begun += data
            self._player.note(f"{self._name} write {_shown(data)}")
            if self._player.is_tight and not self.is_full:
                self.feed("upstream full", b"")

    def hold_response(self, *, is_held: bool) -> None:
        if self.is_held is not is_held:
            self.is_held = is_held
            self._player.note(f"{self._name} {'held' if is_held else 'freed'}")

    def close(self) -> None:
        self.taker = None
        self._player.note(f"{self._name} close")

    def abort(self) -> None:
        self.taker = None
        self._player.note(f"{self._name} abort")

    def feed(self, told: str, body: bytes) -> None:
        """Have the upstream do something."""
        taker = self.taker
        assert taker is not None, f"nobody takes it: {told}"
        match told.split(" "):
            case ["response", "ended"]:
                self.taker = None
                taker.response_ended()
            case ["response", status, *words]:
                self._respond(taker, status, words, body)
            case ["piece", *_]:
                taker.response_data(_bytes(told.removeprefix("piece ")))
                if self.taker is not None:
                    taker.response_goes_on()
            case ["last", "piece", *_]:
                taker.response_data(_bytes(told.removeprefix("last piece ")))
                if self.taker is not None:
                    self.feed("response ended", b"")
            case ["upstream", "full" | "takes", *_]:
                self.is_full = told == "upstream full"
                taker.upload_may_go_on(may=not self.is_full)
            case ["upstream", "breaks", *how]:
                self.taker, unsent = None, self.begun if how == ["unsent"] else b""
                taker.response_broke(_BROKEN, may_retry=how == ["kept"], unsent=unsent)
            case ["upstream", "switches", *how]:
                response = _response(_SWITCHING + (b"x" if how else b"") + _ACCEPT)
                switched = taker.switched(response)
                if switched is None:
                    if self.taker is not None:
                        self.feed("upstream breaks", b"")
                    return
                self.taker = switched
                if body:
                    switched.response_data(body)
            case _:
                raise AssertionError(f"no event: {told}")

    def _respond(self, taker: Relay, status: str, words: list[str], body: bytes) -> None:
        lines = _lines([word for word in words if word != "broken"])
        response = _response(b"HTTP/1.1 %b OK\r\n%b" % (status.encode(), lines))
        if self._player.is_mistaken:
            response = replace(response, fields=[cast(Field, None)], forwarded=None)  # our own mistake
        if (response.length_bytes if not response.is_bodiless and self._method != "HEAD" else 0) == len(body):
            self.taker = None
            taker.response_came(response, body)
            return
        self.has_begun = True
        taker.response_began(response)
        if self.taker is not None and body:
            taker.response_data(body)
        if "broken" in words:
            self.feed("upstream breaks", b"")
        elif self.taker is not None:
            taker.response_goes_on()


_RESPONSES = Responses(is_response_line_forwarded)


def _response(head: bytes) -> ResponseRead:
    response = _RESPONSES.read(head)
    assert response is not None, f"no head of a response: {head!r}"
    return response


def _request(method: str, target: str, words: list[str]) -> bytes:
    version = "1.0" if "1.0" in words else "1.1"
    lines = _lines([word for word in words if word != "1.0"])
    return f"{method} {target} HTTP/{version}\r\nHost: gw.test\r\n".encode() + lines + b"\r\n"


def _lines(words: list[str]) -> bytes:
    rest = iter(words)
    return b"".join(b"Content-Length: %d\r\n" % int(next(rest)) if one == "length" else _LINES[one] for one in rest)


def _shown(data: bytes, *words: str) -> str:
    """Return a message's head in short, or what is none as text."""
    start, _, lines = data.partition(b"\r\n\r\n")[0].decode("latin-1").partition("\r\n")
    if "HTTP/1.1" not in start:
        return _text(data)
    body = data[data.index(b"\r\n\r\n") + 4 :]
    first, second, _ = (*start.split(" "), "", "")[:3]
    of = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines.split("\r\n"))}
    told = [second] if first == "HTTP/1.1" else [first, second]
    if "x-auth-subject" in of:
        told += ["as", of["x-auth-subject"]]
    is_refusal = body.startswith(b'{"error"')
    if "content-length" in of and not is_refusal:
        told += ["length", of["content-length"]]
    told += [of["transfer-encoding"]] if "transfer-encoding" in of else []
    told += [{"upgrade": "websocket"}.get(of["connection"].lower(), of["connection"])] if "connection" in of else []
    told += ["cors"] if "access-control-allow-origin" in of else []
    if "set-cookie" in of:
        told.append("cookie gone" if "Max-Age=0;" in of["set-cookie"] else "cookie")
    told += words
    if is_refusal:
        told.append(json.loads(body)["code"])
    elif body:
        told += ["body", _text(body)]
    return " ".join(told)


def _text(data: bytes) -> str:
    """Return bytes as TEXT."""
    said = data.partition(b"\r\n")[2].removesuffix(b"\r\n")  # of a chunk
    if said == HEARTBEAT:
        return "heartbeat"
    if said.startswith(b"event: gateway\ndata: "):
        return f"event {json.loads(said.partition(b'data: ')[2])['code']}"
    if data[:1] == b"\x88" and data[1] < 0x80 and len(data) > 4:
        return f"close {int.from_bytes(data[2:4])} {data[4:].decode()}"
    if data[:1] == b"\x88" and len(data) in (4, 8):  # a close frame with a code; one to a server is masked by chance
        is_masked = len(data) == 8
        code = bytes(a ^ b for a, b in zip(data[-2:], data[2:4] if is_masked else b"\0\0", strict=True))
        return f"{'masked ' * is_masked}close {int.from_bytes(code)}"
    if len(data) > 100 and len(set(data)) == 1:
        return f"{data[:1].decode('latin-1')}*{len(data)}"
    return data.decode("latin-1").encode("unicode_escape").decode("ascii")


def _bytes(text: str) -> bytes:
    many = re.fullmatch(r"(.)\*([0-9]+)", text)
    return many[1].encode() * int(many[2]) if many else text.encode().decode("unicode_escape").encode("latin-1")
