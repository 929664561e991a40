"""docs/fault-matrix.md is read by people who trust it."""
import pathlib
import re

ROOT = pathlib.Path(__file__).parents[3]


def test_every_test_named_in_the_matrix_exists():
    text = (ROOT / "docs/fault-matrix.md").read_text()
    sources = [path for path in (ROOT / "tests").rglob("*") if path.suffix in (".py", ".c", ".h")]
    code = "\n".join(path.read_text(errors="replace") for path in sources if path.name != pathlib.Path(__file__).name)
    files = {path.name for path in sources}
    named = set(re.findall(r"`([a-z0-9_]+(?:\.c)?)`", text)) - {"failed", "process", "lost", "unknown", "unsupervised"}
    missing = [name for name in named if name not in files and not re.search(rf"\b{name}\(", code)]
    assert len(named) > 80
    assert not missing, missing


def test_every_row_is_there():
    text = (ROOT / "docs/fault-matrix.md").read_text()
    for letter, count in (("F", 61), ("S", 45)):
        rows = set()
        for cell in re.findall(rf"^\| ({letter}\d\d[^|]*)\|", text, re.M):
            numbers = [int(number) for number in re.findall(rf"{letter}(\d\d)", cell)]
            rows |= set(range(numbers[0], numbers[-1] + 1)) if " to " in cell else set(numbers)
        assert rows == set(range(1, count + 1)), sorted(set(range(1, count + 1)) - rows)
