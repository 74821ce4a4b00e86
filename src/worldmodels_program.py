"""Where the installed program begins: before anything is imported, a signal ends it as it ends any program, without a word.

Importing any part of ``worldmodels`` imports Gymnasium, which takes long enough for a Ctrl-C to fall into it.
"""

import signal


def run() -> None:
    """Runs the command of ``sys.argv`` and ends with its exit code."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # not where it is ignored (``nohup``, a background job)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from worldmodels.__main__ import run as run_command

    run_command()
