"""Streams that the gateway looks after: dialogues with the machine, see `playbook` for their words."""

from __future__ import annotations

import pytest

from tests.proxy.playbook import dialogues, play

HEARTBEATS = r"""
# into silence before and between events
-- streams heartbeat 15
>> request GET /live/x token       << upstream begin GET /live/x as user-1
>> response 200 chunked events     << stream; client write 200 chunked
>> clock 14
>> clock 1                         << client write heartbeat
>> clock 14
>> piece data: 1\n\n               << client write 9\r\ndata: 1\n\n\r\n
>> clock 14
>> clock 1                         << client write heartbeat
>> clock 15                        << client write heartbeat
>> response ended                  << client write 0\r\n\r\n; client ended keep-alive, complete
# on a public route
-- streams heartbeat 15
>> request GET /open/x             << upstream begin GET /open/x
>> response 200 events             << stream; client write 200 chunked
>> clock 15                        << client write heartbeat
>> response ended                  << client write 0\r\n\r\n; client ended keep-alive, complete
# to Mastra's client for A2A are empty lines, since it fails at a comment
-- streams heartbeat 15
>> request POST /live/a2a/agent token length 0 << upstream begin POST /live/a2a/agent as user-1 length 0
>> response 200 chunked events     << stream; client write 200 chunked
>> clock 15                        << client write 2\r\n\n\n\r\n
# never into an event
-- streams heartbeat 15
>> request GET /live/x token       << upstream begin GET /live/x as user-1
>> response 200 chunked events body data: 1\n << stream; client write 200 chunked body 8\r\ndata: 1\n\r\n
>> clock 100
>> piece \n                        << client write 1\r\n\n\r\n
>> clock 15                        << client write heartbeat
# never into what is encoded
-- streams heartbeat 15
>> request GET /live/x token       << upstream begin GET /live/x as user-1
>> response 200 chunked events gzip << stream; client write 200 chunked
>> clock 200
# never into what is no stream of events
-- streams heartbeat 15
>> request GET /live/x token       << upstream begin GET /live/x as user-1
>> response 200 chunked            << stream; client write 200 chunked
>> clock 200
# never where there is a length
-- streams heartbeat 15
>> request GET /live/x token       << upstream begin GET /live/x as user-1
>> response 200 length 20 events   << client write 200 length 20
>> clock 200
# never into an error
-- streams heartbeat 15
>> request GET /live/x token       << upstream begin GET /live/x as user-1
>> response 503 chunked events     << stream; client write 503 chunked
>> clock 200
# never behind a HEAD
-- streams heartbeat 15
>> request HEAD /live/x token      << upstream begin HEAD /live/x as user-1
>> response 200 chunked events     << client write 200; client ended keep-alive, complete
# never to who does not take what there is
-- streams heartbeat 15
>> request GET /live/x token       << upstream begin GET /live/x as user-1
>> response 200 chunked events     << stream; client write 200 chunked
>> client slow                     << upstream held
>> clock 59
>> client takes again              << upstream freed
>> clock 15                        << client write heartbeat
# make no client slow, and none that is so less slow
-- streams heartbeat 15
>> request GET /live/x token       << upstream begin GET /live/x as user-1
>> response 200 chunked events     << stream; client write 200 chunked
>> clock 15                        << client write heartbeat
>> client slow                     << upstream held
>> clock 59
>> clock 1                         << upstream abort; client ended close, client_gone; client reset
# are no sign of life of the upstream
-- streams heartbeat 100
>> request GET /live/x token       << upstream begin GET /live/x as user-1
>> response 200 chunked events     << stream; client write 200 chunked
>> clock 100                       << client write heartbeat
>> clock 100                       << client write heartbeat
>> clock 99
>> clock 1                         << upstream abort; client ended close, upstream_cut
# to HTTP/1.0 go without chunks
-- streams heartbeat 15
>> request GET /live/x 1.0 token   << upstream begin GET /live/x as user-1
>> response 200 chunked events     << stream; client write 200 close
>> clock 15                        << client write : keep-alive\n\n
"""

ENDS = r"""
# with the token and a grace at a border
-- streams grace 2
>> request GET /live/x token-5s    << upstream begin GET /live/x as user-1
>> response 200 chunked events body data: 1\n\n << stream; client write 200 chunked body 9\r\ndata: 1\n\n\r\n
>> clock 6
>> piece data: 2\n\n               << client write 9\r\ndata: 2\n\n\r\n
>> clock 0.9
>> clock 0.1                       << client write event token_expired; upstream abort; client write 0\r\n\r\n
                                   << client ended keep-alive, expired
# before the first event
-- streams grace 2
>> request GET /live/x token-5s    << upstream begin GET /live/x as user-1
>> response 200 chunked events     << stream; client write 200 chunked
>> clock 7                         << client write event token_expired; upstream abort; client write 0\r\n\r\n
                                   << client ended keep-alive, expired
# behind the event that is under way and before the next
-- streams grace 2
>> request GET /live/x token-5s    << upstream begin GET /live/x as user-1
>> response 200 chunked events body data: << stream; client write 200 chunked body 5\r\ndata:\r\n
>> clock 7.4
>> piece 1\n\ndata: 2\n\n          << client write 3\r\n1\n\n\r\n; client write event token_expired; upstream abort
                                   << client write 0\r\n\r\n; client ended keep-alive, expired
# in an event that takes too long to end
-- streams grace 2
>> request GET /live/x token-5s    << upstream begin GET /live/x as user-1
>> response 200 chunked events body data: << stream; client write 200 chunked body 5\r\ndata:\r\n
>> clock 7.4
>> piece 1                         << client write 1\r\n1\r\n
>> clock 0.1                       << upstream abort; client ended close, expired
# of records is broken
-- streams grace 2
>> request GET /live/x token-5s    << upstream begin GET /live/x as user-1
>> response 200 chunked body {}\x1e << stream; client write 200 chunked body 3\r\n{}\x1e\r\n
>> clock 6
>> clock 1                         << upstream abort; client ended close, expired
# of what is encoded is broken
-- streams grace 2
>> request GET /live/x token-5s    << upstream begin GET /live/x as user-1
>> response 200 chunked events gzip body x << stream; client write 200 chunked body 1\r\nx\r\n
>> clock 7                         << upstream abort; client ended close, expired
# of records to HTTP/1.0 is reset
-- streams grace 2
>> request GET /live/x 1.0 token-5s << upstream begin GET /live/x as user-1
>> response 200 chunked body {}\x1e << stream; client write 200 close body {}\x1e
>> clock 7                         << client reset; upstream abort; client ended close, expired
# of what has a length is none
-- streams grace 2
>> request GET /live/x token-5s    << upstream begin GET /live/x as user-1
>> response 200 length 6           << client write 200 length 6
>> clock 60
>> last piece abcdef               << client write abcdef; client ended keep-alive, complete
# without an end in the token is none
-- streams grace 2
>> request GET /live/x token       << upstream begin GET /live/x as user-1
>> response 200 chunked events     << stream; client write 200 chunked
>> clock 299
# without an end in the file is none
-- streams heartbeat 1000
>> request GET /live/x token-5s    << upstream begin GET /live/x as user-1
>> response 200 chunked events     << stream; client write 200 chunked
>> clock 299
# by the longest time
-- streams grace 2 max 100
>> request GET /live/x token       << upstream begin GET /live/x as user-1
>> response 200 chunked events     << stream; client write 200 chunked
>> clock 99
>> clock 1                         << client write event stream_too_long; upstream abort; client write 0\r\n\r\n
                                   << client ended keep-alive, too_long
# by the longest time for everybody
-- streams max 100
>> request GET /open/x             << upstream begin GET /open/x
>> response 200 chunked            << stream; client write 200 chunked
>> clock 100                       << upstream abort; client ended close, too_long
# for a client that does not take is said behind what waits
-- streams grace 2
>> request GET /live/x token-5s    << upstream begin GET /live/x as user-1
>> response 200 chunked events     << stream; client write 200 chunked
>> client slow                     << upstream held
>> clock 7                         << client write event token_expired; upstream abort; client write 0\r\n\r\n
>> clock 52
>> client takes again              << client ended keep-alive, expired
# gives a client that does not take no more time than before
-- streams grace 2
>> request GET /live/x token-5s    << upstream begin GET /live/x as user-1
>> response 200 chunked events     << stream; client write 200 chunked
>> client slow                     << upstream held
>> clock 7                         << client write event token_expired; upstream abort; client write 0\r\n\r\n
>> clock 52
>> clock 1                         << client ended close, client_gone; client reset
# while the client still sends
-- streams grace 2
>> request POST /live/x token-5s length 9 << upstream begin POST /live/x as user-1 length 9 unfinished
>> response 200 chunked events     << stream; client write 200 chunked close
>> clock 7                         << client write event token_expired; upstream abort; client write 0\r\n\r\n
                                   << client ended lingers, expired
# of a session that nobody can renew
-- streams grace 2
>> request GET /pages/x short-session << upstream begin GET /pages/x as user-1
>> response 200 chunked events     << stream; client write 200 chunked
>> clock 101
>> clock 1                         << client write event session_expired; upstream abort; client write 0\r\n\r\n
                                   << client ended keep-alive, expired
# of a session is not that of the issuer's token
-- streams grace 2 heartbeat 250
>> request GET /pages/x session    << upstream begin GET /pages/x as user-1
>> response 200 chunked events     << stream; client write 200 chunked
>> clock 250                       << client write heartbeat
>> piece :\n\n                     << client write 3\r\n:\n\n\r\n
"""

REVOKED = r"""
# at a border
>> request GET /live/x token       << upstream begin GET /live/x as user-1
>> response 200 chunked events     << stream; client write 200 chunked
>> revoke user-2
>> revoke user-1                   << client write event token_revoked; upstream abort; client write 0\r\n\r\n
                                   << client ended keep-alive, revoked
# in mid-event
>> request GET /live/x token       << upstream begin GET /live/x as user-1
>> response 200 chunked events body data: << stream; client write 200 chunked body 5\r\ndata:\r\n
>> revoke user-1
>> revoke user-1
>> clock 0.4
>> clock 0.1                       << upstream abort; client ended close, revoked
# of records
>> request GET /live/x token       << upstream begin GET /live/x as user-1
>> response 200 chunked            << stream; client write 200 chunked
>> revoke user-1                   << upstream abort; client ended close, revoked
# of what has a length
>> request GET /api/x token        << upstream begin GET /api/x as user-1
>> response 200 length 6           << client write 200 length 6
>> revoke user-1                   << upstream abort; client ended close, revoked
# before there is a response
>> request GET /api/x token        << upstream begin GET /api/x as user-1
>> revoke user-1                   << client write 401 token_revoked; upstream abort; client ended keep-alive, revoked
# with an upload under way
>> request POST /api/x token length 9 << upstream begin POST /api/x as user-1 length 9 unfinished
>> revoke user-1                   << client write 401 close token_revoked; upstream abort
                                   << client ended lingers, revoked
# while a place in a budget is waited for
>> request GET /counted/x token    << budgets people, all of user-1
>> revoke user-1                   << client write 401 token_revoked; budgets given up; client ended keep-alive, revoked
# whose response is on its way is delivered
>> request GET /api/x token        << upstream begin GET /api/x as user-1
>> client slow                     << upstream held
>> response 200 length 2 body ok   << client write 200 length 2 body ok
>> revoke user-1
>> client takes again              << client ended keep-alive, complete
# of a session
>> request GET /pages/x session    << upstream begin GET /pages/x as user-1
>> response 200 chunked events     << stream; client write 200 chunked
>> revoke user-1                   << client write event token_revoked; upstream abort; client write 0\r\n\r\n
                                   << client ended keep-alive, revoked
# before it asks
>> revoke user-1
>> request GET /api/x token        << client write 401 token_revoked; client ended keep-alive, refused
# whose session was to be renewed: nobody asks for it
>> revoke user-1
>> request GET /pages/x old-session << client write 401 cookie gone token_revoked; client ended keep-alive, refused
# while the session is renewed
>> request GET /pages/x old-session << session renew
>> revoke user-1
>> session comes                   << client write 401 cookie gone token_revoked; client ended keep-alive, refused
# where nobody is held to it
>> request GET /observed/x token   << upstream begin GET /observed/x as user-1
>> response 200 chunked events     << stream; client write 200 chunked
>> revoke user-1
>> piece :\n\n                     << client write 3\r\n:\n\n\r\n
# on a public route
>> request GET /open/x token       << upstream begin GET /open/x
>> response 200 chunked events     << stream; client write 200 chunked
>> revoke user-1
>> piece :\n\n                     << client write 3\r\n:\n\n\r\n
"""

OPENED = r"""
>> request GET /live/x websocket token-5s << upstream begin GET /live/x as user-1 websocket
>> upstream switches                      << stream; client write 101 websocket; client switched
"""
WEBSOCKETS = r"""
# with the token and a grace
-- streams grace 2
>> clock 6.9
>> clock 0.1              << upstream write masked close 1001; client write close 4401 token_expired
>> client sends \x88\x80mask
>> piece \x88\x00         << upstream close; client ended close, expired
# behind the frame that is under way
-- streams grace 2
>> piece \x81\x02a        << client write \x81\x02a
>> clock 7                << upstream write masked close 1001
>> piece b\x81\x01c       << client write b\x88\x0f\x111token_expired
>> client sends more
>> clock 2                << upstream close; client ended close, expired
# and is cut where nobody answers
-- streams grace 2
>> clock 7                << upstream write masked close 1001; client write close 4401 token_expired
>> clock 1.9
>> clock 0.1              << upstream close; client ended close, expired
# by the longest time
-- streams max 100
>> clock 100              << upstream write masked close 1001; client write close 4408 stream_too_long
>> clock 2                << upstream close; client ended close, too_long
# because its caller is revoked
>> revoke user-2
>> revoke user-1          << upstream write masked close 1001; client write close 4401 token_revoked
>> revoke user-1
>> clock 2                << upstream close; client ended close, revoked
# once
-- streams grace 2
>> clock 7                << upstream write masked close 1001; client write close 4401 token_expired
>> drain
>> revoke user-1
>> clock 2                << upstream close; client ended close, expired
# not for a drain that was first
-- streams grace 2
>> drain                  << upstream write masked close 1001; client write close 1001
>> revoke user-1
>> clock 2                << upstream close; client ended close, complete
# still by silence
-- streams grace 1000
>> clock 299
>> clock 31               << upstream write masked close 1001; client write close 1001
                          << upstream close; client ended close, complete
"""


def opened(dialogue: str) -> str:
    given = [line for line in dialogue.splitlines(keepends=True) if line.startswith("-- ")]
    return "".join(given) + OPENED + dialogue.removeprefix("".join(given))


@pytest.mark.parametrize("dialogue", [*dialogues(HEARTBEATS), *dialogues(ENDS), *dialogues(REVOKED)])
async def test_stream_is_looked_after(dialogue: str) -> None:
    play(dialogue)


@pytest.mark.parametrize("dialogue", dialogues(WEBSOCKETS))
async def test_websocket_is_looked_after(dialogue: str) -> None:
    play(opened(dialogue))
