"""TLS on both ports, with a certificate made here."""

import datetime
import json
import os
import ssl
import subprocess
import sys
from pathlib import Path

import grpc
import httpx
import pytest
import tritonclient.grpc as triton
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from grpc_health.v1 import health_pb2
from grpc_health.v1.health_pb2_grpc import HealthStub

from service.security.tls import key_pair
from service.settings import Settings, SettingsError, load_settings
from tests.conftest import ImageMaker
from tests.service.process import ROOT
from tests.service.rpc.calling import files, image, pixels, serving


def write_pair(folder: Path, password: bytes | None = None) -> tuple[Path, Path]:
    """A certificate for localhost that signs itself, and its key."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name.from_rfc4514_string("CN=localhost")
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    lock = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    folder.mkdir(exist_ok=True)
    files = folder / "tls.crt", folder / "tls.key"
    files[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, lock))
    return files


def test_both_ports_speak_tls(repository: Path, tmp_path: Path, make_image: ImageMaker) -> None:
    certificate, key = write_pair(tmp_path)
    environment = {"RETINA_TLS_CERTIFICATE": str(certificate), "RETINA_TLS_KEY": str(key)}
    with serving(repository, **environment) as site:
        assert site.http.startswith("https://")
        port, file = site.http.rpartition(":")[2], make_image()
        trust = ssl.create_default_context(cafile=certificate)
        with httpx.Client(verify=trust, base_url=f"https://localhost:{port}") as http:
            assert http.get("/v2/health/ready").json() == {"ready": True}
            answer = http.post("/v1/models/colour/predict", content=file).json()
            headers = {"Content-Type": "application/octet-stream"}
            large = http.post("/v1/models/colour/predict", content=bytes(40 << 20), headers=headers)
            assert large.status_code == 413
        with pytest.raises(httpx.TransportError):
            httpx.get(f"http://localhost:{port}/v2/health/ready")
        check = (
            (ROOT / "Dockerfile")
            .read_text()
            .partition("HEALTHCHECK")[2]
            .partition(" CMD ")[2]
            .partition("ENTRYPOINT")[0]
        )
        command = json.loads(check.replace("\\\n", ""))
        variables = os.environ | environment | {"RETINA_PORT": port}
        assert subprocess.run([sys.executable, *command[1:]], env=variables, timeout=10, check=False).returncode == 0
        target = site.grpc.replace("127.0.0.1", "localhost")
        with triton.InferenceServerClient(target, ssl=True, root_certificates=str(certificate)) as client:
            found = client.infer("colour", [files(file)]).as_numpy("probabilities")[0]
            shown = [entry["probability"] for entry in answer["predictions"][0]["probabilities"]]
            assert found.tolist() == pytest.approx(shown, abs=1e-6)
            assert client.infer("colour", [image(pixels(2))]).as_numpy("probabilities").shape == (2, 3)
        with grpc.insecure_channel(target) as channel, pytest.raises(grpc.RpcError):
            HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=2)


def settings(certificate: Path | None, key: Path | None) -> Settings:
    return load_settings(tls_certificate=certificate, tls_key=key)


def test_a_pair_that_can_t_be_used_is_one_sentence(tmp_path: Path) -> None:
    certificate, key = write_pair(tmp_path / "one")
    other, _ = write_pair(tmp_path / "two")
    _, locked = write_pair(tmp_path / "three", password=b"secret")
    assert key_pair(settings(None, None)) is None
    found = key_pair(settings(certificate, key))
    assert found is not None
    assert found.key == key.read_bytes()
    with pytest.raises(SettingsError, match="belong together"):
        settings(certificate, None)
    for pair, words in (
        ((other, key), "key values mismatch"),
        ((certificate, locked), "unencrypted private key"),
        ((key, key), "can't be used"),
        ((tmp_path / "none", key), "can't be read .no such file"),
    ):
        with pytest.raises(SettingsError, match=words) as caught:
            key_pair(settings(*pair))
        assert str(caught.value).count("\n") == 0
