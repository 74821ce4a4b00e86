"""The program, installed and as ``python -m worldmodels``: signals and streams first, everything else after them."""

from __future__ import annotations

import sys

from worldmodels.runtime import interrupt


def run() -> None:
    """Runs the command of ``sys.argv`` and ends with its exit code."""
    interrupt.listen()
    with interrupt.loading():
        from worldmodels.runtime import streams

        streams.prepare()
        from worldmodels.cli import main
    try:
        code = main()
    except KeyboardInterrupt:  # a second one, while the first was being told
        code = interrupt.INTERRUPTED
    interrupt.ignore()  # what is done is done; Python, on its way out, would have a late signal kill it
    sys.exit(streams.finish(code))


if __name__ == "__main__":
    run()
