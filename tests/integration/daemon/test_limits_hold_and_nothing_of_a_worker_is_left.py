"""Memory limits, grandchildren, and disks that are full: told truly, and supervision goes on."""
import os
import signal
import subprocess

import harness
import pytest

import nodes
from nodes import SLEEPER, STUBBORN

ALLOCATE = "b = bytearray(200 << 20)\nfor i in range(0, len(b), 4096): b[i] = 1\nimport time\ntime.sleep(1000)"
# A child in a session of its own, and a grandchild whose parent is gone: what a plain kill of the group misses.
FAMILY = ("import os, time\n"
          "if os.fork() == 0:\n"
          "    os.setsid()\n"
          "    if os.fork() == 0:\n"
          "        os.setsid()\n"
          "        time.sleep(100000)\n"
          "    os._exit(0) if os.environ.get('DAEMON') else time.sleep(100000)\n"
          "print('up', flush=True)\n"
          "time.sleep(100000)\n")


def enforced(admin, what):
    limits = admin.describe()["limits"]
    if what not in limits:
        pytest.skip(f"this host enforces: {limits}")


def test_a_worker_above_its_memory_limit_is_killed_and_the_record_says_so(node, admin):
    """memory_limit 64M, 200M touched: killed; `why` names out of memory and the limit; exit.oom; counted."""
    enforced(admin, "memory")
    admin.apply({"name": "fat", "command": ["/usr/bin/python3", "-c", ALLOCATE], "memory_limit": "64M", "restart": "never"})
    record = admin.wait_process("fat", lambda p: p and "exit" in p)
    assert record["state"] == "stopped" and record["exit"]["oom"] is True, record
    assert "out of memory, memory_limit 64M" in record["why"], record
    assert record["limits"]["memory_bytes"] == 64 << 20 and "memory" in record["limits"]["enforced"], record
    assert admin.describe()["counters"]["oom_kills"] == 1


def test_one_below_its_limit_is_left_alone(node, admin):
    """The same program with 400M lives, and its record says that the limit is enforced."""
    enforced(admin, "memory")
    admin.apply({"name": "fit", "command": ["/usr/bin/python3", "-c", ALLOCATE.replace("import time", "print('up', flush=True); import time")],
                 "memory_limit": "400M", "ready": {"log": "up"}})
    record = admin.wait_state("fit", "running")
    assert "exit" not in record and record["restarts"] == 0
    assert admin.describe("fit")["memory_bytes"] >= 200 << 20


def test_max_pids_keeps_a_fork_bomb_small(node, admin):
    """max_pids 10: no more than ten processes of it at any time."""
    enforced(admin, "pids")
    # Forks until it is refused, tells, and stays.
    bomb = ("import os, time\nn = 0\ntry:\n    while n < 100:\n        if os.fork() == 0: time.sleep(100000)\n        n += 1\n"
            "except OSError: pass\nprint('made', n, flush=True)\ntime.sleep(100000)")
    admin.apply({"name": "bomb", "command": ["/usr/bin/python3", "-c", bomb], "max_pids": 10, "ready": {"log": "^made"}})
    admin.wait_state("bomb", "running")
    assert 2 <= len(node.processes("bomb")) <= 10
    admin.do("bomb", "stop")
    assert not node.processes("bomb")


def test_nofile_is_set(node, admin):
    """nofile 77 is what the program sees."""
    admin.apply({"name": "n", "command": ["sh", "-c", "echo nofile $(ulimit -n); exec sleep 1000"], "ready": {"log": "nofile"}, "nofile": 77})
    admin.wait_state("n", "running")
    assert "nofile 77" in admin.logs("n")


@pytest.mark.parametrize("orphaned", [False, True], ids=["setsid", "double-fork"])
@pytest.mark.parametrize("how", ["stop", "kill", "restart", "remove", "crash"])
def test_grandchildren_end_with_their_worker(node, admin, how, orphaned):
    """F04, F05: sessions of their own and orphans; after stop, kill, restart, remove, and after the worker's own death,
    none is left of the run."""
    admin.apply({"name": "f", "command": ["/usr/bin/python3", "-c", FAMILY], "env": {"DAEMON": "1"} if orphaned else {},
                 "ready": {"log": "up"}, "restart": "never", "stop": {"grace": "2s"}})
    record = admin.wait_state("f", "running")
    expected = 2 if orphaned else 3
    family = harness.wait_until(lambda: len(node.processes("f")) == expected and node.processes("f"), what="the family")
    if how == "crash":
        os.kill(record["pid"], signal.SIGKILL)
        admin.wait_state("f", "stopped")
    else:
        admin.do("f", how)
    assert not [pid for pid in family if nodes.alive(pid)], "grandchildren are left"


def test_grandchildren_of_a_worker_whose_shim_was_killed_are_swept(make_node, admin):
    """SIGKILL of the shim: the worker dies with it, its scattered family is ended by the daemon, outcome `lost`."""
    node = make_node(workers=[{"name": "f", "command": ["/usr/bin/python3", "-c", FAMILY], "ready": {"log": "up"},
                               "restart": "never"}])
    admin.wait_state("f", "running")
    family = harness.wait_until(lambda: len(node.processes("f")) == 3 and node.processes("f"), what="the family")
    os.kill(next(iter(node.shims())), signal.SIGKILL)
    record = admin.wait_state("f", "stopped", "failed")
    assert record["exit"]["cause"] == "lost", record
    assert not [pid for pid in family if nodes.alive(pid)]


# ---- full disks --------------------------------------------------------------------------------------------------------

@pytest.fixture
def small_disk(tmp_path):
    """A tmpfs of 4 MiB and how to fill and to empty it."""
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    path = tmp_path / "disk"
    path.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m,mode=0700", "reeve-test", path], check=False).returncode:
        pytest.skip("mount is not allowed here")
    yield path
    harness.wait_until(lambda: subprocess.run(["umount", path], check=False, stderr=subprocess.DEVNULL).returncode == 0,
                       what="umount")


def fill(path):
    """Until not a byte more fits."""
    with open(path / "filler", "ab", buffering=0) as file:
        for size in (1 << 16, 4096, 1):
            try:
                while True:
                    file.write(b"\0" * size)
            except OSError:
                continue


def empty(path):
    (path / "filler").unlink()


def test_a_full_disk_for_logs_is_told_and_the_worker_goes_on(small_disk, make_node, admin, tmp_path):
    """The worker keeps running and writing; `log_failed` as an event; after there is room `log_recovered`, new lines are
    kept, and it is said how many were dropped."""
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    (state / "logs").symlink_to(small_disk)
    node = make_node(state_dir=state)
    program = "i=0; while :; do i=$((i+1)); echo line $i; sleep 0.01; done"
    admin.apply({"name": "w", "command": ["sh", "-c", program]})
    record = admin.wait_state("w", "running")
    fill(small_disk)
    failed = admin.wait_event("log_failed", worker="w")
    assert "space" in failed["error"].lower(), failed
    assert nodes.alive(record["pid"])
    empty(small_disk)
    admin.wait_event("log_recovered", worker="w")
    size = (small_disk / "w" / "current").stat().st_size
    harness.wait_until(lambda: (small_disk / "w" / "current").stat().st_size > size, what="lines are kept again")
    assert admin.process("w")["pid"] == record["pid"]
    assert any("dropped" in line["text"] for line in admin.log_lines("w", 2000) if line["stream"] == "shim"), "the gap is not told in the log"
    admin.do("w", "stop")


def test_a_full_disk_for_the_store_is_told_and_workers_go_on(small_disk, make_node, admin):
    """Journal and desired state can't be written: start is refused with the reason and nothing is done; stop and kill
    still work and say that it was not recorded; `store_failed`, describe says so. With room again: `store_recovered`,
    commands work, and what was decided meanwhile is on disk: after kill -9 the stopped one stays stopped."""
    node = make_node(state_dir=small_disk / "state", workers=[
        {"name": name, "command": SLEEPER} for name in ("a", "b", "c")] + [{"name": "d", **STUBBORN, "stop": {"grace": "100ms"}}])
    before = {name: admin.wait_state(name, "running") for name in "abcd"}
    fill(small_disk)
    reply = admin.do("a", "restart", phase="failed")
    assert "can't be recorded" in reply["message"] and reply["code"] == "io", reply
    admin.wait_event("store_failed")
    assert admin.describe()["store_failing"] is True
    assert admin.process("a")["pid"] == before["a"]["pid"], "nothing was done"
    for name, op in (("b", "stop"), ("c", "kill"), ("d", "stop")):
        reply = admin.do(name, op)
        assert "not recorded" in reply["message"], reply
        assert not nodes.alive(before[name]["pid"])
    assert nodes.alive(before["a"]["pid"])
    empty(small_disk)
    admin.wait_event("store_recovered", deadline=30)
    assert admin.describe()["store_failing"] is False
    admin.do("a", "restart")
    node.kill()
    node.start()
    for name in "bcd":
        assert admin.wait_process(name, lambda p, n=name: p["epoch"] > before[n]["epoch"])["state"] == "stopped", name
    assert admin.wait_state("a", "running")["run"] == 2


def test_a_worker_that_crashes_while_the_disk_is_full_is_started_again(small_disk, make_node, admin):
    """A full disk must not end supervision: with no room for a plan the restart is tried again by back-off, with the
    reason in `why`, and works as soon as there is room."""
    node = make_node(state_dir=small_disk / "state", workers=[
        {"name": "a", "command": SLEEPER, "restart": {"initial": "50ms", "max": "200ms", "limit": 0}}])
    record = admin.wait_state("a", "running")
    fill(small_disk)
    os.kill(record["pid"], signal.SIGKILL)
    admin.wait_process("a", lambda p: p["pid"] != record["pid"] if "pid" in p else True)
    admin.do("", "list")
    empty(small_disk)
    again = admin.wait_state("a", "running", run=2)
    assert nodes.alive(again["pid"]) and again["pid"] != record["pid"]
    assert node.running
