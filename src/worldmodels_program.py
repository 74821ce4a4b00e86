"""Where the program begins: before anything is imported, a Ctrl-C ends it as it ends any program, without a word.

Importing any part of ``worldmodels`` imports Gymnasium, which takes long enough for a Ctrl-C to fall into it.
"""

import signal


def end_without_a_word() -> None:
    """From now on a Ctrl-C ends the process at once, in place of a traceback."""
    try:
        if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
            return  # ignored (``nohup``, a background job), or taken over already
        # One that comes while Python changes its handler would be lost, with a traceback; it waits until that is done.
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.raise_signal(signal.SIGINT)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])


def run() -> None:
    """The installed script: runs the command of ``sys.argv`` and ends with its exit code."""
    end_without_a_word()
    from worldmodels.__main__ import run as run_command

    run_command()
