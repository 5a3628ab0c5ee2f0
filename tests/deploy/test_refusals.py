"""Values that the chart refuses, and how it says so."""

from typing import Any

import helm_python as helm
import pytest

from tests.deploy.rendering import render

KEYS = {"auth": {"keys": {"name": "retina-keys"}}}


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({}, "Choose who may use the service: auth.keys.name, auth.adminKey.name, auth.oidc.issuer, or auth.none=true"),
        ({"auth": {"oidc": {"issuer": "https://login.example"}}}, "needs auth.oidc.audience"),
        (KEYS | {"records": {"mode": "on"}}, "records.mode needs a database"),
        (KEYS | {"records": {"mode": "on", "url": {"name": "a"}, "claim": "b"}}, "records.url.name or records.claim"),
        (KEYS | {"records": {"mode": "on", "claim": "b"}}, "one pod may have: set replicas to 1"),
        (KEYS | {"models": {"claim": "a", "image": "b"}}, "Give one of models.claim, models.image and models.address"),
        (KEYS | {"models": {"image": "a", "address": "s3://b/c"}}, "Give one of models.claim"),
        (KEYS | {"models": {"credentials": "a"}}, "models.credentials are those of models.address, which is not set"),
        (KEYS | {"models": {"path": "a"}}, "models.path is a folder of models.claim"),
        (KEYS | {"autoscaling": {"enabled": True, "cpu": 0}}, "autoscaling.cpu or autoscaling.queueLength"),
        (KEYS | {"autoscaling": {"enabled": True, "minReplicas": 9}}, "minReplicas is above autoscaling.maxReplicas"),
        (KEYS | {"serviceMonitor": {"enabled": True}}, "a Secret with an API key of the scope metrics"),
        (KEYS | {"ingress": {"enabled": True}}, "ingress needs ingress.host"),
    ],
)
def test_contradictions(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(helm.HelmRenderError) as refused:
        render(values)
    assert sentence in str(refused.value)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"recods": {}}, "additional properties 'recods' not allowed"),
        ({"gpu": {"cout": 1}}, "at '/gpu': additional properties 'cout' not allowed"),
        ({"settings": {"RETINA_MAX_BATCH": 8}}, "at '/settings': additional properties 'RETINA_MAX_BATCH' not allowed"),
        ({"settings": {"RETINA_AUTH": "none"}}, "at '/settings': additional properties 'RETINA_AUTH' not allowed"),
        ({"extraEnv": [{"name": "RETINA_AUTH", "value": "none"}]}, "at '/extraEnv/0/name'"),
        ({"auth": {"none": "false"}}, "at '/auth/none': got string, want boolean"),
        ({"records": {"mode": True}}, "at '/records/mode': value must be one of 'off', 'on', 'required'"),
        ({"workers": 0}, "at '/workers'"),
        ({"replicas": "2"}, "at '/replicas': got string, want integer"),
        ({"image": {"digest": "sha256:1"}}, "at '/image/digest'"),
    ],
)
def test_unknown_names_and_wrong_types(values: dict[str, Any], reason: str) -> None:
    with pytest.raises(helm.HelmValuesError) as refused:
        render(KEYS | values)
    assert reason in str(refused.value)
