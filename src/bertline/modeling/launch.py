"""Start a training command in several processes, and end them all when one of them ends.

They are started by torch's own elastic launcher (`torchrun`), on this machine, over loopback. For several
machines give the same command to each of them, with torchrun's own settings in the environment, as
`PET_NNODES=2 PET_NODE_RANK=0 PET_MASTER_ADDR=first.example dvc repro finetune` on the first and, with
`PET_NODE_RANK=1`, the stage's command on the second. `processes` is then the number on each of them. All must
see the same project folder (NFS, say): process 0 alone writes to it. Or call torchrun yourself.

Guarantees that no process outlives this one, however it ends. Nothing is restarted, for running the command
again continues from the last checkpoint; but for one thing: where a process runs out of memory, all of them
start again from there and compute fewer texts at once.
"""

import logging
import os
import signal
import sys
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp

import torch
from torch import distributed as dist

from bertline.params.training import Training

AT_ONCE = "BERTLINE_AT_ONCE"
"""Names, in the environment, the file that says how many texts a process can compute at once."""


def launch(params: Training) -> bool:
    """Run the command of this process in `params.processes` processes; say whether that has been done.

    It is not where one process is asked for, or where this is already one of several.

    Raises:
        ValueError: there are fewer GPUs than processes.
        ChildProcessError: a process was killed.
        SystemExit: a process failed, and has said why.
    """
    if dist.is_torchelastic_launched() or (params.processes == 1 and "PET_NNODES" not in os.environ):
        return False
    gpus = torch.cuda.device_count()
    if params.processes > gpus and (params.device == "cuda" or (params.device == "auto" and gpus)):
        raise ValueError(
            f"processes is {params.processes}, but this machine has {gpus} GPUs and each process needs one; "
            f"allowed: 1 to {gpus}, or device: cpu"
        )
    with TemporaryDirectory(prefix="bertline-") as scratch:
        at_once = Path(scratch, "at_once")
        if "PET_NNODES" not in os.environ:  # launchers of other machines would not start again
            os.environ[AT_ONCE] = str(at_once)
        try:
            while not _run(params.processes, Path(mkdtemp(dir=scratch))):
                sys.stdout.write(
                    f"memory ran out in one of {params.processes} processes; "
                    f"starting again, with {texts_at_once()} texts at once in each\n"
                )
                sys.stdout.flush()
        finally:
            os.environ.pop(AT_ONCE, None)
    return True


def texts_at_once() -> int | None:
    """Return how many texts a process can compute at once; None if memory has not run out."""
    path = Path(os.environ.get(AT_ONCE, ""))
    return int(path.read_text()) if path.is_file() else None


def start_over(texts: int) -> None:
    """End all processes, to start again with so many texts at once in each; do nothing if nobody would."""
    if AT_ONCE not in os.environ:
        return
    path = Path(os.environ[AT_ONCE])
    partial = path.with_suffix(f".{os.getpid()}")
    partial.write_text(str(texts))
    partial.replace(path)
    sys.stdout.flush()
    os._exit(1)  # at once: the others wait for what this one will not compute


def _run(processes: int, logs: Path) -> bool:
    """Say whether they came to an end; otherwise they want to start again with fewer texts at once."""
    from torch.distributed.elastic.multiprocessing.api import SignalException  # here: they take a second
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import parse_args, run

    here = [] if "PET_NNODES" in os.environ else ["--standalone", "--local-addr=127.0.0.1"]
    quiet = ",".join(f"{rank}:3" for rank in range(1, processes))  # 3: both stdout and stderr into files
    redirects = [f"--redirects={quiet}", f"--log-dir={logs}"] if quiet else []
    command = ["--no-python", sys.executable, *sys.orig_argv[1:]]
    os.environ |= {"BERTLINE_LAUNCHER": str(os.getpid()), "TORCH_CPP_LOG_LEVEL": "ERROR"}
    tried = texts_at_once()
    logging.disable(logging.ERROR)  # the launcher's own account of a failure is forty lines
    try:
        run(  # type: ignore[no-untyped-call]
            parse_args([*here, f"--nproc-per-node={processes}", *redirects, *command])  # type: ignore[no-untyped-call]
        )
    except SignalException as error:
        if error.sigval == signal.SIGINT:
            raise KeyboardInterrupt from error
        sys.exit(128 + error.sigval)
    except ChildFailedError as error:
        if texts_at_once() != tried:
            return False
        rank, failure = error.get_first_failure()
        if failure.exitcode < 0:
            name = signal.Signals(-failure.exitcode).name
            raise ChildProcessError(
                f"process {rank} was killed by {name}; run the same command again to continue"
            ) from error
        if failure.local_rank:  # what process 0 says, it says here
            _repeat(next(logs.rglob(f"{failure.local_rank}/stderr.log")))
        sys.exit(failure.exitcode)
    finally:
        logging.disable(logging.NOTSET)
    return True


def _repeat(log: Path) -> None:
    """Print the error line with which a log ends, or else all of it."""
    text = log.read_text(encoding="utf-8", errors="replace").rstrip()
    last = text.rpartition("\n")[2]
    sys.stderr.write(f"{last if last.startswith('error:') else text}\n")
