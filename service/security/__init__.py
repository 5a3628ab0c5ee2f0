"""Who may do what, how often, and what a connection may cost: ``docs/security.md`` is the threat model."""
