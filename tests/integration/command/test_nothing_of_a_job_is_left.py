"""The end of an attempt is the end of all its processes: those of its group, those of sessions of their own, those that lost their parent.
Whoever ended it: the command itself, a timeout, a cancel, a fence, the end of the worker, kill -9."""
import os
import signal
import time

import commands
import harness
import pytest
from commands import FAMILY, FAMILY_LEN, sh, wait_family, wait_gone

STUBBORN = sh(f"trap '' TERM; {FAMILY} sleep 1000")
OBEDIENT = sh(f"trap 'echo ::checkpoint 7; exit 1' TERM; {FAMILY} while :; do sleep 0.05; done")


def test_of_its_own_end(start, scripted, mark):
    start({"queue": "q", "argv": sh(f"{FAMILY} sleep 0.2; echo done"), "env": {"MARK": mark}})
    scripted.send([{"id": "j"}])
    wait_family(mark, FAMILY_LEN)
    assert scripted.wait_entry("j", "done")["data"] == "done"
    assert not commands.pids_marked(mark), "they were gone before the job was told to be done"


@pytest.mark.parametrize("whose", ["job", "configuration"])
def test_of_a_timeout(start, scripted, mark, whose):
    timeout = {"timeout": "300ms"} if whose == "configuration" else {}
    start({"queue": "q", "argv": STUBBORN, "env": {"MARK": mark}, "grace": "200ms", **timeout})
    began = time.monotonic()
    scripted.send([{"id": "j", **({"timeout_ms": 300} if whose == "job" else {})}])
    wait_family(mark, FAMILY_LEN + 1)
    end = scripted.wait_entry("j", "retry")
    assert time.monotonic() - began >= 0.5
    assert end["error"].startswith("timeout")
    assert not commands.pids_marked(mark)


def test_of_a_cancel_which_is_told_first(start, scripted, mark):
    start({"queue": "q", "argv": OBEDIENT, "env": {"MARK": mark}})
    scripted.send([{"id": "j"}])
    wait_family(mark, FAMILY_LEN + 1)
    scripted.send(cancels=[{"id": "j", "attempt": 1, "reason": "cancelled", "grace_ms": 10000}])
    scripted.wait_entry("j", "cancelled")
    assert scripted.wait_entry("j", "checkpoint")["data"] == 7, "it heard SIGTERM and had time"
    assert not commands.pids_marked(mark)


def test_of_a_cancel_that_is_not_obeyed(start, scripted, mark):
    worker = start({"queue": "q", "argv": STUBBORN, "env": {"MARK": mark}, "grace": "1h"})
    scripted.send([{"id": "j"}])
    wait_family(mark, FAMILY_LEN + 1)
    scripted.send(cancels=[{"id": "j", "attempt": 1, "reason": "cancelled", "grace_ms": 800}])
    scripted.wait_entry("j", "cancelled")
    assert not commands.pids_marked(mark), "killed within the grace that the queue gives, whatever the configuration says"
    assert "not ended in its grace" not in worker.log()


def test_of_a_fence_and_the_next_attempt_does_not_run_beside_it(start, scripted, mark):
    start({"queue": "q", "argv": STUBBORN, "env": {"MARK": mark}, "grace": "1h"})
    scripted.send([{"id": "j"}])
    wait_family(mark, FAMILY_LEN + 1)
    scripted.send(abandons=[{"id": "j", "attempt": 1, "reason": "fenced"}])
    wait_gone(mark)
    assert not scripted.entries("retry", "j") and not scripted.entries("cancelled", "j"), "nothing is said of it"


def test_of_a_manager_that_is_not_heard(start, scripted, mark):
    """The lease [job-14]: its job may be somebody else's."""
    scripted.lease_ms = 2000
    start({"queue": "q", "argv": STUBBORN, "env": {"MARK": mark}})
    scripted.send([{"id": "j"}])
    wait_family(mark, FAMILY_LEN + 1)
    scripted.acks = False
    wait_gone(mark)


def test_of_the_end_of_the_worker(start, scripted, mark):
    worker = start({"queue": "q", "argv": STUBBORN, "env": {"MARK": mark}})
    scripted.send([{"id": "j"}])
    wait_family(mark, FAMILY_LEN + 1)
    worker.signal(signal.SIGTERM)
    end = scripted.wait_entry("j", "retry")
    assert end["error"] == "the worker leaves" and end["delay_ms"] == 0
    assert worker.process.wait(harness.DEADLINE) == 0
    assert not commands.pids_marked(mark)


def test_of_a_second_signal_to_the_worker(start, scripted, mark):
    worker = start({"queue": "q", "argv": STUBBORN, "env": {"MARK": mark}})
    scripted.send([{"id": "j"}])
    wait_family(mark, FAMILY_LEN + 1)
    worker.signal(signal.SIGTERM)
    worker.wait_log("draining")
    worker.signal(signal.SIGTERM)
    assert worker.process.wait(harness.DEADLINE) == 0
    assert not commands.pids_marked(mark)
    assert scripted.wait_entry("j", "retry")["error"] == "the worker leaves"


def test_of_a_killed_worker(start, scripted, mark):
    worker = start({"queue": "q", "argv": STUBBORN, "env": {"MARK": mark}})
    scripted.send([{"id": "j"}])
    wait_family(mark, FAMILY_LEN + 1)
    began = time.monotonic()
    worker.kill()
    wait_gone(mark)
    print(f"gone within {(time.monotonic() - began) * 1000:.0f} ms of the kill")


def test_of_a_killed_guard(start, scripted, mark):
    worker = start({"queue": "q", "argv": STUBBORN, "env": {"MARK": mark}})
    scripted.send([{"id": "j"}])
    wait_family(mark, FAMILY_LEN + 1)
    guard = int(open(f"/proc/{worker.pid}/task/{worker.pid}/children", encoding="ascii").read().split()[0])
    assert len(os.listdir(f"/proc/{guard}/fd")) == 3, "it holds nothing of the worker's: no session with the broker outlives it"
    os.kill(guard, signal.SIGKILL)
    assert "guard" in scripted.wait_entry("j", "retry")["error"]
    wait_gone(mark)
    scripted.send([{"id": "k", "timeout_ms": 100}])  # it works on
    scripted.wait_entry("k", "retry")
