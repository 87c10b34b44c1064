"""Start a training command in several processes, and end them all when one of them ends.

torch's own elastic launcher (`torchrun`) starts them, on this machine, over loopback. For several machines:

- Give the same command to each of them, with torchrun's own settings in the environment:
  `PET_NNODES=2 PET_NODE_RANK=0 PET_MASTER_ADDR=first.example dvc repro finetune` on the first machine, and
  the stage's command with `PET_NODE_RANK=1` on the second. Or call torchrun yourself.
- `processes` is then the number of processes on each machine.
- All machines must see the same project folder (over NFS, for example). Only process 0 writes to it.

Guarantees that no process outlives this one, however it ends. A failed run is not restarted, because running
the command again continues from the last checkpoint. There is one exception: when a process runs out of
memory, all processes start again from the last checkpoint, with a smaller micro-batch.
"""

import logging
import os
import signal
import sys
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp

import torch
from torch import distributed as dist

from bertline.core.files import replacing
from bertline.params.training import TrainingSection

MICRO_BATCH_FILE = "BERTLINE_MICRO_BATCH_FILE"
"""Environment variable: the path of the file that holds the largest micro-batch that fits into memory."""


def launch(params: TrainingSection) -> bool:
    """Run the command of this process in `params.processes` processes; return whether that was done.

    It is not done if one process is asked for, or if this process is already one of several.

    Raises:
        ValueError: there are fewer GPUs than processes.
        ChildProcessError: a process was killed.
        SystemExit: a process failed; its error has been printed.
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
        if "PET_NNODES" not in os.environ:  # the launchers of other machines would not start again
            os.environ[MICRO_BATCH_FILE] = str(Path(scratch, "micro_batch"))
        try:
            while not _run(params.processes, Path(mkdtemp(dir=scratch))):
                sys.stdout.write(
                    f"memory ran out in one of {params.processes} processes; "
                    f"starting again, with micro-batches of {micro_batch_limit()} texts in each\n"
                )
                sys.stdout.flush()
        finally:
            os.environ.pop(MICRO_BATCH_FILE, None)
    return True


def micro_batch_limit() -> int | None:
    """Return the largest micro-batch, in rows, that fits into memory; None if memory has not run out."""
    path = Path(os.environ.get(MICRO_BATCH_FILE, ""))
    return int(path.read_text()) if path.is_file() else None


def restart_with_micro_batch(rows: int) -> None:
    """End all processes and start them again with this micro-batch; do nothing if no launcher would."""
    if MICRO_BATCH_FILE not in os.environ:
        return
    with replacing(Path(os.environ[MICRO_BATCH_FILE]), writer=str(os.getpid())) as new:
        new.write_text(str(rows))
    sys.stdout.flush()
    os._exit(1)  # at once: the other processes wait for this one's part of the step


def _run(processes: int, logs: Path) -> bool:
    """Return False if a process asked for a restart with a smaller micro-batch."""
    from torch.distributed.elastic.multiprocessing.api import SignalException  # here: they take a second
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import parse_args, run

    here = [] if "PET_NNODES" in os.environ else ["--standalone", "--local-addr=127.0.0.1"]
    quiet = ",".join(f"{rank}:3" for rank in range(1, processes))  # 3: both stdout and stderr into files
    redirects = [f"--redirects={quiet}", f"--log-dir={logs}"] if quiet else []
    command = ["--no-python", sys.executable, *sys.orig_argv[1:]]
    os.environ |= {"BERTLINE_LAUNCHER": str(os.getpid()), "TORCH_CPP_LOG_LEVEL": "ERROR"}
    limit_before = micro_batch_limit()
    logging.disable(logging.ERROR)  # torchrun reports a failure in forty lines
    try:
        run(  # type: ignore[no-untyped-call]
            parse_args([*here, f"--nproc-per-node={processes}", *redirects, *command])  # type: ignore[no-untyped-call]
        )
    except SignalException as error:
        if error.sigval == signal.SIGINT:
            raise KeyboardInterrupt from error
        sys.exit(128 + error.sigval)
    except ChildFailedError as error:
        if micro_batch_limit() != limit_before:
            return False
        rank, failure = error.get_first_failure()
        if failure.exitcode < 0:
            name = signal.Signals(-failure.exitcode).name
            raise ChildProcessError(
                f"process {rank} was killed by {name}; run the same command again to continue"
            ) from error
        if failure.local_rank:  # process 0 prints its errors here itself
            _print_error(next(logs.rglob(f"{failure.local_rank}/stderr.log")))
        sys.exit(failure.exitcode)
    finally:
        logging.disable(logging.NOTSET)
    return True


def _print_error(log: Path) -> None:
    """Print the last line of a log if it is an error line, or else the whole log."""
    text = log.read_text(encoding="utf-8", errors="replace").rstrip()
    last = text.rpartition("\n")[2]
    sys.stderr.write(f"{last if last.startswith('error:') else text}\n")
