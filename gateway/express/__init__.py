"""The express lane: requests and answers of the common shape, on protocols of our own.

In reading order: `remembered` (what was read before, by its bytes), `lines` (header lines), `shapes` (whole heads),
`requests` and `answers` (the two grammars), `body` (chunks), `writing` (heads, back to bytes) and `cork` (what
leaves together) know no connection; `upstream` is one, `pool` holds those to one upstream.
"""
