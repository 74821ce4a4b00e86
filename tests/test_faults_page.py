"""Every test that docs/faults.md names as the proof of a promise exists, and every promise has one."""

import re
from pathlib import Path

TESTS = Path(__file__).parent
ROWS = [line for line in (TESTS.parent / "docs" / "faults.md").read_text().splitlines() if line.startswith("| ")][2:]


def test_every_promise_names_tests_that_exist():
    assert len(ROWS) > 20
    for row in ROWS:
        named = re.findall(r"`(test_\w+\.py)::(\w+)`", row)
        assert named, row
        for file, test in named:
            assert f"def {test}(" in (TESTS / file).read_text(), f"{file}::{test}"
        for file in re.findall(r"`(\w+\.py)`", row):
            assert (TESTS / file).exists(), file
