"""Reading requests (bodies, limits) and writing answers (JSON, problem documents)."""
