"""The notebooks run from top to bottom on the shipped models, and hold no output that such a run does not give."""

from pathlib import Path

import nbformat
import pytest

from tools.notebooks import executed

ROOT = Path(__file__).parent.parent
#: Those that are kept with their outputs; Colab's is not, see test_colab.py.
NOTEBOOKS = [path for path in sorted((ROOT / "notebooks").glob("*.ipynb")) if path.stem != "colab"]


def kinds_of_output(cell):
    """Printed text as it is, of pictures only that they are there: their bytes are the fonts' and the processor's."""
    found = []
    for output in cell.get("outputs", []):
        assert output.output_type in ("stream", "display_data"), output
        found.append(output.text if output.output_type == "stream" else sorted(output.data))
    return found


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_clean_run_gives_what_is_committed(path):
    committed = nbformat.read(path, as_version=4)
    fresh = executed(path)
    pictures = 0
    for old, new in zip(committed.cells, fresh.cells, strict=True):
        assert kinds_of_output(old) == kinds_of_output(new), old.source
        pictures += sum("image/png" in kinds for kinds in kinds_of_output(new))
    assert pictures >= 3


def test_there_are_three():
    assert len(NOTEBOOKS) == 3
