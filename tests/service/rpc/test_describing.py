"""What the methods beside inference tell, and the repository."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import tritonclient.grpc as triton
from google.protobuf.json_format import MessageToDict, ParseDict
from tritonclient.grpc import service_pb2 as pb
from tritonclient.utils import InferenceServerException

from tests.service.rpc.calling import Site, image, pixels, serving, status

KEY = {"authorization": "Bearer the-key"}


@pytest.fixture(scope="module")
def site(repository: Path) -> Iterator[Site]:
    with serving(repository, RETINA_ADMIN_KEY="the-key") as site:
        yield site


@pytest.fixture(scope="module")
def client(site: Site) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(site.grpc) as client:
        yield client


def test_server_and_models(site: Site, client: triton.InferenceServerClient) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("colour")
    assert client.is_model_ready("colour", "1")
    assert not client.is_model_ready("colour", "7")
    assert not client.is_model_ready("nothing")

    def same(path: str, message: object, found: object) -> None:
        """The answer is that of REST."""
        assert found == ParseDict(httpx.get(f"{site.http}{path}").json(), message)

    same("/v2", pb.ServerMetadataResponse(), client.get_server_metadata())
    same("/v2/models/colour", pb.ModelMetadataResponse(), client.get_model_metadata("colour"))
    same("/v2/models/colour/versions/1", pb.ModelMetadataResponse(), client.get_model_metadata("colour", "1"))
    config = client.get_model_config("colour")
    same("/v2/models/colour/config", pb.ModelConfigResponse().config, config.config)
    assert config.config.max_batch_size == 16
    for ask in (client.get_model_metadata, client.get_model_config, client.get_inference_statistics):
        with pytest.raises(InferenceServerException, match="no model 'nothing'") as caught:
            ask("nothing")
        assert status(caught.value) == "NOT_FOUND"


def test_statistics(site: Site, client: triton.InferenceServerClient) -> None:
    def images() -> int:
        [entry] = client.get_inference_statistics("grey").model_stats
        return int(entry.inference_count)

    before = images()
    grey = pixels(2)[..., :1].copy()
    client.infer("grey", [image(grey)])
    assert images() == before + 2
    names = [(entry.name, entry.version) for entry in client.get_inference_statistics().model_stats]
    assert names == [("colour", "1"), ("colour", "2"), ("grey", "1")]
    assert [e.version for e in client.get_inference_statistics("colour", "2").model_stats] == ["2"]
    expected = httpx.get(f"{site.http}/v2/models/grey/stats").json()
    assert client.get_inference_statistics("grey") == ParseDict(expected, pb.ModelStatisticsResponse())


def test_index_load_and_unload(client: triton.InferenceServerClient) -> None:
    def states(**options: bool) -> dict[str, str]:
        found = MessageToDict(client.get_model_repository_index(headers=KEY))["models"]
        return {f"{entry['name']}/{entry['version']}": entry["state"] for entry in found}

    everything = {"colour/1": "READY", "colour/2": "READY", "grey/1": "READY"}
    assert states() == everything
    client.unload_model("colour", headers=KEY)
    assert states() == everything | {"colour/1": "UNAVAILABLE", "colour/2": "UNAVAILABLE"}
    assert not client.is_model_ready("colour")
    client.load_model("colour", headers=KEY)
    assert states() == everything
    with pytest.raises(InferenceServerException, match="load takes none") as caught:
        client.load_model("colour", headers=KEY, config="{}")
    assert status(caught.value) == "INVALID_ARGUMENT"
    with pytest.raises(InferenceServerException, match="no model 'nothing'") as caught:
        client.load_model("nothing", headers=KEY)
    assert status(caught.value) == "NOT_FOUND"
    with pytest.raises(InferenceServerException) as caught:
        client.get_model_repository_index()
    assert status(caught.value) == "UNAUTHENTICATED"


def test_what_triton_has_and_the_service_has_not(client: triton.InferenceServerClient) -> None:
    with pytest.raises(InferenceServerException) as caught:
        client.get_system_shared_memory_status()
    assert status(caught.value) == "UNIMPLEMENTED"
