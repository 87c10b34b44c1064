"""Signals that end a command: each is handled like Ctrl-C, so that child processes end and locks go."""

import signal


def interrupt_on_signals() -> None:
    """Let SIGHUP (a closed terminal) and SIGTERM (`kill`) raise KeyboardInterrupt from now on.

    A signal that was ignored from the start stays ignored, as `nohup` wants. SIGINT is the exception: a shell
    script lets its background jobs ignore it, and DVC would inherit that and could not be ended.
    """
    for number in (signal.SIGHUP, signal.SIGTERM):
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, signal.default_int_handler)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
