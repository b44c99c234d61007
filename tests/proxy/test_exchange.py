"""The machine of one request and its response, held to dialogues: see `playbook` for their words."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.proxy.states import ENDED, MOVES, READING, IllegalMoveError, State
from tests.proxy.playbook import PlayedLease, Player, dialogues, play
from tests.proxy.test_owned import OWNED

RESPONSES = r"""
# whole
>> request GET /public/x         << upstream begin GET /public/x
>> response 200 length 2 body ok << client write 200 length 2 body ok; client ended keep-alive, complete
# to a caller who is known
>> request GET /api/x token      << upstream begin GET /api/x as user-1
>> response 404 length 2 body no << client write 404 length 2 body no; client ended keep-alive, complete
# by chunks
>> request GET /public/x         << upstream begin GET /public/x
>> response 200 chunked body one << stream; client write 200 chunked body 3\r\none\r\n
>> piece four                    << client write 4\r\nfour\r\n
>> response ended                << client write 0\r\n\r\n; client ended keep-alive, complete
# by length, in pieces
>> request GET /public/x << upstream begin GET /public/x
>> response 200 length 6 << client write 200 length 6
>> piece one             << client write one
>> last piece two        << client write two; client ended keep-alive, complete
# until the connection ends
>> request GET /public/x << upstream begin GET /public/x
>> response 200          << stream; client write 200 chunked
>> piece one             << client write 3\r\none\r\n
>> response ended        << client write 0\r\n\r\n; client ended keep-alive, complete
# of HEAD
>> request HEAD /public/x << upstream begin HEAD /public/x
>> response 200 length 6  << client write 200 length 6; client ended keep-alive, complete
# 204
>> request DELETE /public/x << upstream begin DELETE /public/x length 0
>> response 204             << client write 204; client ended keep-alive, complete
# to a client that wants to close
>> request GET /public/x close   << upstream begin GET /public/x
>> response 200 length 2 body ok << client write 200 length 2 close body ok; client ended close, complete
# whole to HTTP/1.0
>> request GET /public/x 1.0 keep-alive << upstream begin GET /public/x
>> response 200 length 2 body ok        << client write 200 length 2 keep-alive body ok
                                        << client ended keep-alive, complete
# streamed to HTTP/1.0 ends with the connection
>> request GET /public/x 1.0 keep-alive << upstream begin GET /public/x
>> response 200 chunked body one        << stream; client write 200 close body one
>> response ended                       << client ended close, complete
# streamed to HTTP/1.0 and cut is reset
>> request GET /public/x 1.0     << upstream begin GET /public/x
>> response 200 chunked body one << stream; client write 200 close body one
>> upstream breaks               << client reset; client ended close, upstream_cut
# cut by length to HTTP/1.0 needs no reset
>> request GET /public/x 1.0      << upstream begin GET /public/x
>> response 200 length 9 body one << client write 200 length 9 close body one
>> upstream breaks                << client ended close, upstream_cut
# whole to a slow client
>> request GET /public/x         << upstream begin GET /public/x
>> client slow                   << upstream held
>> response 200 length 2 body ok << client write 200 length 2 body ok
>> client takes again            << client ended keep-alive, complete
# streamed to a client that cannot take it at once
-- tight
>> request GET /public/x         << upstream begin GET /public/x
>> response 200 length 4 body ok << client write 200 length 4 body ok; upstream held
>> client takes again            << upstream freed
>> last piece ay                 << client write ay; upstream held
>> client takes again            << client ended keep-alive, complete
# whole to a client that cannot take it at once
-- tight
>> request GET /public/x         << upstream begin GET /public/x
>> response 200 length 2 body ok << client write 200 length 2 body ok
>> clock 59
>> client takes again            << client ended keep-alive, complete
# streamed to a slow client
>> request GET /public/x << upstream begin GET /public/x
>> response 200          << stream; client write 200 chunked
>> client slow           << upstream held
>> client takes again    << upstream freed
>> client slow           << upstream held
>> last piece a          << client write 1\r\na\r\n; client write 0\r\n\r\n
>> client takes again    << client ended keep-alive, complete
"""

REFUSALS = r"""
# without a token
>> request GET /api/x << client write 401 token_missing; client ended keep-alive, refused
# to HEAD
>> request HEAD /api/x bad-token << client write 401 length 111; client ended keep-alive, refused
# of an upload that is there
>> request POST /api/x length 3 body abc << client write 401 token_missing; client ended keep-alive, refused
# of an upload that comes by length
>> request POST /api/x length 9 body abc << client write 401 close token_missing; client ended lingers, refused
# of an upload that comes by chunks
>> request POST /api/x chunked << client write 401 close token_missing; client ended lingers, refused
# of a suspect head: 400
>> request GET /public/x other-host << client write 400 close request_malformed; client ended lingers, refused
# of a suspect head: 414
-- limit header_bytes 60
>> request GET /public/xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx << client write 414 close target_too_long
 << client ended lingers, refused
# of a suspect head: 431
-- limit header_bytes 60
>> request GET /public/x token << client write 431 close headers_too_large; client ended lingers, refused
# of a method that is never served
>> request TRACE /public/x << client write 405 close method_not_allowed; client ended lingers, refused
# of a WebSocket where there is none
>> request GET /plain websocket << client write 403 close websocket_refused; client ended close, refused
# of a WebSocket with a body
>> request GET /public/x websocket length 3 body abc << client write 400 close request_malformed
                                                     << client ended lingers, refused
"""

PAGES = r"""
# preflight, then the request
-- cors
>> request OPTIONS /api/x preflight << client write 204 cors; client ended keep-alive, complete
>> request GET /api/x origin token  << upstream begin GET /api/x as user-1
>> response 200 length 2 body ok    << client write 200 length 2 cors body ok; client ended keep-alive, complete
# preflight with a body that is there
-- cors
>> request OPTIONS /api/x preflight length 3 body abc << client write 204 cors; client ended keep-alive, complete
# preflight with a body that comes
-- cors
>> request OPTIONS /api/x preflight length 3 << client write 204 close cors; client ended lingers, complete
# refusal that the page may read
-- cors
>> request GET /api/x origin << client write 401 cors token_missing; client ended keep-alive, refused
# stream that the page may read
-- cors
>> request GET /public/x origin << upstream begin GET /public/x
>> response 200 chunked         << stream; client write 200 chunked cors
>> response ended               << client write 0\r\n\r\n; client ended keep-alive, complete
# without CORS a preflight is a request
>> request OPTIONS /api/x preflight << client write 401 token_missing; client ended keep-alive, refused
"""

SESSIONS = r"""
# a session that is good
>> request GET /pages/x session << upstream begin GET /pages/x as user-1
>> response 200 length 0        << client write 200 length 0; client ended keep-alive, complete
# one that is due, and goes on
>> request GET /pages/x due-session << session renew
>> clock 1000
>> session comes                    << upstream begin GET /pages/x as user-1
>> response 200 length 0            << client write 200 length 0 cookie; client ended keep-alive, complete
# one that goes on by a handshake
>> request GET /pages/x due-session websocket our-page << session renew
>> session comes          << upstream begin GET /pages/x as user-1 websocket
>> upstream switches      << stream; client write 101 websocket cookie; client switched
# one that is due, and stays as it is
>> request GET /pages/x due-session << session renew
>> session stays                    << upstream begin GET /pages/x as user-1
>> response 200 length 0            << client write 200 length 0; client ended keep-alive, complete
# one that goes on, and an upstream that breaks
>> request GET /pages/x due-session << session renew
>> session comes                    << upstream begin GET /pages/x as user-1
>> upstream breaks                  << client write 502 cookie upstream_broken; client ended keep-alive, refused
# one that the issuer ends
>> request GET /pages/x old-session << session renew
>> session ends << client write 401 cookie gone session_expired; client ended keep-alive, refused
# a page whose session the issuer ends
>> request GET /pages/x old-session navigate << session renew
>> session ends << client write 302 length 0 cookie gone; client ended keep-alive, refused
# one whose issuer is down
>> request GET /pages/x old-session navigate << session renew
>> session waits << client write 503 login_unavailable; client ended keep-alive, refused
# one that is none
>> request GET /pages/x bad-session << client write 401 cookie gone session_invalid; client ended keep-alive, refused
# a page without one
>> request GET /pages/x navigate << client write 302 length 0; client ended keep-alive, refused
# a call without one
>> request GET /pages/x << client write 401 token_missing; client ended keep-alive, refused
# nobody waits for any more
>> request GET /pages/x due-session << session renew
>> client leaves                    << session given up; client ended close, client_gone
# an upload waits for
>> request POST /pages/x due-session our-page length 3 << session renew
>> client sends abc
>> session comes << upstream begin POST /pages/x as user-1 length 3 body abc
# the gateway stops while one waits for
>> request GET /pages/x due-session << session renew
>> shut down << client write 503 close shutting_down; session given up; client ended close, shut_down
# we answer nobody by ourselves
>> request GET /own/login << answer to login
>> clock 1000
>> answer comes           << client write 200 length 2 body {}; client ended keep-alive, complete
# we answer somebody by ourselves
>> request GET /own/me session << answer to me of user-1
>> answer comes                << client write 200 length 2 body {}; client ended keep-alive, complete
# we answer somebody whose session is due
>> request GET /own/me due-session << session renew
>> session comes                   << answer to me of user-1
>> answer comes << client write 200 length 2 cookie body {}; client ended keep-alive, complete
# we answer nobody, whose session the issuer ended
>> request GET /own/me old-session << session renew
>> session ends                    << answer to me
# who ends a session that is due is not renewed
>> request POST /own/logout old-session our-page << answer to logout of user-1
# who is not of our page ends nothing
>> request POST /own/logout session << answer to logout
# we refuse
>> request GET /own/login << answer to login
>> answer fails           << client write 400 close login_invalid; client ended lingers, refused
# an upload that we do not want
>> request POST /own/logout length 3 << answer to logout
>> client sends a
>> answer comes << client write 200 length 2 close body {}; client ended lingers, complete
# a client that leaves before our answer
>> request GET /own/login << answer to login
>> client leaves          << answer given up; client ended close, client_gone
"""

KEYS = r"""
# a client that was slow waits for
>> request GET /keys/x key-token << key fetch k1
>> client slow
>> clock 59
>> client takes again
>> clock 1000
>> key comes                     << upstream begin GET /keys/x as user-1
# that comes
>> request GET /keys/x key-token << key fetch k1
>> clock 1000
>> key comes                     << upstream begin GET /keys/x as user-1
>> response 200 length 2 body ok << client write 200 length 2 body ok; client ended keep-alive, complete
# that cannot be had
>> request GET /keys/x key-token << key fetch k1
>> key fails                     << client write 503 keys_unavailable; client ended keep-alive, refused
# that is unknown, with an upload coming
>> request POST /keys/x key-token length 9 body abc << key fetch k1
>> key is unknown                                   << client write 401 close key_unknown; client ended lingers, refused
# nobody waits for any more
>> request GET /keys/x key-token << key fetch k1
>> client leaves                 << key given up; client ended close, client_gone
# an upload waits for
>> request POST /keys/x key-token length 6 expect << key fetch k1
>> client sends abc
>> client sends def
>> key comes                                      << upstream begin POST /keys/x as user-1 length 6 body abcdef
# a long upload waits for
>> request POST /keys/x key-token length 90000 << key fetch k1
>> client sends x*70000                        << client held
>> key comes                                   << client freed
<< upstream begin POST /keys/x as user-1 length 90000 unfinished body x*70000
# a broken upload does not wait for
>> request POST /keys/x key-token chunked body zz\r\n << key fetch k1; client write 400 close request_malformed
                                                      << key given up; client ended lingers, refused
# a slow client waits for
>> request GET /keys/x key-token << key fetch k1
>> client slow
>> key comes                     << upstream held; upstream begin GET /keys/x as user-1
>> client takes again            << upstream freed
"""

BUDGETS = r"""
# has a place until the end
>> request GET /counted/x token  << budgets people, all of user-1
>> budget lends                  << upstream begin GET /counted/x as user-1
>> response 200 chunked          << stream; client write 200 chunked
>> last piece a                  << client write 1\r\na\r\n; client write 0\r\n\r\n; budgets given back
                                 << client ended keep-alive, complete
# has a place at once
-- at once
>> request GET /counted/x token  << budgets people, all of user-1; upstream begin GET /counted/x as user-1
>> client leaves                 << upstream abort; budgets given back; client ended close, client_gone
# has a place until it is no stream
>> request POST /counted/x token << budgets people, all of user-1, a stream
>> budget lends                  << upstream begin POST /counted/x as user-1 length 0
>> response 200 length 9         << budgets given back; client write 200 length 9
>> last piece abcdefghi          << client write abcdefghi; client ended keep-alive, complete
# needs no place
>> request GET /counted/x token  << budgets people, all of user-1
>> budget is free                << upstream begin GET /counted/x as user-1
>> response 200 length 2 body ok << client write 200 length 2 body ok; client ended keep-alive, complete
# is spent
>> request GET /counted/x token  << budgets people, all of user-1
>> budget is spent               << client write 429 budget_exceeded; client ended keep-alive, refused
# is not asked for a stranger
>> request GET /counted/x        << client write 401 token_missing; client ended keep-alive, refused
# nobody waits for any more
>> request GET /counted/x token  << budgets people, all of user-1
>> client leaves                 << budgets given up; client ended close, client_gone
# an upload waits for
>> request POST /counted/x token length 6 expect << budgets people, all of user-1, a stream
>> client sends abc
>> budget lends << upstream begin POST /counted/x as user-1 length 6 unfinished body abc
>> client sends def                              << upstream has all; upstream write def
>> upstream breaks << client write 502 upstream_broken; budgets given back; client ended keep-alive, refused
# an upload by chunks waits for, and ends with
>> request POST /counted/x token chunked body 1\r\na\r\n0\r\n\r\n << budgets people, all of user-1, a stream
>> budget lends << upstream begin POST /counted/x as user-1 chunked body 1\r\na\r\n0\r\n\r\n
# is given back when a second try fails
>> request GET /counted/x token  << budgets people, all of user-1
>> budget lends                  << upstream begin GET /counted/x as user-1
>> upstream breaks kept          << new upstream begin GET /counted/x as user-1
>> upstream breaks << client write 502 upstream_broken; budgets given back; client ended keep-alive, refused
"""

UPLOADS = r"""
# in one piece
>> request POST /public/x length 3 body abc << upstream begin POST /public/x length 3 body abc
# by length, in pieces
>> request POST /public/x length 9 body abc << upstream begin POST /public/x length 9 unfinished; upstream write abc
>> client sends def                         << upstream write def
>> client sends ghi                         << upstream has all; upstream write ghi
>> response 201 length 2 body ok            << client write 201 length 2 body ok; client ended keep-alive, complete
# by chunks, framed anew
>> request POST /public/x chunked body 6;name=value\r\nabc << upstream begin POST /public/x chunked unfinished
                                                           << upstream write 3\r\nabc\r\n
>> client sends def\r\n                                    << upstream write 3\r\ndef\r\n
>> client sends 1\r\ng\r\n0\r\nTrailer: is dropped\r\n     << upstream write 1\r\ng\r\n
>> client sends \r\nGET                                    << upstream has all; upstream write 0\r\n\r\n
                                                           << client keeps GET
# by chunks that only an upstream may pad
>> request POST /public/x chunked << upstream begin POST /public/x chunked unfinished
>> client sends 3 \r\n            << client write 400 close request_malformed; upstream abort
                                  << client ended lingers, refused
# by chunks, read by llhttp
-- llhttp
>> request POST /public/x chunked body 3\r\nabc\r\n << upstream begin POST /public/x chunked unfinished
                                                    << upstream write 3\r\nabc\r\n
>> client sends 0\r\n\r\n                           << upstream has all; upstream write 0\r\n\r\n
# ends where the next request begins
>> request POST /public/x length 3 << upstream begin POST /public/x length 3 unfinished
>> client sends abcGET             << upstream has all; upstream write abc; client keeps GET
# waits while the upstream does not take it
>> request POST /public/x length 9 body abc << upstream begin POST /public/x length 9 unfinished; upstream write abc
>> upstream full                            << client held
>> upstream takes again                     << client freed
# waits while the connection is opened
-- opening
>> request POST /public/x length 9 << upstream begin POST /public/x length 9 unfinished; client held
>> upstream takes again            << client freed
# waits when the upstream cannot take it at once
-- tight
>> request POST /public/x length 9 body abc << upstream begin POST /public/x length 9 unfinished
                                            << upstream write abc; client held
>> client sends def                         << upstream write def
>> upstream takes again                     << client freed
>> client sends ghi                         << upstream has all; upstream write ghi
# that is whole need not wait
>> request POST /public/x length 3 body abc << upstream begin POST /public/x length 3 body abc
>> upstream full
# goes on while a stream already comes
>> request POST /public/x length 6 << upstream begin POST /public/x length 6 unfinished
>> response 200 chunked            << stream; client write 200 chunked close
>> client sends abcdef             << upstream has all; upstream write abcdef
>> response ended                  << client write 0\r\n\r\n; client ended close, complete
# is not waited for behind an early response
>> request POST /public/x length 9 body abc << upstream begin POST /public/x length 9 unfinished; upstream write abc
>> response 200 length 2 body ok            << client write 200 length 2 close body ok; client ended lingers, complete
# is dropped behind an early response that a slow client gets
>> request POST /public/x length 90000 << upstream begin POST /public/x length 90000 unfinished
>> client slow                         << upstream held
>> response 200 length 2 body ok       << client write 200 length 2 close body ok
>> client sends x*70000
>> client takes again                  << client ended lingers, complete
# is asked for only after the decision
>> request POST /keys/x key-token length 3 expect << key fetch k1
>> key comes                                      << client write 100
                                                  << upstream begin POST /keys/x as user-1 length 3 unfinished
>> client sends abc                               << upstream has all; upstream write abc
# of a stranger is not asked for
>> request POST /api/x length 3 expect << client write 401 close token_missing; client ended lingers, refused
# that is there need not be asked for
>> request POST /public/x length 3 expect body abc << upstream begin POST /public/x length 3 body abc
# that breaks under a response is the client's fault
>> request POST /public/x chunked << upstream begin POST /public/x chunked unfinished
>> response 200 chunked           << stream; client write 200 chunked close
>> client sends zz\r\n            << upstream abort; client ended close, client_gone
# that grows too large under a response is the client's fault
-- limit body_bytes 5
>> request POST /public/x chunked << upstream begin POST /public/x chunked unfinished
>> response 200 chunked           << stream; client write 200 chunked close
>> client sends 6\r\nabcdef\r\n   << upstream abort; client ended close, client_gone
# is too slow as a whole, whoever it waited for
-- limit body_timeout_seconds 40
>> request POST /public/x length 9 << upstream begin POST /public/x length 9 unfinished
>> upstream full                   << client held
>> clock 40 << client write 408 close request_timeout; upstream abort; client ended lingers, refused
# is too large by its length
-- limit body_bytes 5
>> request POST /public/x length 6 << client write 413 close body_too_large; client ended lingers, refused
# is just not too large by its length
-- limit body_bytes 5
>> request POST /public/x length 5 body abcde << upstream begin POST /public/x length 5 body abcde
# is just not too large by its chunks
-- limit body_bytes 5
>> request POST /public/x chunked body 5\r\nabcde\r\n << upstream begin POST /public/x chunked unfinished
                                                      << upstream write 5\r\nabcde\r\n
# becomes too large
-- limit body_bytes 5
>> request POST /public/x chunked body 3\r\nabc\r\n << upstream begin POST /public/x chunked unfinished
                                                    << upstream write 3\r\nabc\r\n
>> client sends 3\r\ndef\r\n                        << client write 413 close body_too_large; upstream abort
                                                    << client ended lingers, refused
# has broken chunks
>> request POST /public/x chunked << upstream begin POST /public/x chunked unfinished
>> client sends zz\r\n            << client write 400 close request_malformed; upstream abort
                                  << client ended lingers, refused
"""

TIMES = r"""
# no response
>> request GET /public/x << upstream begin GET /public/x
>> clock 189
>> clock 1               << client write 504 upstream_timeout; upstream abort; client ended keep-alive, refused
# no more of a response
>> request GET /public/x << upstream begin GET /public/x
>> response 200 length 6 << client write 200 length 6
>> clock 299
>> piece one             << client write one
>> clock 299
>> clock 1               << upstream abort; client ended close, upstream_cut
# no more of a body
>> request POST /public/x length 9 << upstream begin POST /public/x length 9 unfinished
>> clock 29
>> client sends abc                << upstream write abc
>> clock 29
>> clock 1                         << client write 408 close request_timeout; upstream abort
                                   << client ended lingers, refused
# a body that takes too long
-- limit body_timeout_seconds 40
>> request POST /public/x length 9 << upstream begin POST /public/x length 9 unfinished
>> clock 29
>> client sends abc                << upstream write abc
>> clock 10
>> clock 1                         << client write 408 close request_timeout; upstream abort
                                   << client ended lingers, refused
# a body that is whole has no time any more
-- limit body_timeout_seconds 40
>> request POST /public/x length 3 << upstream begin POST /public/x length 3 unfinished
>> client sends abc                << upstream has all; upstream write abc
>> clock 189
# the client is not to blame while the upstream takes no more
>> request POST /public/x length 9 << upstream begin POST /public/x length 9 unfinished
>> upstream full                   << client held
>> clock 189
>> clock 1                         << client write 504 close upstream_timeout; upstream abort
                                   << client ended lingers, refused
# the client has its time again once the upstream takes more
>> request POST /public/x length 9 << upstream begin POST /public/x length 9 unfinished
>> upstream full                   << client held
>> clock 100
>> upstream takes again            << client freed
>> clock 29
>> clock 1                         << client write 408 close request_timeout; upstream abort
                                   << client ended lingers, refused
# a client takes nothing of a stream
>> request GET /public/x << upstream begin GET /public/x
>> response 200 length 6 << client write 200 length 6
>> client slow           << upstream held
>> clock 30
>> piece one             << client write one
>> clock 29
>> clock 1               << upstream abort; client ended close, client_gone; client reset
# a client takes nothing of a whole response
>> request GET /public/x         << upstream begin GET /public/x
>> client slow                   << upstream held
>> response 200 length 2 body ok << client write 200 length 2 body ok
>> clock 60                      << client ended close, client_gone; client reset
# a client takes again in time
>> request GET /public/x << upstream begin GET /public/x
>> response 200 length 6 << client write 200 length 6
>> client slow           << upstream held
>> clock 59
>> client takes again    << upstream freed
>> clock 299
>> clock 1               << upstream abort; client ended close, upstream_cut
"""

BREAKS = r"""
# before the head
>> request GET /public/x << upstream begin GET /public/x
>> upstream breaks       << client write 502 upstream_broken; client ended keep-alive, refused
# before the head, with an upload coming
>> request POST /public/x length 9 << upstream begin POST /public/x length 9 unfinished
>> upstream breaks                 << client write 502 close upstream_broken; client ended lingers, refused
# behind the head
>> request GET /public/x          << upstream begin GET /public/x
>> response 200 length 6 body one << client write 200 length 6 body one
>> upstream breaks                << client ended close, upstream_cut
# in a chunk: no last one is made up
>> request GET /public/x         << upstream begin GET /public/x
>> response 200 chunked body one << stream; client write 200 chunked body 3\r\none\r\n
>> upstream breaks               << client ended close, upstream_cut
# at once behind the head, which the client still gets
>> request GET /public/x       << upstream begin GET /public/x
>> response 200 chunked broken << stream; client write 200 chunked; client ended close, upstream_cut
# of a kept connection: once more
>> request GET /public/x         << upstream begin GET /public/x
>> upstream breaks kept          << new upstream begin GET /public/x
>> upstream takes again
>> response 200 length 2 body ok << client write 200 length 2 body ok; client ended keep-alive, complete
# of a kept connection, and of the new one, too
>> request GET /public/x << upstream begin GET /public/x
>> upstream breaks kept  << new upstream begin GET /public/x
>> upstream breaks       << client write 502 upstream_broken; client ended keep-alive, refused
# of a kept connection: POST is not sent twice
>> request POST /public/x << upstream begin POST /public/x length 0
>> upstream breaks kept   << client write 502 upstream_broken; client ended keep-alive, refused
# of a kept connection: a body is not sent twice
>> request PUT /public/x length 3 body abc << upstream begin PUT /public/x length 3 body abc
>> upstream breaks kept                    << client write 502 upstream_broken; client ended keep-alive, refused
# before anything had left: POST on a new connection
>> request POST /public/x length 9 << upstream begin POST /public/x length 9 unfinished
>> client sends abc                << upstream write abc
>> upstream breaks unsent          << new upstream begin POST /public/x length 9 unfinished body abc; client held
>> upstream takes again            << client freed
>> client sends defghi             << new upstream has all; new upstream write defghi
# before anything had left: only once
>> request POST /public/x length 3 body abc << upstream begin POST /public/x length 3 body abc
>> upstream breaks unsent                   << new upstream begin POST /public/x length 3 body abc
>> upstream breaks unsent                   << client write 502 upstream_broken; client ended keep-alive, refused
"""

STOPS = r"""
# soon: each response is the last of its connection, an upstream's
>> leave
>> request GET /public/x         << upstream begin GET /public/x
>> response 200 length 2 body ok << client write 200 length 2 close body ok; client ended close, complete
# a stream
>> leave
>> request GET /public/x             << upstream begin GET /public/x
>> response 200 chunked body one     << stream; client write 200 chunked close body 3\r\none\r\n
>> response ended                    << client write 0\r\n\r\n; client ended close, complete
# a refusal
>> leave
>> request GET /api/x << client write 401 close token_missing; client ended close, refused
# but not of one that has begun before: it was not told, so its connection is not closed behind its back
>> request GET /public/x             << upstream begin GET /public/x
>> response 200 chunked body one     << stream; client write 200 chunked body 3\r\none\r\n
>> leave
>> response ended                    << client write 0\r\n\r\n; client ended keep-alive, complete
# and not of a WebSocket, which still opens
>> leave
>> request GET /public/x websocket << upstream begin GET /public/x websocket
>> upstream switches               << stream; client write 101 websocket; client switched
# no request any more
>> drain
>> request GET /public/x << client write 503 close shutting_down; client ended close, refused
# after this response
>> request GET /public/x         << upstream begin GET /public/x
>> drain
>> response 200 length 2 body ok << client write 200 length 2 close body ok; client ended close, complete
# before a response
>> request GET /public/x << upstream begin GET /public/x
>> shut down             << client write 503 close shutting_down; upstream abort; client ended close, shut_down
# before a key is there
>> request GET /keys/x key-token << key fetch k1
>> shut down                     << client write 503 close shutting_down; key given up; client ended close, shut_down
# within a response
>> request GET /public/x         << upstream begin GET /public/x
>> response 200 chunked body one << stream; client write 200 chunked body 3\r\none\r\n
>> shut down                     << upstream abort; client ended close, shut_down
# while a response is delivered
>> request GET /public/x         << upstream begin GET /public/x
>> client slow                   << upstream held
>> response 200 length 2 body ok << client write 200 length 2 body ok
>> shut down                     << client ended close, shut_down
# within a handshake
>> request GET /public/x websocket << upstream begin GET /public/x websocket
>> drain
>> upstream switches               << client write 503 close shutting_down; upstream abort; client ended close, refused
"""

WEBSOCKETS = r"""
# bytes pass both ways, until the client ends
>> client sends \x81\x82maskhi << upstream write \x81\x82maskhi
>> piece \x81\x02ok            << client write \x81\x02ok
>> client leaves               << upstream close; client ended close, complete
# until the upstream ends
>> response ended << upstream close; client ended close, complete
# until the upstream breaks
>> upstream breaks << upstream close; client ended close, complete
# until a close frame was passed on, and an end
>> client sends \x88\x80mask << upstream write \x88\x80mask
>> last piece \x88\x00       << client write \x88\x00; upstream close; client ended close, complete
# each side waits for the other
>> client slow          << upstream held
>> upstream full        << client held
>> client takes again   << upstream freed
>> upstream takes again << client freed
# the gateway stops, and both sides say goodbye: 1001
>> drain                     << upstream write masked close 1001; client write close 1001
>> client sends \x88\x80mask
>> piece \x88\x02\x03\xe9    << upstream close; client ended close, complete
# the gateway stops, and the client says goodbye last
>> drain                     << upstream write masked close 1001; client write close 1001
>> piece \x88\x02\x03\xe9
>> client sends \x88\x80mask << upstream close; client ended close, complete
# the gateway stops when both sides have said goodbye
>> client sends \x88\x80mask << upstream write \x88\x80mask
>> piece \x88\x00           << client write \x88\x00
>> drain                     << upstream close; client ended close, complete
# the gateway stops, and nobody says goodbye
>> drain   << upstream write masked close 1001; client write close 1001
>> clock 1
>> clock 1 << upstream close; client ended close, complete
# a goodbye waits for the end of the frame under way
>> piece \x81\x05he << client write \x81\x05he
>> drain            << upstream write masked close 1001
>> piece llo        << client write llo\x88\x02\x03\xe9
# the gateway stops at once
>> shut down << upstream close; client ended close, shut_down
# silence
>> clock 329
>> clock 1   << upstream write masked close 1001; client write close 1001; upstream close; client ended close, complete
# silence is counted from the last byte
>> clock 300
>> piece \x81\x02ok << client write \x81\x02ok
>> clock 329
>> clock 1          << upstream write masked close 1001; client write close 1001; upstream close
                    << client ended close, complete
# silence of an upstream that takes nothing
>> upstream full << client held
>> clock 330     << upstream abort; client write close 1001; upstream close; client ended close, complete
# silence of a client that takes nothing
>> client slow << upstream held
>> clock 330   << upstream write masked close 1001; upstream close; client ended close, complete; client reset
"""

HANDSHAKES = r"""
# with bytes behind both heads
>> request GET /api/x websocket token   << upstream begin GET /api/x as user-1 websocket
>> client sends early                   << client keeps early
>> upstream switches body \x81\x02ok    << stream; client write 101 websocket; client switched; upstream write early
                                        << client write \x81\x02ok
# without a token
>> request GET /api/x websocket << client write 401 close token_missing; client ended close, refused
# a 101 to another key
>> request GET /public/x websocket << upstream begin GET /public/x websocket
>> upstream switches wrongly       << client write 502 close upstream_broken; client ended close, refused
# a 101 that nobody asked for
>> request GET /public/x << upstream begin GET /public/x
>> upstream switches     << client write 502 upstream_broken; client ended keep-alive, refused
# the upstream declines
>> request GET /public/x websocket << upstream begin GET /public/x websocket
>> response 400 length 2 body no   << client write 400 length 2 close body no; client ended close, complete
# the upstream is silent
>> request GET /public/x websocket << upstream begin GET /public/x websocket
>> clock 190 << client write 504 close upstream_timeout; upstream abort; client ended close, refused
"""

SWITCHED = r"""
>> request GET /public/x websocket << upstream begin GET /public/x websocket
>> upstream switches               << stream; client write 101 websocket; client switched
"""

MISTAKES = r"""
# before the decision
>> mistake
>> request GET /public/x << client write 500 internal_error; client ended keep-alive, failed
# before the decision, with an upload coming
>> mistake
>> request POST /public/x length 9 << client write 500 close internal_error; client ended lingers, failed
# when a key is there
>> request GET /keys/x key-token << key fetch k1
>> mistake
>> key comes                     << client write 500 internal_error; client ended keep-alive, failed
# with a response
>> request GET /public/x         << upstream begin GET /public/x
>> mistake
>> response 200 length 2 body ok << client write 500 internal_error; client ended keep-alive, failed
# with the beginning of a response
>> request GET /public/x         << upstream begin GET /public/x
>> mistake
>> response 200 chunked body one << client write 500 internal_error; upstream abort; client ended keep-alive, failed
"""

LEAVINGS = r"""
# before there is a key
>> request GET /keys/x key-token << key fetch k1
>> client leaves                 << key given up; client ended close, client_gone
# before there is a response
>> request GET /public/x << upstream begin GET /public/x
>> client leaves         << upstream abort; client ended close, client_gone
# while a new connection is opened
>> request GET /public/x << upstream begin GET /public/x
>> upstream breaks kept  << new upstream begin GET /public/x
>> client leaves         << new upstream abort; client ended close, client_gone
# within its upload
>> request POST /public/x length 9 << upstream begin POST /public/x length 9 unfinished
>> client leaves                   << upstream abort; client ended close, client_gone
# within a response
>> request GET /public/x << upstream begin GET /public/x
>> response 200 chunked  << stream; client write 200 chunked
>> client leaves         << upstream abort; client ended close, client_gone
# before it has taken all of a response
>> request GET /public/x         << upstream begin GET /public/x
>> client slow                   << upstream held
>> response 200 length 2 body ok << client write 200 length 2 body ok
>> client leaves                 << client ended close, client_gone
"""

TUNNELS = [pytest.param(SWITCHED + one.values[0], id=one.id) for one in dialogues(WEBSOCKETS)]
PLAIN = [
    pytest.param(one.values[0], id=f"{what}: {one.id}")
    for what, text in {
        "a response": RESPONSES,
        "a refusal": REFUSALS,
        "a page": PAGES,
        "a key": KEYS,
        "an upload": UPLOADS,
        "a budget": BUDGETS,
        "a time limit": TIMES,
        "a session": SESSIONS,
        "a break": BREAKS,
        "a stop": STOPS,
        "a handshake": HANDSHAKES,
    }.items()
    for one in dialogues(text)
]
TEXTS = (
    RESPONSES, REFUSALS, PAGES, KEYS, SESSIONS, BUDGETS, UPLOADS, TIMES, BREAKS, STOPS, HANDSHAKES, MISTAKES, LEAVINGS,
    OWNED,
)  # fmt: skip
ALL = [one.values[0] for text in TEXTS for one in dialogues(text)] + [one.values[0] for one in TUNNELS]
PAIRS = [(before, after) for before in MOVES for after in MOVES if after not in MOVES[before]]

# Every test has a loop, since llhttp's reader wants one; nothing waits for it.


@pytest.mark.parametrize("dialogue", PLAIN)
async def test_what_is_told_is_followed_by_these_commands(dialogue: str) -> None:
    play(dialogue)


@pytest.mark.parametrize("dialogue", TUNNELS)
async def test_a_websocket_passes(dialogue: str) -> None:
    player = play(dialogue)
    assert len(player.host.tunnels) == (player.client.sender is not None)


@pytest.mark.parametrize("dialogue", dialogues(MISTAKES))
async def test_a_mistake_of_our_own_is_logged_and_tells_nothing(dialogue: str, caplog: Any) -> None:
    play(dialogue)
    assert [one.exc_info[0] for one in caplog.records if one.levelno == logging.ERROR] in (
        [ZeroDivisionError],
        [AttributeError],
        [TypeError],  # what the former is compiled
    )


@pytest.mark.parametrize("dialogue", dialogues(LEAVINGS))
async def test_a_client_leaves_and_nothing_runs_on_for_it(dialogue: str) -> None:
    player = play(dialogue)
    assert all(one.taker is None for one in player.upstreams) and player.host.fetched is None


async def test_a_key_that_comes_too_late_is_nothing_to_a_request_that_has_ended(caplog: Any) -> None:
    player = play(">> request GET /keys/x key-token << key fetch k1")
    key_came = player.host.fetched
    assert key_came is not None
    player.feed("client leaves")
    before = list(player.notes)
    key_came((1.0, 2.0))
    assert player.notes == before and not caplog.records


async def test_a_place_in_a_budget_that_comes_too_late_goes_back() -> None:
    player = play(">> request GET /counted/x token << budgets people, all of user-1")
    lease_came = player.host.spent
    assert lease_came is not None
    player.feed("client leaves")
    before = len(player.notes)
    lease_came(PlayedLease(player))
    assert player.notes[before:] == ["budgets given back"]


async def test_the_record_counts_what_passed() -> None:
    player = play(r"""
        >> request POST /api/x token chunked  << upstream begin POST /api/x as user-1 chunked unfinished
        >> client sends 3\r\nabc\r\n0\r\n\r\n << upstream has all; upstream write 3\r\nabc\r\n0\r\n\r\n
        >> response 200 chunked body okay     << stream; client write 200 chunked body 4\r\nokay\r\n
        >> response ended                     << client write 0\r\n\r\n; client ended keep-alive, complete
    """)
    (outcome,) = player.host.outcomes
    assert (outcome.bytes_in, outcome.bytes_out, outcome.status, outcome.subject) == (3, 4, 200, "user-1")
    assert (outcome.host, outcome.wire, outcome.decision, outcome.is_websocket) == ("gw.test", "fast", "allow", False)
    assert outcome.decided_at is not None and outcome.first_byte_at is not None
    assert outcome.decided_at <= outcome.first_byte_at
    assert player.client.is_member is True


@pytest.mark.parametrize(("words", "wire"), [("", "fast"), (" 1.0", "aiohttp"), (" expect", "aiohttp")])
async def test_the_record_says_who_read_the_request(words: str, wire: str) -> None:
    player = play(f">> request GET /public/x{words} << upstream begin GET /public/x")
    assert player.host.begun[0].wire == wire


async def test_the_record_of_a_preflight_says_so() -> None:
    (outcome,) = play("""
        -- cors
        >> request OPTIONS /api/x preflight << client write 204 cors; client ended keep-alive, complete
    """).host.outcomes
    assert (outcome.decision, outcome.route, outcome.status) == ("allow", "(preflight)", 204)
    assert outcome.decided_at is not None


@pytest.mark.parametrize("framing", ["length 3 body abc", r"chunked body 3\r\nabc\r\n0\r\n\r\n"])
async def test_the_record_counts_an_upload_that_came_with_its_head_or_while_a_key_was_fetched(framing: str) -> None:
    player = play(f">> request POST /keys/x key-token {framing} << key fetch k1")
    player.feed("key comes")
    player.feed("response 200 length 2 body ok")
    (outcome,) = player.host.outcomes
    assert (outcome.bytes_in, outcome.bytes_out) == (3, 2)


async def test_the_record_of_a_websocket_says_so() -> None:
    (outcome,) = play(
        SWITCHED
        + r"""
        >> client sends \x81\x82maskhi << upstream write \x81\x82maskhi
        >> piece \x81\x01a             << client write \x81\x01a
        >> response ended              << upstream close; client ended close, complete
    """
    ).host.outcomes
    assert (outcome.bytes_in, outcome.bytes_out, outcome.status, outcome.is_websocket) == (8, 3, 101, True)
    assert outcome.decided_at is not None and outcome.first_byte_at is not None
    assert outcome.decided_at <= outcome.first_byte_at


async def test_the_record_of_a_response_that_the_gateway_cut_says_so() -> None:
    player = play(">> request GET /public/x << upstream begin GET /public/x")
    player.feed("response 200 length 9 body okay")
    player.feed("shut down")
    (outcome,) = player.host.outcomes
    assert (outcome.bytes_out, outcome.status, outcome.code) == (4, 200, "shutting_down")


@pytest.mark.parametrize(
    ("title", "detail"),
    [
        ("no response", "within 190 s"),
        ("no more of a response", "silent for 300 s"),
        ("no more of a body", "no byte of the body for 30 s"),
        ("a body that takes too long", "the body took more than 40 s"),
    ],
)
async def test_the_record_says_what_was_waited_for(title: str, detail: str) -> None:
    (outcome,) = play(next(one.values[0] for one in dialogues(TIMES) if one.id == title)).host.outcomes
    assert outcome.detail is not None and detail in outcome.detail


async def test_a_request_that_was_sent_keeps_no_secret_while_it_waits() -> None:
    request = play(">> request GET /api/x token << upstream begin GET /api/x as user-1").exchange._request
    assert (request.headers.lines, request.bearer, request.forwarded) == ((), None, b"")


@pytest.mark.parametrize("then", ["response 200 chunked", "upstream switches"])
async def test_a_stream_keeps_nothing_of_its_request(then: str) -> None:
    player = play(">> request GET /api/x?a=b websocket token << upstream begin GET /api/x?a=b as user-1 websocket")
    player.feed(then)
    request = player.exchange._request
    assert (request.target, request.headers.lines, request.bearer, request.forwarded) == ("", (), None, b"")


@pytest.mark.parametrize(("open_requests", "is_urgent"), [(3, True), (4, False)])
async def test_a_response_is_written_at_once_while_few_others_could_leave_with_it(
    open_requests: int, is_urgent: bool
) -> None:
    player = play(">> request GET /public/x << upstream begin GET /public/x")
    player.host.open_requests = open_requests
    player.feed("response 200 length 2 body ok")
    for event in ("request GET /public/x", "response 200 chunked", "piece a", "response ended"):
        player.feed(event)
    assert player.client.urgent == [is_urgent] * 4


def test_every_state_is_reached_by_some_move() -> None:
    assert {after for moves in MOVES.values() for after in moves} == set(MOVES) - {READING}


async def test_the_dialogues_make_every_move_of_the_table_and_no_other() -> None:
    made = set[tuple[State, State]]().union(*(play(dialogue).moves for dialogue in ALL))
    table = {(before, after) for before, moves in MOVES.items() for after in moves}
    assert made == table


@pytest.mark.parametrize(("before", "after"), PAIRS, ids=lambda state: repr(state))
async def test_a_move_that_is_not_in_the_table_is_a_mistake(before: State, after: State) -> None:
    exchange = play(">> request GET /public/x << upstream begin GET /public/x").exchange
    exchange.state = before
    with pytest.raises(IllegalMoveError, match=f"{before} to {after}"):
        exchange._move(after)
    assert exchange.state is before


async def test_an_event_that_cannot_come_now_is_a_mistake() -> None:
    player = play("""
        >> request GET /public/x << upstream begin GET /public/x
        >> response 200 length 2 << client write 200 length 2
    """)
    with pytest.raises(IllegalMoveError, match="RESPONDING to RESPONDING"):
        player.feed("response 200 length 2")


STREAMS = "streams grace 2 max 90 heartbeat 15"


@settings(max_examples=200)
@given(st.data())
async def test_whatever_comes_the_exchange_ends_exactly_once(data: st.DataObject) -> None:
    given_before = (
        "opening",
        "tight",
        "llhttp",
        "cors",
        "limit body_bytes 100",
        "limit body_timeout_seconds 40",
        STREAMS,
    )
    player = Player([one for one in given_before if data.draw(st.booleans(), label=one)])
    method = data.draw(st.sampled_from(["GET", "HEAD", "POST", "OPTIONS"]))
    words = ("", " 1.0", " length 9", " chunked", " length 9 expect", " close", " websocket", " preflight", " token")
    target = data.draw(
        st.sampled_from(
            [
                "/public/x",
                "/api/x",
                "/keys/x key-token",
                "/none",
                "/pages/x due-session",
                "/own/me old-session",
                "/own/login",
                "/counted/x token",
                "/live/x token-5s",
                "/pages/x short-session",
                "/open/x",
                "/things/memory/threads/t1 token json",
                "/things/workflows/w/runs/r token",
                "/things/workflows/w/runs/r/cancel token json",
                "/both/workflows/w/runs/r/cancel token json",
                "/watched/workflows/w/runs/r/cancel token json",
            ]
        )
    )
    player.feed(f"request {method} {target}{data.draw(st.sampled_from(words))}")
    for _ in range(data.draw(st.integers(0, 20))):
        events = list(player.possible())
        if not events:
            break
        player.feed(data.draw(st.sampled_from(events)))
    if player.client.sender is not None:
        player.feed("client leaves")
    assert len(player.host.begun) == len(player.host.outcomes) == 1
    assert player.exchange.state is ENDED
    (outcome,) = player.host.outcomes
    assert outcome.ended != "failed"
    assert sum(note.startswith("client ended") for note in player.notes) == 1
    assert player.notes[-1].startswith(("client ended", "client reset"))
    assert all(one.taker is None for one in player.upstreams), "a connection is still at work for nobody"
    lent = sum(note == "budgets given back" for note in player.notes)
    assert lent == player.host.lent
    assert not player.host.holding.count_bytes and not player.host.holding.count
    assert player.host.fetched is None and not player.host.tunnels
