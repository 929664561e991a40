"""Make one CTest run out of the tests of several builds: `collect-tests.py OUT SELECTION...` writes OUT/CTestTestfile.cmake.

A SELECTION is preset:labels:names, labels separated by commas ("" = all but `long` and `bench`), names a regular expression.
The tests are called <preset>.<name> and labelled with their preset too. Must not: run or change tests.
"""
import json
import pathlib
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
SPECIAL = {"long", "bench"}  # only when asked for by name
SLOW = {"asan": 4, "tsan": 8}  # how much longer the sanitizers may take


def quote(text):
    level = "="
    while f"]{level}]" in text:
        level += "="
    return f"[{level}[{text}]{level}]"


def tests_of(preset):
    out = subprocess.run(["ctest", "--test-dir", ROOT / "build" / preset, "--show-only=json-v1"],
                         check=True, capture_output=True, text=True).stdout
    return json.loads(out)["tests"]


def properties_of(test):
    return {p["name"]: p["value"] for p in test["properties"]}


def wrap(preset, command):
    """ThreadSanitizer of gcc 12 and clang 14 can't bear the address space randomisation of newer kernels."""
    if preset == "tsan" and shutil.which("setarch") and subprocess.run(["setarch", "-R", "true"], check=False).returncode == 0:
        return [shutil.which("setarch"), "-R", *command]
    return command


def property_text(name, value, preset):
    if name == "TIMEOUT":
        value = value * SLOW.get(preset, 1)
    if name == "DEPENDS":
        value = [f"{preset}.{other}" for other in value]
    if name in ("PASS_REGULAR_EXPRESSION", "FAIL_REGULAR_EXPRESSION", "SKIP_REGULAR_EXPRESSION"):
        value = [v["regex"] if isinstance(v, dict) else v for v in value] if isinstance(value, list) else value
    if isinstance(value, list):
        value = ";".join(str(v) for v in value)
    if isinstance(value, bool):
        value = "ON" if value else "OFF"
    return f"{name} {quote(str(value))}"


def selected(test, labels, names):
    has = set(properties_of(test).get("LABELS", []))
    wanted = bool(has & labels) if labels else not has & SPECIAL
    return wanted and re.search(names, test["name"])


def lines(selection):
    preset, labels, names = selection.split(":", 2)
    labels = set(filter(None, labels.split(",")))
    for test in tests_of(preset):
        if not selected(test, labels, names):
            continue
        if "command" not in test:
            sys.exit(f"collect-tests: {preset}: {test['name']} was not built")
        properties = properties_of(test)
        properties["LABELS"] = [*properties.get("LABELS", []), preset]
        name = quote(f"{preset}.{test['name']}")
        yield f"add_test({name} {' '.join(quote(word) for word in wrap(preset, test['command']))})"
        yield f"set_tests_properties({name} PROPERTIES {' '.join(property_text(k, v, preset) for k, v in properties.items())})"


def main():
    out = pathlib.Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    text = "\n".join(line for selection in sys.argv[2:] for line in lines(selection))
    (out / "CTestTestfile.cmake").write_text(text + "\n")


if __name__ == "__main__":
    main()
