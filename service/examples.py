"""The example in the API's documentation: an answer of the shipped model, shortened to a few channels."""

ANSWER: dict[str, object] = {}
