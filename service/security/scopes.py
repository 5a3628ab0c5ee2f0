"""What a caller may do."""

from dataclasses import dataclass
from typing import Literal, get_args

Scope = Literal["predict", "metrics", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
"""``predict``: predictions, models and their cards. ``metrics``: the metrics. ``admin``: the repository's calls.

No scope includes another: a key for deployment can't predict, and a key for scraping can only scrape.
"""


@dataclass(frozen=True)
class Caller:
    """The sender of a request."""

    name: str | None
    """Name of the key; or ``oidc:`` and the subject of the token; or None for a caller without credentials."""
    scopes: frozenset[Scope]
