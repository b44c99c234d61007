"""Passing an allowed request on, and its answer back. Nothing here decides, and nothing here knows what a token is.

In reading order: `headers` (what goes up, what comes down), `identity` (what the upstream is told about the
caller), `cors` (who may read the answer) and `refusal` (the gateway's own answers) are pure; `origin` (one upstream
and its connections), `answer` (one answer to a client), `forward` (one exchange, streamed both ways), `frames` and
`tunnel` (one WebSocket, as bytes) do I/O.
"""
