"""Settings from the environment: documented, checked, and typos found."""

import pytest

from service.settings import Settings, SettingsError, load_settings


def test_environment_sets_and_the_command_line_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETINA_PORT", "9001")
    monkeypatch.setenv("RETINA_PROVIDER", "cpu")
    settings = load_settings(port=9002, host=None)
    assert (settings.port, settings.provider, settings.host) == (9002, "cpu", "127.0.0.1")


def test_an_unknown_variable_names_the_nearest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETINA_MAX_PIXEL", "5")
    with pytest.raises(SettingsError, match=r"RETINA_MAX_PIXEL is not a setting.*did you mean RETINA_MAX_PIXELS"):
        load_settings()


@pytest.mark.parametrize(("name", "value"), [("PORT", "many"), ("STYLE_SHIFT", "maybe"), ("MAX_BODY_BYTES", "0")])
def test_a_bad_value_names_its_setting(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"RETINA_{name}", value)
    with pytest.raises(SettingsError, match=f"RETINA_{name} must be .*{value}"):
        load_settings()


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("tpu", "RETINA_PROVIDER: 'tpu' is no provider; write auto alone, or some of cpu, cuda, tensorrt, openvino"),
        ("auto,cpu", "'auto' is no provider; write auto alone"),
        ("cuda,", "'' is no provider"),
        ("cuda,cpu,cuda", "name each provider once"),
        ("cpu,cuda", "nothing may follow cpu"),
    ],
)
def test_a_list_of_providers_that_can_t_be_used(monkeypatch: pytest.MonkeyPatch, value: str, words: str) -> None:
    monkeypatch.setenv("RETINA_PROVIDER", value)
    with pytest.raises(SettingsError, match=words):
        load_settings()


def test_providers_and_their_options(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETINA_PROVIDER", "tensorrt, cuda ,cpu")
    monkeypatch.setenv("RETINA_PROVIDER_OPTIONS", '{"openvino": {"precision": "ACCURACY"}, "cuda": {"device_id": 1}}')
    settings = load_settings()
    assert settings.provider == "tensorrt,cuda,cpu"
    assert settings.provider_options == {"openvino": {"precision": "ACCURACY"}, "cuda": {"device_id": 1}}


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("PROVIDER_OPTIONS", "{cuda}", "RETINA_PROVIDER_OPTIONS is not JSON: .*line 1 column 2"),
        ("PROVIDER_OPTIONS", '{"tpu": {}}', "RETINA_PROVIDER_OPTIONS must be 'cuda', 'tensorrt' or 'openvino'.*'tpu'"),
        ("PROVIDER_OPTIONS", '{"cpu": {}}', "must be 'cuda', 'tensorrt' or 'openvino'"),
        ("PROVIDER_OPTIONS", '{"cuda": 1}', "RETINA_PROVIDER_OPTIONS must be an object"),
        ("OIDC_SCOPES", "retina", "RETINA_OIDC_SCOPES is not JSON"),
    ],
)
def test_json_that_can_t_be_used(monkeypatch: pytest.MonkeyPatch, name: str, value: str, words: str) -> None:
    monkeypatch.setenv(f"RETINA_{name}", value)
    with pytest.raises(SettingsError, match=words):
        load_settings()


def test_every_setting_is_described() -> None:
    assert all(field.description for field in Settings.model_fields.values())


@pytest.mark.parametrize("service", ["RETINA", "RETINA_SRM", "RETINA_RECORDS"])
def test_service_links_of_kubernetes_are_passed_over(monkeypatch: pytest.MonkeyPatch, service: str) -> None:
    """The names and forms of https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables."""
    links = {
        "SERVICE_HOST": "10.0.0.11",
        "SERVICE_PORT": "8000",
        "SERVICE_PORT_HTTP": "8000",
        "PORT": "tcp://10.0.0.11:8000",
        "PORT_8000_TCP": "tcp://10.0.0.11:8000",
        "PORT_8000_TCP_PROTO": "tcp",
        "PORT_8000_TCP_PORT": "8000",
        "PORT_8000_TCP_ADDR": "10.0.0.11",
        "PORT_53_UDP": "udp://10.0.0.11:53",
    }
    for name, value in links.items():
        monkeypatch.setenv(f"{service}_{name}", value)
    assert load_settings().port == 8000
    assert load_settings(port=9002).port == 9002


def test_variables_of_training_are_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETINA_TRAINING_CACHE", "/data/cache")
    assert load_settings().port == 8000


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RETINA_SRM_PORT", "8000"),
        ("RETINA_SERVICE_HOSTS", "x"),
        ("RETINA_PORT_X_TCP", "x"),
        ("RETINA_PORTS", "tcp://x"),
    ],
)
def test_what_only_looks_like_a_service_link_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=f"{name} is not a setting"):
        load_settings()


def test_the_share_of_a_caller_has_room_for_the_largest_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETINA_QUEUE_SIZE", "20")
    monkeypatch.setenv("RETINA_CALLER_SHARE", "0.8")  # 16 images
    assert load_settings().queue_size == 20
    monkeypatch.setenv("RETINA_CALLER_SHARE", "0.5")
    with pytest.raises(SettingsError, match=r"RETINA_CALLER_SHARE=0.5 of RETINA_QUEUE_SIZE=20"):
        load_settings()
