"""A plain FastAPI endpoint around ONNX Runtime."""

from fastapi import FastAPI, Request, Response
from network import Network, encoded, media_type
from starlette.concurrency import run_in_threadpool

app = FastAPI()
model = Network(threads=1)  # called from the thread pool


@app.post("/predict")
async def predict(request: Request) -> Response:
    return await run_in_threadpool(answer, await request.body(), "gates")


@app.post("/probabilities")
async def probabilities(request: Request) -> Response:
    return await run_in_threadpool(answer, await request.body(), "probabilities")


@app.post("/tensor")
async def tensor(request: Request) -> Response:
    return await run_in_threadpool(answer, await request.body(), "tensor")


def answer(content: bytes, kind: str) -> Response:
    probabilities, gates = model.run(model.image(content, kind)[None])
    return Response(encoded(probabilities[0], gates[0], kind), media_type=media_type(kind))
