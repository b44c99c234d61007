"""One running gateway.

In reading order: `connection` (one client's connection, and what aiohttp leaves to a gateway to guard), `runtime`
(one configuration at work), `head` (a request's head), `outcome`, `counters`, `metrics`, `exposition`, `recent`,
`logs`, `subject` and `tracing` (what is recorded of a request), `host` (what a request needs to know of the gateway
around it), `handler` (one request); the same on the express lane: `shared`, `heads`, `answering`, `exchange` (one
request), `hangup`, `lane_connection` and `lane`; `gateway` (all of it together), `admin` with `state`, `questions`
and `local` (what it says of this process), `reload`, `memory`, `process`, `worker`, `merge`, `fleet` and `workers`
(several processes), `run`.
"""
