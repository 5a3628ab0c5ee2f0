"""Makes a test fail each time that would fail once in a hundred: with this folder on ``PYTHONPATH`` things come late.

They are the begin of every thread, the results that threads hand over, and what the service does after an answer, such
as the line of its log. ``SLOWED`` is by how many seconds at most. Python imports this file by itself at its start.
"""

import asyncio
import os
import random
import threading
import time
from concurrent.futures import Future
from typing import Any

import wrapt

SLOWED_S = float(os.environ.get("SLOWED", "0.1"))


@wrapt.patch_function_wrapper(threading.Thread, "run")
def begin_late(run: Any, _: threading.Thread, given: Any, named: Any) -> None:
    time.sleep(random.uniform(0, SLOWED_S))
    run(*given, **named)


@wrapt.patch_function_wrapper(Future, "set_result")
@wrapt.patch_function_wrapper(Future, "set_exception")
def hand_over_late(hand_over: Any, _: Future[Any], given: Any, named: Any) -> None:
    time.sleep(random.uniform(0, SLOWED_S))
    hand_over(*given, **named)


@wrapt.when_imported("uvicorn.protocols.http.httptools_impl")
def end_late(module: Any) -> None:
    @wrapt.patch_function_wrapper(module.RequestResponseCycle, "send")
    async def send_and_wait(send: Any, _: Any, given: Any, named: Any) -> None:
        await send(*given, **named)
        [message] = given
        if message["type"] == "http.response.body" and not message.get("more_body"):
            await asyncio.sleep(random.uniform(0, SLOWED_S))
