"""HTTP/1.1 as bytes, both directions: a grammar of our own, and a second reading by aiohttp's parser. No I/O.

In reading order: `memory` (what was read before, by its bytes), `fields` (header lines, read and written), `forms`
(requests' heads that are the same but for some values), `request` and `response` (the two heads), `body` (chunks, and
bodies by any framing), `llhttp` (what our grammar does not read, and a second opinion), `arrivals` (what has come, and
is not yet a request).
"""
