"""The benchmarks run, their JSON is whole and their audits hold. Nothing here depends on how fast anything is."""
import json
import os
import pathlib
import subprocess
import sys

import pytest

HERE = pathlib.Path(__file__).parent
BIN = pathlib.Path(os.environ.get("REEVE_BIN", HERE.parents[1] / "build/dev/bin"))
ROUNDS = 3
MEASURES = {"rss_0", "rss_100", "shim_pss", "spawn", "start", "start_worker", "start_done", "stop_done", "restart",
            "restart_record", "lwt", "sdk_back", "start_100", "start_100_workers", "stop_100", "cli_start", "cli_stop",
            "bus_both_ways"}
CHECKS = {"start_processes", "stop_gone", "restart_processes", "restart_alive", "lwt_epochs", "lwt_processes",
          "start_100_processes", "stop_100_left", "shims_measured", "cli_processes", "cli_stop_gone",
          "bus_messages_astray"}


def run(*argv, code=0):
    done = subprocess.run([str(a) for a in argv], capture_output=True, text=True, timeout=200)
    assert done.returncode == code, f"{argv}: {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    """The report, and the folder in which it was made."""
    folder = tmp_path_factory.mktemp("bench")
    text = run(BIN / "reeve", "bench", "node", "--", "--rounds", ROUNDS, "--crowd-rounds", 1, "--messages", 500,
               "--dir", folder)
    return json.loads(text), folder


def test_every_measure_is_there_with_its_rounds_in_order(bench):
    measures = {row["name"]: row for row in bench[0]["measures"]}
    assert set(measures) == MEASURES, bench[0]["skipped"]
    assert {measures[name]["rounds"] for name in ("start", "restart", "lwt", "cli_stop")} == {ROUNDS}
    for row in measures.values():
        assert row["p50"] > 0, row
        if row["name"] != "bus_both_ways":
            assert row["min"] <= row["p50"] <= row["p99"] <= row["max"], row


def test_what_was_counted_is_what_was_expected(bench):
    audit = dict(bench[0]["audit"])
    assert audit.pop("ok") is True
    assert set(audit) == CHECKS
    assert all(check["counted"] == check["expected"] for check in audit.values()), audit
    assert audit["start_processes"]["expected"] == ROUNDS
    assert audit["start_100_processes"]["expected"] == 100


def test_the_machine_is_described(bench):
    machine = bench[0]["machine"]
    assert {"cores", "memory_bytes", "kernel", "system", "mosquitto", "reeve", "compiler", "state_fs"} <= set(machine)
    assert len(bench[0]["load_before"]) == 3


def test_nothing_is_left_behind(bench):
    folder = str(bench[1])
    assert os.listdir(folder) == []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            command = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            continue  # it ended meanwhile
        assert folder.encode() not in command or int(pid) == os.getpid(), command


@pytest.mark.parametrize("options", [["node", "--rounds", "0"], ["node", "--rounds", "x"], ["other"], [], ["--bogus"]])
def test_wrong_options_are_a_usage_error(options):
    run(BIN / "reeve-bench", *options, code=2)


def test_the_comparison_runs_with_reeve_alone(tmp_path):
    report = tmp_path / "peers.json"
    subprocess.run([sys.executable, str(HERE / "peers.py"), "--rounds", "1", "--crowd-rounds", "1", "--only", "reeve",
                    "--dir", str(tmp_path), "--json", str(report)], check=True, timeout=200, stdout=subprocess.DEVNULL,
                   env={**os.environ, "REEVE_BIN": str(BIN)})
    whole = json.loads(report.read_text())
    assert whole["audit_ok"] is True
    assert all(row["p50"] > 0 for row in whole["peers"]["reeve"]["measures"].values())
    assert whole["peers"]["reeve"]["audit"]["processes"] == 102  # one started, one killed, 100 in a crowd
    assert os.listdir(tmp_path) == ["peers.json"]
