"""Execution providers: which of them may run a model, with which options, and which one really does.

ONNX Runtime leaves out a provider that it can't start and goes on with the next. So what runs a model is always asked
of the session.
"""

import json
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

import onnxruntime
from pydantic import AfterValidator, JsonValue

logger = logging.getLogger(__name__)

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
TENSORRT, OPENVINO = "TensorrtExecutionProvider", "OpenVINOExecutionProvider"
NAMES = {"cpu": CPU, "cuda": CUDA, "tensorrt": TENSORRT, "openvino": OPENVINO}
"""ONNX Runtime's names by those of the settings."""
ON_NVIDIA = {CUDA, TENSORRT}
"""Providers that plan the graph anew for each batch size."""

PACKAGES = {
    CUDA: "install onnxruntime-gpu in place of onnxruntime",
    TENSORRT: "install TensorRT, and onnxruntime-gpu in place of onnxruntime",
    OPENVINO: "install onnxruntime-openvino in place of onnxruntime",
}
CHECKS = {
    CUDA: "the GPU, its driver and the CUDA libraries",
    TENSORRT: "the GPU, its driver, and whether LD_LIBRARY_PATH leads to TensorRT and to the CUDA libraries",
    OPENVINO: "RETINA_PROVIDER_OPTIONS and what `python -m service predict` prints of OpenVINO's reason",
}

Options = dict[Literal["cuda", "tensorrt", "openvino"], dict[str, JsonValue]]
"""Options by the settings' name of a provider, as ONNX Runtime documents them. The CPU's provider has none."""


class ProviderError(RuntimeError):
    """No execution provider of the settings runs the model."""


def checked(wanted: str) -> str:
    """Return a list of providers without spaces.

    Raises:
        ValueError: if it is neither ``auto`` nor names without repetition, ``cpu`` last.
    """
    names = [name.strip() for name in wanted.split(",")]
    if names != ["auto"]:
        for name in names:
            if name not in NAMES:
                raise ValueError(f"{name!r} is no provider; write auto alone, or some of {', '.join(NAMES)} in order")
        if len({*names}) < len(names):
            raise ValueError("name each provider once")
        if "cpu" in names[:-1]:
            raise ValueError("the CPU runs every model, so nothing may follow cpu")
    return ",".join(names)


Wanted = Annotated[str, AfterValidator(checked)]
"""``auto``, or names of providers in fall-back order, separated by commas."""


def chain(wanted: str) -> list[str]:
    """The providers to ask ONNX Runtime for, the preferred one first: those wanted that it was built with.

    ``auto`` is CUDA, if it was built with it, and then the CPU. OpenVINO is used only by name.

    Raises:
        ProviderError: if it was built with none of them.
    """
    built = onnxruntime.get_available_providers()
    names = [CUDA, CPU] if wanted == "auto" else [NAMES[name] for name in checked(wanted).split(",")]
    found = [name for name in names if name in built]
    if not found:
        missing, advice = " or ".join(map(title, names)), "; ".join(f"for {title(n)} {PACKAGES[n]}" for n in names)
        raise ProviderError(
            f"RETINA_PROVIDER={wanted}, but the installed ONNX Runtime has no {missing}: {advice} (see Docker in "
            "README.md), or set RETINA_PROVIDER=auto"
        )
    return found


def title(provider: str) -> str:
    """The name of a provider without the words that all have."""
    return provider.removesuffix("ExecutionProvider").replace("Tensorrt", "TensorRT")


def with_defaults(given: Options, *, threads: int, tf32: bool) -> dict[str, dict[str, str]]:
    """Options by ONNX Runtime's name of the provider, as it takes them: those given, before what other settings say."""
    options = {CUDA: {"use_tf32": str(int(tf32))}, OPENVINO: {"num_of_threads": str(threads)}}
    for name, values in given.items():
        texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in values.items()}
        options[NAMES[name]] = options.get(NAMES[name], {}) | texts
    return options


def open_session(
    content: bytes, settings: onnxruntime.SessionOptions, wanted: str, options: Mapping[str, Mapping[str, str]]
) -> onnxruntime.InferenceSession:
    """Load a package's bytes into a session on the first provider that takes them.

    Raises:
        Exception: ONNX Runtime's own, which have no common base, if the CPU can't load them either.
        ProviderError: if none of the wanted providers is installed or takes the model.
    """
    settings.add_session_config_entry("session.record_ep_graph_assignment_info", "1")  # for nodes_by_provider
    offered = chain(wanted)
    if ON_NVIDIA & {*offered}:
        onnxruntime.preload_dlls()  # finds the CUDA libraries that pip installed, where the system has none

    def create(providers: Sequence[str]) -> onnxruntime.InferenceSession:
        # Without its own fall-back: it would go to the CPU after any error, in a later run too, and write to stdout.
        pairs = [(name, dict(options.get(name, {}))) for name in providers]
        return onnxruntime.InferenceSession(content, settings, providers=pairs, enable_fallback=0)

    faults, active = [], CPU
    for position, name in enumerate(offered):
        rest = offered[position:]
        try:
            session = create(rest if CPU in rest else [*rest, CPU])
        except Exception as error:  # ONNX Runtime's own exceptions have no common base
            if name == CPU:
                raise
            _, _, fault = str(error).rpartition("&) ")  # first comes the place in ONNX Runtime's source
            faults.append(f" ({title(name)}: {' '.join(fault.split())})")
            continue
        active = provider_of(session)
        if active in rest:
            if active != (offered[0] if wanted == "auto" else NAMES[wanted.split(",")[0]]):
                logger.warning("RETINA_PROVIDER=%s: the model runs on %s%s", wanted, title(active), "".join(faults))
            return session
        break  # all of the rest were offered
    else:
        create([CPU])  # raises if the fault is the package's
    advice = "; ".join(f"for {title(name)}, check {CHECKS[name]}" for name in offered)
    raise ProviderError(
        f"RETINA_PROVIDER={wanted}, but ONNX Runtime could not start {' or '.join(map(title, offered))} for the model "
        f"and offers {title(active)}{''.join(faults)}: {advice}; or set RETINA_PROVIDER=auto"
    )


def nodes_by_provider(session: onnxruntime.InferenceSession) -> dict[str, int]:
    """How many nodes of the graph each provider runs, the session's first provider first.

    ONNX Runtime assigns the nodes after its basic optimisations and before it fuses operators.
    """
    counts: Counter[str] = Counter()
    for part in session.get_provider_graph_assignment_info():
        counts[part.ep_name] += len(part.get_nodes())
    return {name: counts[name] for name in session.get_providers() if counts[name]}


def provider_of(session: onnxruntime.InferenceSession) -> str:
    """The first provider of a session that runs any node. ``get_providers`` alone also lists those that took none."""
    return next(iter(nodes_by_provider(session)))
