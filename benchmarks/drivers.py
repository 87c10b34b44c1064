"""The cost of bertline's drivers against DVC alone: of a cached run, of a full one, and of a growing map.

Times in turn, as whole processes, with a Prefect server running. *Cached*: `dvc repro` and the flow in this
checkout, against `dvc repro` of a bare project whose map has the same shape (as many stages, dependencies,
parameters and outputs, the same files) but no code of ours. Generated maps of stages that only write a file
show how that grows. *Full* (`--full N`, minutes): all stages of this checkout run again, N times each. It
removes `.bertline/checkpoints`, since a training would go on from its last one. Prints medians of seconds,
and of the ratios of each round. Needs a pipeline that is up to date and a clean checkout: `make run` first.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ruamel.yaml import YAML

ROUNDS = 7
SIZES = (5, 20, 50)  # stages of the generated maps
PORT = 4288
BIN = Path(sys.executable).parent
FLOW = [sys.executable, "-m", "flows.retrain"]


@dataclass(frozen=True)
class Command:
    """A command and the folder in which it runs."""

    words: Sequence[str]
    folder: Path

    def seconds(self, env: Mapping[str, str]) -> float:
        """Run it and return how long it took."""
        start = time.perf_counter()
        subprocess.run(self.words, cwd=self.folder, env=env, check=True, capture_output=True)
        return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--full", type=int, default=0, metavar="N", help="rounds of full runs; default: none")
    full = parser.parse_args().full
    here = Path.cwd()
    env = os.environ | {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "DVC_NO_ANALYTICS": "1"}
    if subprocess.run(["dvc", "status", "--quiet"], env=env, check=False).returncode != 0:
        sys.exit("error: the pipeline is not up to date here; run: make run")
    with tempfile.TemporaryDirectory() as folder, server(env) as url:
        env |= {"PREFECT_API_URL": url, "PYTHONPATH": f"{here}{os.pathsep}{here / 'src'}"}
        bare, dvc = make_bare_project(Path(folder, "bare"), env), ["dvc", "repro"]
        commands = {
            "bare dvc repro": Command(dvc, bare),
            "dvc repro": Command(dvc, here),
            "flow": Command(FLOW, here),
        }
        show("cached, this map", commands, env, ROUNDS)
        for size in SIZES:
            root = make_map(Path(folder, str(size)), size, env)
            until = [*FLOW, "--until", f"stage-{size - 1}"]
            commands = {"dvc repro": Command(dvc, root), "flow": Command(until, root)}
            show(f"cached, {size} cheap stages", commands, env, ROUNDS)
        if full:
            afresh = ["sh", "-c", 'rm -rf .bertline/checkpoints && exec "$@"', "sh"]
            forced = {
                "dvc repro": Command([*afresh, *dvc, "--force"], here),
                "flow": Command([*afresh, *FLOW, "--force"], here),
            }
            show("full run", forced, env, full, warm_up=0)


def show(
    title: str, commands: Mapping[str, Command], env: Mapping[str, str], rounds: int, warm_up: int = 1
) -> None:
    """Run `commands` in turn, and print their seconds and their ratios to the first one."""
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for turn in range(-warm_up, rounds):
        for name, command in commands.items():
            took = command.seconds(env)
            if turn >= 0:
                seconds[name].append(took)
    first, *_ = seconds.values()
    print(f"\n{title + f', median of {rounds}':36}{'seconds':>9}{'ratio':>9}")
    for name, times in seconds.items():
        ratio = statistics.median(mine / theirs for mine, theirs in zip(times, first, strict=True))
        print(f"{name:36}{statistics.median(times):9.2f}{ratio:9.2f}", flush=True)


def make_bare_project(root: Path, env: Mapping[str, str]) -> Path:
    """Make a DVC project with this one's map: the same files, but every command only copies them."""
    original = YAML(typ="safe").load(Path("dvc.yaml").read_text("utf-8"))
    stages = {}
    for name, stage in original["stages"].items():
        copies = [f"mkdir -p {Path(out).parent} && cp -r made/{out} {out}" for out in stage["outs"]]
        stages[name] = {key: stage[key] for key in ("deps", "params", "outs")} | {"cmd": " && ".join(copies)}
        for dep in stage["deps"]:
            copy(Path(dep), root / dep)
        for out in stage["outs"]:
            copy(Path(out), root / "made" / out)
    for out in (out for stage in stages.values() for out in stage["outs"]):
        shutil.rmtree(root / out, ignore_errors=True)
        (root / out).unlink(missing_ok=True)
    return start_project(root, stages, env)


def make_map(root: Path, size: int, env: Mapping[str, str]) -> Path:
    """Make a project with a chain of `size` stages, each of which writes a small file."""
    stages = {
        f"stage-{i}": {"cmd": f"echo {i} > out-{i}", "outs": [f"out-{i}"]}
        | ({"deps": [f"out-{i - 1}"]} if i else {})
        for i in range(size)
    }
    return start_project(root, stages, env)


def start_project(root: Path, stages: Mapping[str, object], env: Mapping[str, str]) -> Path:
    """Commit a project with these stages, and run them."""
    root.mkdir(exist_ok=True)
    shutil.copy("params.yaml", root)
    with (root / "dvc.yaml").open("w", encoding="utf-8") as file:
        YAML().dump({"stages": stages}, file)
    for command in (
        ["git", "init", "--quiet"],
        ["git", "config", "user.name", "Benchmark"],
        ["git", "config", "user.email", "benchmark@example.com"],
        ["dvc", "init", "--quiet"],
        ["dvc", "repro", "--quiet"],
        ["git", "add", "--all"],
        ["git", "commit", "--quiet", "--message", "Start"],
    ):
        subprocess.run(command, cwd=root, env=env, check=True)
    return root


def copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, dirs_exist_ok=True)
    else:
        shutil.copy(source, target)


@contextmanager
def server(env: Mapping[str, str]) -> Iterator[str]:
    """Run a Prefect server on loopback with a database of its own; yield its address."""
    import httpx

    url = f"http://127.0.0.1:{PORT}/api"
    with tempfile.TemporaryDirectory() as home:
        command = ["prefect", "server", "start", "--host", "127.0.0.1", "--port", str(PORT)]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        process = subprocess.Popen(command, env={**env, "PREFECT_HOME": home}, **quiet)
        try:
            for _ in range(120):
                try:
                    httpx.get(f"{url}/health").raise_for_status()
                    break
                except httpx.HTTPError:
                    time.sleep(1)
            yield url
        finally:
            process.terminate()
            process.wait()


if __name__ == "__main__":
    main()
