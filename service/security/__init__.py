"""Authentication, scopes, rate limits, and limits of a connection. ``docs/security.md`` has the threat model."""
