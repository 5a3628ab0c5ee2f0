"""The health protocol, reflection, the start and the end."""

import os
import queue
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2
from grpc_health.v1.health_pb2_grpc import HealthStub
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.reflection_pb2_grpc import ServerReflectionStub
from tritonclient.grpc import service_pb2 as pb

from service.app import rpc_of
from service.settings import Settings
from tests.service.process import ROOT
from tests.service.rpc.calling import SERVICE, pixels, serving, status

SERVING, NOT_SERVING, UNKNOWN = 1, 2, 3


def test_health(repository: Path) -> None:
    """It needs no key."""
    with (
        serving(repository, RETINA_AUTH="required", RETINA_ADMIN_KEY="the-key") as site,
        grpc.insecure_channel(site.grpc) as channel,
    ):
        health = HealthStub(channel)
        for name in ("", SERVICE):
            assert health.Check(health_pb2.HealthCheckRequest(service=name), timeout=5).status == SERVING
        with pytest.raises(grpc.RpcError, match="no service 'other'") as caught:
            health.Check(health_pb2.HealthCheckRequest(service="other"), timeout=5)
        assert status(caught.value) == "NOT_FOUND"
        assert next(health.Watch(health_pb2.HealthCheckRequest(service="other"), timeout=5)).status == UNKNOWN


def test_readiness_fails_before_the_end(repository: Path) -> None:
    """A request in flight is answered, and a watcher of the health does not delay the end."""
    with (
        serving(repository, RETINA_DRAIN_SECONDS="3", RETINA_BATCH_DELAY_MS="1000") as site,
        grpc.insecure_channel(site.grpc) as channel,
    ):
        told: queue.Queue[Any] = queue.Queue()
        watch = HealthStub(channel).Watch(health_pb2.HealthCheckRequest(), timeout=20)

        def follow() -> None:
            for answer in watch:
                told.put(answer.status)

        threading.Thread(target=follow, daemon=True).start()
        assert told.get(timeout=5) == SERVING
        request = pb.ModelInferRequest(model_name="colour", raw_input_contents=[pixels(1).tobytes()])
        request.inputs.add(name="image", datatype="UINT8", shape=[1, 32, 32, 3])
        infer = channel.unary_unary(f"/{SERVICE}/ModelInfer").future(request.SerializeToString(), timeout=20)
        ready = channel.unary_unary(f"/{SERVICE}/ServerReady")
        assert pb.ServerReadyResponse.FromString(ready(b"")).ready
        site.process.send_signal(signal.SIGTERM)
        assert told.get(timeout=5) == NOT_SERVING
        assert not pb.ServerReadyResponse.FromString(ready(b"")).ready
        assert len(pb.ModelInferResponse.FromString(infer.result()).outputs) == 3
        assert site.process.wait(20) == 0


def test_reflection(repository: Path) -> None:
    def ask(**question: str) -> Any:
        request = reflection_pb2.ServerReflectionRequest(**question)
        [answer] = ServerReflectionStub(channel).ServerReflectionInfo(iter([request]), timeout=5)
        return answer

    with serving(repository) as site, grpc.insecure_channel(site.grpc) as channel:
        names = [service.name for service in ask(list_services="").list_services_response.service]
        assert {SERVICE, "grpc.health.v1.Health"} <= set(names)
        files = ask(file_containing_symbol=SERVICE).file_descriptor_response.file_descriptor_proto
        assert pb.DESCRIPTOR.serialized_pb in files


def failed_start(repository: Path, code: str = "pass", **environment: str) -> str:
    start = f"import runpy, sys; {code}; runpy.run_module('service', run_name='__main__')"
    variables = os.environ | {"RETINA_MODEL_REPOSITORY": str(repository), "RETINA_PORT": "0"} | environment
    done = subprocess.run(
        [sys.executable, "-c", start], cwd=ROOT, env=variables, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    return " ".join(done.stderr.split())


def test_a_start_without_the_packages_is_one_sentence(repository: Path) -> None:
    text = failed_start(repository, "sys.modules['grpc'] = None", RETINA_GRPC_PORT="0")
    assert text == "Error: RETINA_GRPC_PORT needs grpcio: pip install 'retina-srm[grpc]'"


def test_a_port_that_is_taken_is_one_sentence(repository: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        text = failed_start(repository, RETINA_GRPC_PORT=str(taken.getsockname()[1]))
    assert "address already in use" in text
    assert "set RETINA_HOST or RETINA_GRPC_PORT" in text


def test_without_the_port_there_is_no_grpc(settings: Settings) -> None:
    assert rpc_of(settings) is None
    assert rpc_of(settings.model_copy(update={"grpc_port": 0})) is not None
