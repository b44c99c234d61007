"""Passing an allowed request on, and its answer back. Nothing here decides, and nothing here knows what a token is.

In reading order: `headers` (what goes up, what comes down), `identity` (what the upstream is told about the
caller), `cors` (who may read the answer), `refusal` (the gateway's own answers), `sender` (what the log may hold of
a client), `silence` (how long nothing has moved) and `unreachable` (why there is no connection) do no I/O; `origin`
(one upstream and its connections), `answer` (one answer to a client), `forward` (one exchange, streamed both ways),
`frames` and `tunnel` (one WebSocket, as bytes) do.
"""
