"""What one object of the chart says of another: selectors, ports, names."""

import re

import pytest
import yaml

from service.observing.metrics import Metrics
from tests.deploy.rendering import NAMESPACE, ROOT, VALUES, Object, container, of_kind, one, pod, pods, rendered


def labels(found: Object) -> dict[str, str]:
    return dict(found["metadata"]["labels"])


def selectors(objects: list[Object]) -> dict[str, dict[str, str]]:
    """What selects the pods of the service, by the kind of its object."""
    found = {"Deployment": one(objects, "Deployment")["spec"]["selector"]["matchLabels"]}
    found["Service"] = one(objects, "Service")["spec"]["selector"]
    for budget in of_kind(objects, "PodDisruptionBudget"):
        found["PodDisruptionBudget"] = budget["spec"]["selector"]["matchLabels"]
    for policy in of_kind(objects, "NetworkPolicy"):
        found["NetworkPolicy"] = policy["spec"]["podSelector"]["matchLabels"]
    for constraint in pod(objects)["spec"]["topologySpreadConstraints"]:
        found[constraint["topologyKey"]] = constraint["labelSelector"]["matchLabels"]
    return found


@pytest.mark.parametrize("name", VALUES)
class TestEverywhere:
    def test_selectors_find_the_services_pods_alone(self, name: str) -> None:
        objects = rendered(name)
        service, *others = pods(objects)
        for kind, selector in selectors(objects).items():
            assert selector.items() <= labels(service).items(), kind
            for other in others:
                assert not selector.items() <= labels(other).items(), kind

    def test_names_and_namespaces(self, name: str) -> None:
        objects = rendered(name)
        assert {found["metadata"]["namespace"] for found in objects} == {NAMESPACE}
        keys = [(found["kind"], found["metadata"]["name"]) for found in objects]
        assert len(keys) == len(set(keys))

    def test_ports(self, name: str) -> None:
        objects = rendered(name)
        named = {port["name"] for port in container(objects)["ports"]}
        assert {port["targetPort"] for port in one(objects, "Service")["spec"]["ports"]} == named
        for policy in of_kind(objects, "NetworkPolicy"):
            (rule,) = policy["spec"]["ingress"]
            assert {port["port"] for port in rule["ports"]} == named

    def test_account(self, name: str) -> None:
        account = pod(rendered(name))["spec"]["serviceAccountName"]
        made = [found["metadata"]["name"] for found in of_kind(rendered(name), "ServiceAccount")]
        assert made == ([] if name == "open" else [account])

    def test_optional_objects(self, name: str) -> None:
        optional = {
            "NetworkPolicy": name != "open",
            "PodDisruptionBudget": name != "open",
            "HorizontalPodAutoscaler": name in ("queue", "everything"),
            "ServiceMonitor": name in ("open", "queue", "everything"),
            "PrometheusRule": name == "everything",
            "Ingress": name == "everything",
            "Job": name in ("postgresql", "everything"),
        }
        kinds = {found["kind"] for found in rendered(name)}
        assert kinds & optional.keys() == {kind for kind, wanted in optional.items() if wanted}


class TestAutoscaling:
    @pytest.mark.parametrize("name", ["queue", "everything"])
    def test_scales_the_deployment_which_names_no_number(self, name: str) -> None:
        deployment = one(rendered(name), "Deployment")
        target = one(rendered(name), "HorizontalPodAutoscaler")["spec"]["scaleTargetRef"]
        assert target == {"apiVersion": "apps/v1", "kind": "Deployment", "name": deployment["metadata"]["name"]}
        assert "replicas" not in deployment["spec"]

    @pytest.mark.parametrize("name", ["queue", "everything"])
    def test_the_metric_is_one_of_the_service_and_the_adapter_offers_it(self, name: str) -> None:
        metrics = one(rendered(name), "HorizontalPodAutoscaler")["spec"]["metrics"]
        (asked,) = (metric["pods"]["metric"]["name"] for metric in metrics if metric["type"] == "Pods")
        assert re.search(rf"^# TYPE {asked} gauge$", Metrics().text().decode(), flags=re.MULTILINE)
        (rule,) = yaml.safe_load((ROOT / "deploy" / "prometheus-adapter.yaml").read_text())["rules"]["custom"]
        assert rule["seriesQuery"].startswith(f"{asked}{{")
        assert rule["name"] == {"as": asked}

    def test_by_the_queue_alone(self) -> None:
        (metric,) = one(rendered("queue"), "HorizontalPodAutoscaler")["spec"]["metrics"]
        assert metric["pods"]["target"] == {"type": "AverageValue", "averageValue": "8"}


class TestMonitoring:
    @pytest.mark.parametrize("name", ["open", "queue", "everything"])
    def test_scrapes_the_service(self, name: str) -> None:
        objects = rendered(name)
        spec, service = one(objects, "ServiceMonitor")["spec"], one(objects, "Service")
        assert spec["selector"]["matchLabels"].items() <= labels(service).items()
        (endpoint,) = spec["endpoints"]
        assert endpoint["port"] in [port["name"] for port in service["spec"]["ports"]]
        assert endpoint["scheme"] == container(objects)["readinessProbe"]["httpGet"]["scheme"].lower()
        assert ("authorization" in endpoint) is (name != "open")

    def test_job_is_what_the_alerts_call_it(self) -> None:
        (endpoint,) = one(rendered("everything"), "ServiceMonitor")["spec"]["endpoints"]
        (job,) = (rule["replacement"] for rule in endpoint["relabelings"] if rule["targetLabel"] == "job")
        assert f'job="{job}"' in (ROOT / "deploy" / "alerts.yml").read_text()

    def test_rules_are_the_alerts(self) -> None:
        alerts = yaml.safe_load((ROOT / "deploy" / "alerts.yml").read_text())
        assert one(rendered("everything"), "PrometheusRule")["spec"] == alerts


class TestNetwork:
    def test_nothing_is_reached_without_need(self) -> None:
        policy = one(rendered("keys"), "NetworkPolicy")["spec"]
        assert policy["policyTypes"] == ["Ingress", "Egress"]
        assert policy["egress"] == []

    @pytest.mark.parametrize(
        ("name", "ports"),
        [
            ("postgresql", [{53}, {5432}]),
            ("grpc-tls", [{53}, {8443}]),
            ("sqlite", []),
            ("s3", [{53}, {9000}]),
            ("everything", [{53}, {5432}, {443}, {4318}]),
        ],
    )
    def test_names_database_and_provider(self, name: str, ports: list[set[int]]) -> None:
        rules = one(rendered(name), "NetworkPolicy")["spec"]["egress"]
        assert [{port["port"] for port in rule["ports"]} for rule in rules] == ports

    def test_database_and_callers_are_named(self) -> None:
        _, database = one(rendered("postgresql"), "NetworkPolicy")["spec"]["egress"]
        assert database["to"] == [{"podSelector": {"matchLabels": {"app": "postgresql"}}}]
        (rule,) = one(rendered("everything"), "NetworkPolicy")["spec"]["ingress"]
        assert rule["from"] == [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ingress"}}}]


def test_ingress_leads_to_the_service() -> None:
    service = one(rendered("everything"), "Service")
    (rule,) = one(rendered("everything"), "Ingress")["spec"]["rules"]
    (path,) = rule["http"]["paths"]
    assert path["backend"]["service"] == {"name": service["metadata"]["name"], "port": {"name": "http"}}


def test_one_pod_at_a_time_has_the_sqlite_file() -> None:
    spec = one(rendered("sqlite"), "Deployment")["spec"]
    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})


@pytest.mark.parametrize("name", ["keys", "grpc-tls", "everything"])
def test_helms_test_asks_the_service(name: str) -> None:
    *_, test = pods(rendered(name))
    service = one(rendered(name), "Service")
    scheme, host, port = re.fullmatch(  # type: ignore[union-attr]
        r"(https?)://([^:]+):(\d+)/v2/health/ready", test["spec"]["containers"][0]["command"][-1]
    ).groups()
    assert host == service["metadata"]["name"]
    headless = service["spec"].get("clusterIP") == "None"  # its name leads to the pods themselves
    assert int(port) == (8000 if headless else service["spec"]["ports"][0]["port"])
    assert scheme == container(rendered(name))["readinessProbe"]["httpGet"]["scheme"].lower()
