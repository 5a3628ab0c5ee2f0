"""What a caller may do."""

from dataclasses import dataclass
from typing import Literal, get_args

Scope = Literal["predict", "metrics", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
"""``predict``: predictions, models and their cards. ``metrics``: the metrics. ``admin``: the repository's calls.

None includes another, so that a deployment's key can't predict and a scraper's can do nothing else.
"""


@dataclass(frozen=True)
class Caller:
    """Whoever sent a request."""

    name: str | None
    """Of the key; ``oidc:`` and the token's subject; or None for a caller without credentials."""
    scopes: frozenset[Scope]
