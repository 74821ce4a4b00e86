"""``python -m worldmodels``."""

from worldmodels.cli import run

if __name__ == "__main__":
    run()
