"""One running gateway.

In reading order: `recent` (the last minutes), `public` (where clients come in), `decisions` (where engines ask),
`leaving` (how it ends), `watching` (files that change), `revoking` (who counts no more), `failures`, `leases` and
`ledger` (what callers have used up), `errands` (what requests wait for), `gateway` (all of it together), `gauges`
(what is true of it now), `reload`.
"""
