"""F37: the wall clock of the daemon's host, or of a worker's, jumps by a day either way. Presence, timeouts
and back-off go by the monotonic clock; epochs only grow; a command runs once and in time."""
import glob
import os
import signal
import time

import harness
import nodes
import pytest
from watching import probe

DAY_S = 86400
LIBRARY = next(iter(glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")), None)
SANITIZED = b"__asan_init" in (harness.BIN / "reeved").read_bytes()
pytestmark = [pytest.mark.skipif(LIBRARY is None, reason="needs libfaketime (Debian's package faketime)"),
              pytest.mark.skipif(SANITIZED, reason="two preloaded libraries that replace the same functions")]
jumps = pytest.mark.parametrize("jump_s", [DAY_S, -DAY_S], ids=["ahead", "back"])


class Clock:
    """A wall clock for processes started with `env`; their monotonic clock is the real one."""

    def __init__(self, path):
        self.path = path
        self.jump(0)

    @property
    def env(self):
        return {"LD_PRELOAD": LIBRARY, "FAKETIME_TIMESTAMP_FILE": str(self.path), "FAKETIME_NO_CACHE": "1",
                "FAKETIME_DONT_FAKE_MONOTONIC": "1", "DONT_FAKE_MONOTONIC": "1"}

    def jump(self, seconds):
        temporary = self.path.with_suffix(".new")
        temporary.write_text(f"{seconds:+d}\n")
        os.rename(temporary, self.path)
        self.offset_ms = seconds * 1000


@pytest.fixture
def clock(tmp_path):
    return Clock(tmp_path / "clock")


def jumped(control, clock):
    """The newest status of the node that was written by the clock as it is now."""
    return control.wait_status(lambda s: abs(s["at"] - clock.offset_ms - nodes.now_ms()) < 60000)


@jumps
def test_the_daemons_clock_jumps_and_nobody_notices(make_node, admin, watch, clock, jump_s):
    """No verdict changes, no worker restarts, and a new session still has a higher epoch."""
    node = make_node(workers=[probe()], env=clock.env)
    before = admin.wait_state("mm-1", "running")
    watch.wait_now("mm-1", lambda v: v["rule"] == 2)
    mark, epoch = watch.mark(), jumped(admin, clock)["epoch"]
    clock.jump(jump_s)
    jumped(admin, clock)
    said = watch.stays(3.5, mark)  # longer than a status of before the jump would live
    assert not [line for line in said if line["kind"] == "verdict"], said
    node.kill()
    node.start()
    assert admin.wait_status(lambda s: s["epoch"] > epoch)["state"] == "online"
    watch.wait_now("mm-1", lambda v: v["rule"] == 2)
    after = admin.process("mm-1")
    assert (after["pid"], after["run"]) == (before["pid"], before["run"])


@jumps
def test_a_command_across_the_jump_runs_once_and_in_time(make_node, admin, clock, jump_s):
    """The same id before and after the jump: one execution, the same reply, also after a restart of the daemon: the
    journal counts its days by the monotonic clock. A deadline is held against the node's own clock: ahead, it is
    over; back, it is still open, and no more than seven days of deadline are taken."""
    node = make_node(workers=[probe()], env=clock.env)
    admin.wait_state("mm-1", "running")
    jumped(admin, clock)
    deadline = nodes.now_ms() + 60000
    first = admin.command("mm-1", "restart", expires_at=deadline)
    done = first.terminal()
    run = admin.wait_state("mm-1", "running", run=2)["run"]
    clock.jump(jump_s)
    jumped(admin, clock)
    for _ in range(2):
        again = admin.command("mm-1", "restart", command_id=first.id, expires_at=deadline)
        harvest = again.control.wait(lambda: len(again.terminals()) > 1 and again.terminals(), what="answer to the repeat")
        assert harvest[-1]["phase"] in ("done", "expired") and len(harvest) == 2, harvest
        if harvest[-1]["phase"] == "done":
            assert harvest[-1] == done
        admin.replies[first.id].remove(harvest[-1])
        assert admin.wait_state("mm-1", "running")["run"] == run, "executed twice"
        node.kill()
        node.start()
        jumped(admin, clock)
    late = admin.do("mm-1", "restart", phase=None, expires_at=deadline)
    assert late["phase"] == ("expired" if jump_s > 0 else "done"), late
    far = admin.do("mm-1", "restart", phase=None, expires_at=nodes.now_ms() + 7 * DAY_S * 1000)
    assert far["phase"] == ("done" if jump_s > 0 else "rejected"), far


@jumps
def test_back_off_and_ttl_do_not_wait_for_a_clock(make_node, admin, clock, jump_s):
    """A back-off of two seconds and a life of four, begun before the jump, last as long as they should."""
    crash = {"name": "crash", "command": ["sh", "-c", "exit 3"], "restart": {"initial": "2s", "max": "2s", "jitter": 0}}
    brief = {"name": "brief", "command": nodes.SLEEPER, "ttl": "4s", "cleanup_delay": "100ms"}
    make_node(workers=[crash, brief], env=clock.env)
    admin.wait_state("brief", "running")
    run = admin.wait_state("crash", "restarting")["run"]
    began = time.monotonic()
    clock.jump(jump_s)
    admin.wait_process("crash", lambda p: p and p["run"] > run, deadline=20)
    assert 1 < time.monotonic() - began < 15
    admin.wait_gone("brief", deadline=20)
    assert 3 < time.monotonic() - began < 18


@jumps
def test_a_workers_clock_jumps_and_its_next_sessions_still_count(make_node, admin, watch, clock, jump_s):
    """A worker takes its epoch from its clock. Set back by a day, it sees a higher one in its own retained status and
    goes above it: the next run is no less alive [session-1]."""
    make_node(workers=[probe(env=clock.env, restart={"initial": "200ms"})])
    first = admin.wait_state("mm-1", "running")
    watch.wait_now("mm-1", lambda v: v["rule"] == 2)
    topic = f"worker/{admin.node_name}/mm-1/status"
    epoch = admin.wait(lambda: admin.record(topic))["epoch"]
    mark = watch.mark()
    clock.jump(jump_s)
    admin.wait(lambda: abs(admin.record(topic)["at"] - clock.offset_ms - nodes.now_ms()) < 60000, what="heartbeat")
    said = watch.stays(3.5, mark)
    assert not [line for line in said if line["kind"] == "verdict"], said
    os.kill(first["pid"], signal.SIGKILL)
    admin.wait_state("mm-1", "running", run=first["run"] + 1)
    status = admin.wait(lambda: (lambda s: s if s and s.get("run") == first["run"] + 1 and s["epoch"] > epoch else None)(
        admin.record(topic)), what="status of the next run above the epoch of the last")
    watch.wait_now("mm-1", lambda v: v["rule"] == 2)
    assert status["epoch"] > epoch
