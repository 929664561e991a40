"""`reeve bench jobs` runs small, its JSON is whole, every job is handled once by its audit, planted faults are found, and it leaves
nothing behind. Nothing here depends on how fast anything is."""
import json
import os
import pathlib
import subprocess

import pytest

HERE = pathlib.Path(__file__).parent
BIN = pathlib.Path(os.environ.get("REEVE_BIN", HERE.parents[1] / "build/dev/bin"))
SYSTEMS = {"reeve": {"broker", "manager"}, "beanstalkd": {"beanstalkd"}}


def run(*argv, code=0):
    done = subprocess.run([str(a) for a in argv], capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == code, f"{argv}: {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-2000:]}"
    return done


@pytest.fixture(scope="module", params=SYSTEMS)
def bench(request, tmp_path_factory):
    """The system, its report, and the folder in which it was made."""
    folder = tmp_path_factory.mktemp("bench")
    done = run(BIN / "reeve", "bench", "jobs", "--", "--quick", "--json", "--only", request.param, "--dir", folder)
    return request.param, json.loads(done.stdout), folder


def rows(report, name):
    return [row for row in report["measures"] if row["name"] == name]


def test_every_measure_is_there_with_its_samples_in_order(bench):
    system, report, _ = bench
    parties = {f"cpu_{name}" for name in SYSTEMS[system] | {"producer", "workers", "all"}} | ({"import"} if system == "reeve" else set())
    assert {row["name"] for row in report["measures"]} == {"end_to_end", "latency", "sent_late", "bulk_add", "written", "disk"} | parties
    assert report["skipped"] == [] and "error" not in report
    assert [row["workers"] for row in rows(report, "end_to_end")] == [1, 2]
    assert rows(report, "latency")[0]["samples"] == 100  # a hundred a second for a second
    for row in report["measures"]:
        assert row["system"] == system
        assert row["min"] <= row["p50"] <= row["p99"] <= row["max"], row
        assert row["max"] > 0 or row["name"].startswith("cpu_") or row["name"] == "written", row


def test_every_job_was_handled_exactly_once_warm_ups_too(bench):
    system, report, _ = bench
    audit = report["audit"]
    assert audit["ok"] is True
    # two runs with their warm-ups, the steady rate with its own, one added in bulk, and one by the CLI
    expected = 2 * (2000 + 201) + 200 + 100 + 2000 + (2000 if system == "reeve" else 0)
    assert audit[f"{system}_handled_once"] == {"counted": expected, "expected": expected}
    for fault in ("lost", "doubled", "strangers"):
        assert audit[f"{system}_{fault}"] == {"counted": 0, "expected": 0}


def test_jobs_take_room_on_disk(bench):
    for row in rows(bench[1], "disk"):
        assert row["min"] >= row["payload_bytes"]


def test_nothing_is_left_behind(bench):
    folder = str(bench[2])
    assert os.listdir(folder) == []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            command = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            continue  # it ended meanwhile
        assert folder.encode() not in command or int(pid) == os.getpid(), command


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("fault, counter", [("lost", "lost"), ("doubled", "doubled"), ("stranger", "strangers")])
def test_a_planted_fault_fails_the_audit(tmp_path, system, fault, counter):
    done = run(BIN / "reeve-bench", "jobs", "--quick", "--jobs", 100, "--only", system, "--plant", fault, "--dir", tmp_path, code=1)
    audit = json.loads(done.stdout)["audit"]
    assert audit["ok"] is False and "the audit does not hold" in done.stderr
    assert audit[f"{system}_{counter}"] == {"counted": 1, "expected": 0}
    others = {"lost", "doubled", "strangers"} - {counter} - ({"lost"} if fault == "stranger" else set())
    assert all(audit[f"{system}_{other}"]["counted"] == 0 for other in others)


@pytest.mark.parametrize("options", [["--peers", "celery"], ["--only", "bull"], ["--workers", "0"], ["--payload", "1"], ["--rates", "x"],
                                     ["--rounds", "0"], ["--plant", "luck"], ["--bogus"], ["more"]])
def test_wrong_options_are_a_usage_error(options):
    assert run(BIN / "reeve-bench", "jobs", *options, code=2).stderr.startswith(("reeve-bench", str(BIN)))
