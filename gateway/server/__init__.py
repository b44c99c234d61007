"""One running gateway.

In reading order: `connection` (one client's connection, and what aiohttp leaves to a gateway to guard), `runtime` (one
configuration at work), `refusal` (the gateway's own answers), `head` (a request's head), `outcome` and `metrics` (what
is recorded of a request), `handler` (one request), `gateway` (all of it together), `admin`, `reload`, `logs`,
`process`, `worker`, `merge` and `workers` (several processes), `run`.
"""
