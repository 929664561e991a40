"""`reeve bench fleet` runs with a small fleet, its JSON is whole, its audits hold, and it leaves nothing behind. Nothing here
depends on how fast anything is."""
import json
import os
import pathlib
import shutil
import subprocess

import pytest

HERE = pathlib.Path(__file__).parent
BIN = pathlib.Path(os.environ.get("REEVE_BIN", HERE.parents[1] / "build/dev/bin"))
WORKERS, ROUNDS = 200, 20
MEASURES = {"start_known", "start_stats", "start_verdicts", "start_messages", "rss_start", "cpu_manager", "cpu_broker", "cpu_simulated",
            "heartbeats", "will_verdict", "will_broker", "will_manager", "will_back", "burst_verdict", "query_stats",
            "query_list", "query_find", "stop_tenth", "start_tenth", "stop_all", "start_all", "rss_stops", "rss_peak",
            "restart_known", "restart_stats", "restart_messages", "rss_end"}
PHASES = {"start", "steady", "wills", "burst", "back_after_burst", "stop_tenth", "start_tenth", "stop_all", "start_all",
          "restart", "back_after_restart"}


def run(*argv, code=0, **options):
    done = subprocess.run([str(a) for a in argv], capture_output=True, text=True, timeout=280, **options)
    assert done.returncode == code, f"{argv}: {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-2000:]}"
    return done


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    """The report, and the folder in which it was made."""
    folder = tmp_path_factory.mktemp("bench")
    done = run(BIN / "reeve", "bench", "fleet", "--", "--quick", "--json", "--dir", folder)
    return json.loads(done.stdout), folder


def test_every_measure_is_there_with_its_rounds_in_order(bench):
    measures = {row["name"]: row for row in bench[0]["measures"]}
    assert set(measures) == MEASURES, bench[0]["skipped"]
    assert measures["will_verdict"]["rounds"] == measures["will_back"]["rounds"] == ROUNDS
    assert measures["burst_verdict"]["rounds"] == 3 * bench[0]["fleet"]["sessions"]
    for row in measures.values():
        assert row["min"] <= row["p50"] <= row["p99"] <= row["max"], row
        assert row["max"] > 0 or row["name"].startswith("cpu_"), row
        assert ("goal" in row) == ("met" in row)


def test_no_worker_was_missing_too_many_or_wrong_after_any_phase(bench):
    audit = dict(bench[0]["audit"])
    assert audit.pop("ok") is True and "error" not in bench[0]
    for phase in PHASES:
        for what in ("missing", "surplus", "wrong", "wrong_totals"):
            assert audit[f"{phase}_{what}"] == {"counted": 0, "expected": 0}
    assert all(check["counted"] == check["expected"] for check in audit.values()), audit
    assert audit["stop_tenth_counted"]["expected"] == WORKERS // 10
    assert audit["stop_all_counted"]["expected"] == audit["start_all_counted"]["expected"] == WORKERS
    assert audit["wills_answered"]["expected"] == ROUNDS


def test_heartbeats_change_nothing_and_are_as_many_as_said(bench):
    assert bench[0]["audit"]["steady_verdicts"]["counted"] == 0
    measures = {row["name"]: row for row in bench[0]["measures"]}
    expected = WORKERS * 1000 / bench[0]["fleet"]["heartbeat_ms"]
    assert expected * 0.8 < measures["heartbeats"]["mean"] < expected * 1.25


def test_a_restart_of_the_manager_changes_only_the_verdicts_that_changed(bench):
    measures = {row["name"]: row for row in bench[0]["measures"]}
    assert measures["restart_messages"]["max"] < WORKERS / 4  # 5 workers were cut


def test_machine_fleet_and_manager_are_described(bench):
    report = bench[0]
    assert report["bench"] == "fleet" and len(report["load_before"]) == 3
    assert {"cores", "memory_bytes", "kernel", "mosquitto", "reeve", "compiler"} <= set(report["machine"])
    assert report["fleet"]["workers"] == WORKERS and report["fleet"]["workers_are"] == "simulated"
    assert report["manager"]["name"] == "main" and report["manager"]["workers"] == WORKERS


def test_nothing_is_left_behind(bench):
    folder = str(bench[1])
    assert os.listdir(folder) == []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            command = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            continue  # it ended meanwhile
        assert folder.encode() not in command or int(pid) == os.getpid(), command


@pytest.mark.parametrize("options", [["--workers", "0"], ["--workers", "10", "--nodes", "11"], ["--heartbeat", "soon"],
                                     ["--rounds", "x"], ["--bogus"], ["more"]])
def test_wrong_options_are_a_usage_error(options):
    assert run(BIN / "reeve-bench", "fleet", *options, code=2).stderr.startswith(("reeve-bench", str(BIN)))


# In the manager's place: knows every worker, and is wrong about one.
STAND_IN = """#!/usr/bin/python3
import json, os, signal, sys
import msgpack
import paho.mqtt.client as paho

config = json.load(open(sys.argv[2]))
root, broker, fault = config["manager"]["root"], config["broker"], {fault!r}
client = paho.Client(client_id="stand-in", protocol=paho.MQTTv5)
client.username_pw_set(broker["username"], broker["password"])
workers = []

def row(node, worker, state="running"):
    status = "processing" if (node, worker) in busy else "idle"
    return {{"node": node, "worker": worker, "state": state, "availability": status}}

busy = set()
def tell():
    for node, worker in workers:
        client.publish(f"{{root}}/fleet/{{node}}/{{worker}}", msgpack.packb(row(node, worker)), 1, True)
    client.publish(f"{{root}}/manager/main/status", msgpack.packb({{"pid": os.getpid(), "known": True}}), 1, True)

def on_message(_client, _data, message):
    parts = message.topic[len(root) + 1:].split("/")
    record = msgpack.unpackb(message.payload)
    if parts[-1] == "process":
        workers.append((parts[1], parts[2]))
    elif parts[-1] == "status":
        if record.get("availability") == "processing":
            busy.add((parts[1], parts[2]))
    else:
        rows = [row(*w) for w in sorted(workers)]
        if fault == "missing":
            rows.pop()
        elif fault == "twice":
            rows.append(rows[3])
        elif fault == "wrong":
            rows[7]["state"] = "lost"
        elif fault == "stranger":
            rows.append(row("sim-0000", "worker-nobody"))
        count = len(workers) - (fault == "total")
        stats = {{"total": len(workers), "lost": 0, "unknown": 0, "by_state": {{"running": {{"total": count}}}}}}
        at = record["args"].get("offset", 0)
        result = stats if parts[-1] == "stats" else {{"workers": rows[at:at + record["args"]["limit"]]}}
        client.publish(record["reply_to"], msgpack.packb({{"id": record["id"], "seq": 1, "phase": "done", "result": result,
                                                          "by": "main", "epoch": 1, "at": 1}}), 1)
    if len(workers) == {workers} and parts[-1] == "process" or parts[-1] == "status" and len(workers) == {workers}:
        tell()

client.on_message = on_message
client.connect("127.0.0.1", int(broker["url"].rsplit(":", 1)[1]))
client.subscribe([(f"{{root}}/worker/+/+/status", 1), (f"{{root}}/worker/+/+/process", 1), (f"{{root}}/manager/main/cmd/+", 1)])
client.loop_forever()
"""


@pytest.mark.parametrize("fault, counter", [("missing", "missing"), ("twice", "surplus"), ("stranger", "surplus"),
                                            ("wrong", "wrong"), ("total", "wrong_totals")])
def test_a_manager_that_is_wrong_about_one_worker_fails_the_audit(tmp_path, fault, counter):
    (tmp_path / "bin").mkdir()
    shutil.copy(BIN / "reeve-bench", tmp_path / "bin")  # it looks for the others beside itself
    os.symlink(BIN / "reeve-bench-simulated", tmp_path / "bin/reeve-bench-simulated")
    os.symlink(BIN.parent / "share", tmp_path / "share")
    stand_in = tmp_path / "bin/reeve-manager"
    stand_in.write_text(STAND_IN.format(fault=fault, workers=20))
    stand_in.chmod(0o755)
    done = run(tmp_path / "bin/reeve-bench", "fleet", "--quick", "--workers", 20, "--nodes", 2, "--sessions", 2,
               "--heartbeat", "20s", "--patience", "500ms", "--dir", tmp_path, code=1)
    audit = json.loads(done.stdout)["audit"]
    assert audit["ok"] is False and "the audit does not hold" in done.stderr
    assert audit[f"start_{counter}"]["counted"] == 1
