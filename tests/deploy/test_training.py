"""The files that start training on several machines give commands that ``torchrun`` and the program understand."""

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from torch.distributed.run import get_args_parser

from tests.deploy.rendering import ROOT
from tests.test_deployment import inherited
from training import __main__ as training

SCRIPT = ROOT / "deploy" / "slurm" / "train.sbatch"
JOB = yaml.safe_load((ROOT / "deploy" / "kubeflow" / "pytorchjob.yaml").read_text())["spec"]


def of_fit(words: list[str]) -> dict[str, Any]:
    """The options of ``torchrun ... training fit ...``, as the parsers of both read them."""
    asked = get_args_parser().parse_args(words)
    assert (asked.module, asked.training_script) == (True, "training")
    name, *options = asked.training_script_args
    command = typer.main.get_command(training.app)
    found = command.commands[name].make_context(name, options).params  # type: ignore[attr-defined]
    return {**found, "torchrun": asked}


def test_slurm(tmp_path: Path) -> None:
    for name, content in (("srun", 'printf "%s\\n" "$@"'), ("scontrol", 'printf "node1\\nnode2\\n"')):
        (tmp_path / name).write_text(f"#!/bin/sh\n{content}\n")
        (tmp_path / name).chmod(0o755)
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "activate").write_text("")
    given = {"SLURM_JOB_NODELIST": "node[1-2]", "SLURM_NNODES": "2", "SLURM_GPUS_ON_NODE": "4", "SLURM_JOB_ID": "7"}
    environment = os.environ | given | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    run = subprocess.run(
        ["bash", SCRIPT, "octmnist", "runs/oct"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    words = run.stdout.splitlines()
    assert words[0] == "torchrun"
    found = of_fit(words[1:])
    assert (found["recipe"], str(found["run"]), found["resume"]) == ("octmnist", "runs/oct", True)
    torchrun = found["torchrun"]
    assert (torchrun.nnodes, torchrun.nproc_per_node, torchrun.rdzv_endpoint) == ("2", "4", "node1:29500")
    missing = subprocess.run(
        ["bash", SCRIPT], env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert "the first argument is the recipe" in missing.stderr
    assert missing.returncode != 0


@pytest.mark.parametrize("role", ["Master", "Worker"])
def test_kubeflow(role: str) -> None:
    pod = JOB["pytorchReplicaSpecs"][role]
    assert pod["restartPolicy"] == "OnFailure"
    [container] = pod["template"]["spec"]["containers"]
    assert container["name"] == "pytorch", "the operator looks for this name"
    assert container["command"][0] == "torchrun"
    found = of_fit([*container["command"][1:], *container["args"]])
    assert found["resume"] is True
    mounted = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
    assert mounted[str(Path(str(found["run"])).parent)] == "runs"
    assert set(mounted.values()) == {volume["name"] for volume in pod["template"]["spec"]["volumes"]}
    user = pod["template"]["spec"]["securityContext"]
    assert f"USER {user['runAsUser']}:{user['runAsGroup']}" in inherited("train")
