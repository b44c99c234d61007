"""What the gateway serves itself: on the admin port health, metrics, the status page, questions; in public logins.

In reading order: `trouble` (what is wrong just now), `revocation_state`, `spent` (budgets), `state` (what one process
says of itself), `questions` (an explanation, asked for by a page), `local` (one process), `merge` and `fleet`
(several), `admin` (the port); `studio` (what Mastra's Studio asks about people), `issuer` (what is said to the issuer
of a login), `backchannel` (what it says by itself), `begun` (logins that are under way) and `login` (what is answered).
"""
