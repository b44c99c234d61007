"""What is done to an allowed request and to its response, and how one follows the other. No I/O, no token is read.

In reading order: `headers` (what goes up, what comes down), `identity` (what the upstream is told about the caller),
`cors` (who may read a response), `refusal` (the gateway's own responses), `unreachable` (why there is no connection),
`wire` (what is asked of a connection), `runtime` (one configuration at work), `event_stream` and `life` (how long a
stream lasts), `silence`, `frames` and `tunnel` (one WebSocket, as bytes), `own` (what the gateway says by itself),
`login_page` (a page for people), `host` (the gateway around it all), `heads` (as they are written), `delivery` (a
response on its way to the client), `living` (one that is looked after), `upload` (a request's body on its way),
`errand` (what is waited for), `turns` (whose body is read next), `holding` (the bodies that are held whole), `enquiry`
(what an upstream is asked), `parting` (what is whose), `states`, `waiting`, `owned` and `exchange` (one request and its
response). Where an engine sends it on in our place: `told` (which fields it sets and removes), `dialects` (how it
asks), `verdict` (what it is answered) and `question`.
"""
