"""Thousands of damaged messages: each gets a status that blames the message, and the service goes on."""

import re
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import httpx
import numpy as np
from tritonclient.grpc import service_pb2 as pb

from tests.conftest import ImageMaker
from tests.service.rpc.calling import SERVICE, pixels, serving

COUNT = 5000
ALLOWED = {"OK", "INVALID_ARGUMENT", "NOT_FOUND", "DEADLINE_EXCEEDED"}
"""The last because a mutation may write a short timeout."""


def originals(file: bytes) -> list[bytes]:
    raw = pb.ModelInferRequest(model_name="colour", id="7", raw_input_contents=[pixels(1).tobytes()])
    raw.inputs.add(name="image", datatype="UINT8", shape=[1, 32, 32, 3])
    raw.outputs.add(name="probabilities").parameters["classification"].int64_param = 2
    raw.parameters["timeout"].int64_param = 5_000_000
    typed = pb.ModelInferRequest(model_name="grey", model_version="1")
    tensor = typed.inputs.add(name="image", datatype="UINT8", shape=[1, 32, 32, 1])
    tensor.contents.uint_contents.extend([200] * 1024)
    files = pb.ModelInferRequest(model_name="colour")
    tensor = files.inputs.add(name="image_bytes", datatype="BYTES", shape=[1, 1])
    tensor.contents.bytes_contents.append(file)
    return [message.SerializeToString() for message in (raw, typed, files)]


def mutations(messages: list[bytes]) -> Iterator[bytes]:
    random = np.random.default_rng(5)
    for _ in range(COUNT):
        content = bytearray(messages[random.integers(len(messages))])
        for _ in range(random.integers(1, 4)):
            # Most of a message is pixels, and what decides is at its ends.
            near = int(random.integers(150))
            place = near if random.random() < 0.7 else len(content) - near - 1
            match random.integers(10):
                case 0:
                    del content[place : place + int(random.integers(1, 9))]
                case 1:
                    content[place:place] = random.bytes(int(random.integers(1, 9)))
                case 2:
                    content = content + content[:place]
                case 3 | 4 | 5:
                    content[place] = int(random.integers(256))
                case _:
                    content[place] ^= 1 << int(random.integers(8))
        if random.random() < 0.05:
            content = content[: random.integers(len(content))]
        yield bytes(content)


def test_damaged_messages(repository: Path, make_image: ImageMaker) -> None:
    with serving(repository) as site, grpc.insecure_channel(site.grpc) as channel:
        infer = channel.unary_unary(f"/{SERVICE}/ModelInfer")
        sent, texts = originals(make_image()), list[str]()

        def code(content: bytes) -> str:
            found = infer.future(content, timeout=30)
            if found.exception() is not None:
                assert not re.search(r"Traceback|Error\b|\.py", found.details()), found.details()
                texts.append(found.details())
            return str(found.code().name)

        with ThreadPoolExecutor(8) as threads:
            codes = Counter(threads.map(code, mutations(sent)))
        assert codes.total() == COUNT
        assert set(codes) <= ALLOWED, codes
        assert min(codes[name] for name in ("OK", "INVALID_ARGUMENT", "NOT_FOUND")) > 50, codes
        assert len(set(texts)) > 30, texts
        assert [code(content) for content in sent] == ["OK"] * len(sent)
        assert httpx.get(f"{site.http}/v2/health/ready").status_code == 200
        site.process.terminate()
        assert site.process.wait(20) == 0
        assert not [line for line in site.log if "ERROR" in line]
