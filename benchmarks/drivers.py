"""What bertline's drivers cost when everything is up to date, against DVC alone.

Times in turn, in this checkout: `dvc repro`; the Prefect flow with its server already running, as a
process and as the call alone (a served flow imports Prefect once); and `dvc repro` of a bare project whose
map has the same shape (as many stages, dependencies, parameters and outputs, the same files) but no code of
ours. Prints seconds and the ratios to the bare project, run by run. Needs a pipeline that is up to date and a
clean checkout: `make run` first.
"""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ruamel.yaml import YAML

RUNS = 7
FLOW = """
import time
from flows.retrain import retrain
start = time.perf_counter()
retrain()
print(time.perf_counter() - start)
"""
PORT = 4288
BIN = Path(sys.executable).parent


def main() -> None:
    env = os.environ | {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "DVC_NO_ANALYTICS": "1"}
    status = subprocess.run(["dvc", "status", "--quiet"], env=env, check=False)
    if status.returncode != 0:
        sys.exit("error: the pipeline is not up to date here; run: make run")
    with tempfile.TemporaryDirectory() as folder, server(env) as url:
        bare = Path(folder)
        make_bare_project(bare, env)
        here = Path.cwd()
        flow_env = env | {"PREFECT_API_URL": url}
        commands = {
            "bare dvc repro": (["dvc", "repro"], bare, env),
            "dvc repro": (["dvc", "repro"], here, env),
            "flow, whole process": ([sys.executable, "-c", FLOW], here, flow_env),
        }
        seconds: dict[str, list[float]] = {name: [] for name in [*commands, "flow, the call"]}
        for run in range(RUNS + 1):  # the first is a warm-up
            for name, (command, cwd, environment) in commands.items():
                start = time.perf_counter()
                done = subprocess.run(command, cwd=cwd, env=environment, check=True, capture_output=True)
                if run:
                    seconds[name].append(time.perf_counter() - start)
                if run and "flow" in name:
                    seconds["flow, the call"].append(float(done.stdout.split()[-1]))
    print(f"{'cached, median of ' + str(RUNS):24}{'seconds':>9}{'ratio':>9}")
    for name, times in seconds.items():
        ratios = [mine / theirs for mine, theirs in zip(times, seconds["bare dvc repro"], strict=True)]
        print(f"{name:24}{statistics.median(times):9.2f}{statistics.median(ratios):9.2f}")


def make_bare_project(folder: Path, env: dict[str, str]) -> None:
    """Make a DVC project with this one's map: the same files, but every command only copies them."""
    original = YAML(typ="safe").load(Path("dvc.yaml").read_text("utf-8"))
    stages = {}
    for name, stage in original["stages"].items():
        copies = [f"mkdir -p {Path(out).parent} && cp -r made/{out} {out}" for out in stage["outs"]]
        stages[name] = {key: stage[key] for key in ("deps", "params", "outs")} | {"cmd": " && ".join(copies)}
        for dep in stage["deps"]:
            copy(Path(dep), folder / dep)
        for out in stage["outs"]:
            copy(Path(out), folder / "made" / out)
    for out in (out for stage in stages.values() for out in stage["outs"]):
        shutil.rmtree(folder / out, ignore_errors=True)
        (folder / out).unlink(missing_ok=True)
    shutil.copy("params.yaml", folder)
    with (folder / "dvc.yaml").open("w", encoding="utf-8") as file:
        YAML().dump({"stages": stages}, file)
    for command in ("git init", "dvc init", "dvc repro"):
        subprocess.run([*command.split(), "--quiet"], cwd=folder, env=env, check=True)


def copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, dirs_exist_ok=True)
    else:
        shutil.copy(source, target)


@contextmanager
def server(env: dict[str, str]) -> Iterator[str]:
    """Run a Prefect server on loopback with a database of its own; yield its address."""
    import httpx

    url = f"http://127.0.0.1:{PORT}/api"
    with tempfile.TemporaryDirectory() as home:
        command = ["prefect", "server", "start", "--host", "127.0.0.1", "--port", str(PORT)]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        process = subprocess.Popen(command, env=env | {"PREFECT_HOME": home}, **quiet)
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
