"""What callers have used up: counted in this process, or in one Redis with others, asked in time or not at all.

In reading order: `windows` and `memory` (what one process counts), `counting` (what is known of what is shared),
`redis` (the connection: up or down, never slower than its time-out), `scripts` (what the server does in one step),
`shared` (budgets in it, and leases), `ended` (sessions that count no
more).
"""
