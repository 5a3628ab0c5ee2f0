"""Reading the problem document that an answer must be."""

from httpx import Response

from service.http.problems import ProblemDocument


def problem(response: Response, status: int, code: str) -> ProblemDocument:
    assert response.status_code == status, response.text
    assert response.headers["Content-Type"] == "application/problem+json"
    document = ProblemDocument.model_validate_json(response.content)
    assert document.status == status
    assert document.type == f"urn:retina-srm:problem:{code}"
    assert document.id == response.headers["X-Request-ID"]
    return document
