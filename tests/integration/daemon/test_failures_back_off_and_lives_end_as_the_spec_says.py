"""Crash loops, restart policies, readiness, watchdog, ttl: a worker's life as its spec says."""
import os
import re
import signal

import harness
import pytest

import nodes
from nodes import SLEEPER


def durations(text):
    units = {"ms": 1, "s": 1000, "m": 60000}
    return [int(float(number) * units[unit]) for number, unit in re.findall(r"(\d+(?:\.\d+)?)(ms|s|m)\b", text)]


def delay_of(record):
    """The back-off that its `why` names, in ms: "exit 3 · run 1 · restart in 38ms"."""
    return durations(re.search(r"restart in (\S+)", record["why"])[1])[0]


def restarts_of(admin, node, worker):
    """Its `restarting` records, in order of arrival."""
    return [r for r in admin.history.get(f"worker/{node.name}/{worker}/process", []) if r and r["state"] == "restarting"]


def test_a_crash_loop_follows_the_documented_schedule_then_fails(node, admin):
    """Exits at once, initial 40ms, factor 2, max 200ms, limit 5: the delays before the restarts are those that `describe`
    prints, within the jitter; the sixth end in the window is `failed`; no more is started; start and restart are
    refused and name `reset`; stop makes it stopped."""
    restart = {"initial": "40ms", "max": "200ms", "factor": 2, "jitter": 0.1, "limit": 5, "window": "10m", "healthy": "10s"}
    admin.apply({"name": "c", "command": ["sh", "-c", "echo last words; exit 3"], "restart": restart}, phase=None)
    record = admin.wait_state("c", "failed")
    schedule = admin.describe("c")["restarts"]
    assert schedule == "40ms 80ms 160ms 200ms (+-10%), then failed after 5 in 10m, forgets after 10s", schedule
    expected = [40, 80, 160, 200, 200]
    records = {r["run"]: r for r in restarts_of(admin, node, "c")}
    assert sorted(records) == [1, 2, 3, 4, 5], sorted(records)
    for run, delay in enumerate(expected, 1):
        assert delay * 0.9 - 1 <= delay_of(records[run]) <= delay * 1.1 + 1, (run, records[run])
        assert records[run]["next_start_at"] - records[run]["since"] >= delay_of(records[run])
    starts = {}
    for r in admin.history[f"worker/{node.name}/c/process"]:
        if r and "started_at" in r:
            starts.setdefault(r["run"], r["started_at"])
    for run, delay in enumerate(expected, 1):
        if run in starts and run + 1 in starts:  # /proc counts in ticks of 10 ms
            assert starts[run + 1] - starts[run] >= delay * 0.9 - 22, (run, starts)
    assert record["run"] == 6 and record["restarts"] == 5 and record["exit"]["code"] == 3, record
    assert 'exit 3 · run 6 · gave up, `reset` starts afresh · last line: "last words"' == record["why"], record["why"]
    admin.refused("c", "start", None, "conflict", "`reset`")
    admin.refused("c", "restart", None, "conflict", "`reset`")
    assert admin.process("c")["run"] == 6
    admin.do("c", "stop")
    assert admin.process("c")["state"] == "stopped"


def test_reset_starts_afresh(node, admin, tmp_path):
    """After `failed`, reset starts it at once with the whole schedule before it; a program that is mended stays up."""
    flag = tmp_path / "flag"
    admin.apply({"name": "c", "command": ["sh", "-c", f"[ -e {flag} ] && exec sleep 1000; exit 1"],
                 "restart": {"initial": "10ms", "jitter": 0, "limit": 2}}, phase=None)
    admin.wait_state("c", "failed")
    admin.do("c", "reset", phase=None)
    again = admin.wait_process("c", lambda p: p["state"] == "failed" and p["run"] == 6, what="three more ends")
    assert again["failures"] == 3, again
    assert [delay_of(r) for r in restarts_of(admin, node, "c") if r["run"] in (4, 5)] == [10, 20]
    flag.touch()
    admin.do("c", "reset")
    assert admin.wait_state("c", "running")["failures"] == 0


def test_failed_is_remembered_across_a_restart_of_the_daemon(make_node, admin):
    """F02. kill -9 after `failed`: it is still failed, with its reason, and not started."""
    node = make_node()
    admin.apply({"name": "c", "command": ["sh", "-c", "exit 3"], "restart": {"initial": "1ms", "limit": 1}}, phase=None)
    before = admin.wait_state("c", "failed")
    node.kill()
    node.start()
    after = admin.wait_process("c", lambda p: p["epoch"] > before["epoch"])
    assert after["state"] == "failed" and after["run"] == before["run"] and "exit 3" in after["why"], after
    admin.refused("c", "start", None, "conflict", "`reset`")


def test_healthy_time_forgets_earlier_failures(node, admin):
    """healthy 150ms, limit 2: runs that live longer than that never add up to `failed`; the back-off stays at its
    beginning."""
    admin.apply({"name": "h", "command": ["sh", "-c", "sleep 0.25; exit 1"],
                 "restart": {"initial": "5ms", "jitter": 0, "limit": 2, "healthy": "150ms"}})
    record = admin.wait_state("h", "running", run=6)
    assert record["failures"] <= 1, record
    assert {delay_of(r) for r in restarts_of(admin, node, "h")} == {5}
    admin.do("h", "kill")


@pytest.mark.parametrize("policy, code, state", [
    ("always", 0, "again"), ("always", 1, "again"), ("on-failure", 0, "stopped"), ("on-failure", 1, "again"),
    ("on-failure", -9, "again"), ("never", 1, "stopped"), ("never", -9, "stopped"), ("always", 125, "stopped")])
def test_the_restart_policy_decides_about_an_end(node, admin, tmp_path, policy, code, state):
    """always, on-failure, never, each with a clean end, a code, a signal; 125 is never restarted. What is not started
    again is `stopped` and not desired any more, also after a restart of the daemon."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    end = f"exit {code}" if code >= 0 else "kill -KILL $$"
    admin.apply({"name": "p", "command": ["sh", "-c", f"[ $REEVE_RUN = 1 ] || exec sleep 1000; read x <{fifo}; {end}"],
                 "restart": {"policy": policy, "initial": "1ms"}})
    admin.wait_state("p", "running")
    fifo.write_text("go\n")
    if state == "again":
        record = admin.wait_state("p", "running", run=2)
        assert record["restarts"] == 1
    else:
        record = admin.wait_state("p", "stopped")
        assert record["run"] == 1 and record["restarts"] == 0
        node.kill()
        node.start()
        assert admin.wait_process("p", lambda p: p["epoch"] > record["epoch"])["state"] == "stopped"
    if code >= 0:
        assert record["exit"]["code"] == code, record
    else:
        assert record["exit"]["signal"] == "SIGKILL", record


def test_a_program_that_can_not_be_executed_says_why(node, admin, tmp_path):
    """F42. No such program, not executable: `why` has the errno in words, it backs off, then fails; no process is left."""
    script = tmp_path / "noexec"
    script.write_text("#!/bin/sh\n")
    for name, program, words in (("missing", "/no/such/program", "No such file"), ("noexec", str(script), "Permission denied")):
        admin.apply({"name": name, "command": [program], "restart": {"initial": "1ms", "limit": 1}}, phase="failed")
        record = admin.wait_state(name, "failed")
        assert "not started" in record["why"] and words in record["why"], record
        assert record["exit"]["cause"] == "exec" and not node.processes(name)
    admin.refused("", "apply", {"name": "u", "command": SLEEPER, "user": "no-such-user"}, "not_found", "no-such-user")
    admin.refused("", "apply", {"name": "t", "type": "no-such-type"}, "not_found", "no program for type")


# ---- readiness -----------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("how", ["s6", "sd", "log", "tcp"])
def test_a_worker_is_running_only_when_it_is_ready(node, admin, tmp_path, how):
    """`starting` until it says so (descriptor, log line, port); `start` is `done` only then."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    port = nodes.free_port()
    listen = f"import socket, time; open('{fifo}').read(); s = socket.create_server(('127.0.0.1', {port})); time.sleep(1000)"
    says = f"read x <{fifo}; echo nothing >&$REEVE_NOTIFY_FD; %s >&$REEVE_NOTIFY_FD; exec sleep 1000"
    spec = {"s6": {"command": ["sh", "-c", says % "echo"], "ready": "notify"},
            "sd": {"command": ["sh", "-c", says % "echo READY=1"], "ready": "notify"},
            "log": {"command": ["sh", "-c", f"echo not ready; read x <{fifo}; echo ready now; exec sleep 1000"],
                    "ready": {"log": "^ready"}},
            "tcp": {"command": ["/usr/bin/python3", "-c", listen], "ready": {"tcp": port}}}[how]
    command = admin.command("", "apply", {"name": "r", **spec})
    record = admin.wait_process("r", lambda p: p and "pid" in p)
    assert record["state"] == "starting" and command.phases in ([], ["accepted"]), (record, command.phases)
    fifo.write_text("go\n")
    assert command.terminal()["phase"] == "done"
    record = admin.wait_state("r", "running")
    assert record["ready_at"] >= record["started_at"]


def test_readiness_by_a_log_line_is_never_missed(node, admin):
    """Thirty workers that say `up` at once, and again in their next run: an old line of the run before does not count, a
    new one is not missed."""
    names = [f"q{i}" for i in range(30)]
    admin.apply(*({"name": name, "command": ["sh", "-c", "echo up; exec sleep 1000"], "ready": {"log": "^up$"}} for name in names))
    admin.do("", "restart", {"workers": "q*"})
    for name in names:
        assert admin.wait_state(name, "running")["run"] == 2


def test_one_that_does_not_become_ready_in_time_is_ended_and_counts_as_a_failure(node, admin):
    """ready.timeout 200ms: ended, backs off, failed by the limit; `start` is told so with the reason."""
    reply = admin.apply({"name": "s", "command": SLEEPER, "ready": {"mode": "notify", "timeout": "200ms"},
                         "restart": {"initial": "1ms", "limit": 1}}, phase="failed")
    record = admin.wait_state("s", "failed")
    assert record["run"] == 2 and "pid" not in record, record
    assert reply["result"]["state"] in ("restarting", "failed"), reply
    assert not node.processes("s")


def test_the_watchdog_ends_a_worker_that_falls_silent(node, admin):
    """F03. watchdog 300ms: one that says WATCHDOG=1 lives, one that stops saying so is ended and `why` says watchdog."""
    script = "n=0; while [ $n -lt 4 ]; do echo WATCHDOG=1 >&$REEVE_NOTIFY_FD; n=$((n+1)); sleep 0.1; done; exec sleep 1000"
    lively = "while :; do echo WATCHDOG=1 >&$REEVE_NOTIFY_FD; sleep 0.1; done"
    admin.apply({"name": "silent", "command": ["sh", "-c", script], "watchdog": "300ms", "restart": "never"},
                {"name": "lively", "command": ["sh", "-c", lively], "watchdog": "3s"})
    record = admin.wait_state("silent", "stopped")
    assert record["exit"]["cause"] == "watchdog" and "watchdog: no sign of life for 300ms" in record["why"], record
    assert record["exit"]["ran_ms"] >= 600, record
    assert admin.process("lively")["state"] == "running" and admin.process("lively")["restarts"] == 0


# ---- ttl -------------------------------------------------------------------------------------------------------------------

def test_an_ephemeral_worker_ends_after_its_ttl_and_is_removed(node, admin):
    """ttl 300ms, cleanup_delay 200ms: stopped, then its record is cleared and its folders are gone."""
    admin.apply({"name": "e", "command": SLEEPER, "ttl": "300ms", "cleanup_delay": "200ms"})
    record = admin.wait_state("e", "running")
    assert 0 < record["ttl_at"] - record["started_at"] <= 400, record
    stopped = admin.wait_state("e", "stopped")
    assert stopped["since"] - record["started_at"] >= 290, (record, stopped)
    admin.wait_gone("e")
    assert nodes.now_ms() - stopped["since"] >= 190
    assert not [p for p in ("runs", "logs", "workers") if (node.state / p / "e").exists()]
    admin.refused("e", "start", None, "not_found")


def test_an_ephemeral_worker_that_finishes_early_is_removed_after_the_delay(node, admin):
    """ttl 1h, the program ends by itself with `restart: never`: removed cleanup_delay after its end, not an hour later."""
    admin.apply({"name": "e", "command": ["sh", "-c", "exit 0"], "ttl": "1h", "cleanup_delay": "100ms", "restart": "never"})
    admin.wait_gone("e")


def test_a_ttl_goes_on_under_the_next_daemon(make_node, admin):
    """The life is counted from its first start, through kill -9 of the daemon; a restart of the worker does not extend
    it."""
    node = make_node()
    admin.apply({"name": "e", "command": SLEEPER, "ttl": "1200ms", "cleanup_delay": "50ms"})
    first = admin.wait_state("e", "running")
    admin.do("e", "restart")
    assert abs(admin.process("e")["ttl_at"] - first["ttl_at"]) <= 20
    node.kill()
    node.start()
    record = admin.wait_process("e", lambda p: p["epoch"] > first["epoch"])
    assert abs(record["ttl_at"] - first["ttl_at"]) <= 50, (record, first)
    admin.wait_gone("e")
    assert not node.processes("e")


def test_kill_and_restart_of_a_worker_by_signal_are_told_with_the_signal(node, admin):
    """SIGKILL, SIGSEGV, SIGTERM by a stranger: the record names it and policy restarts."""
    admin.apply({"name": "k", "command": SLEEPER, "restart": {"initial": "1ms"}})
    for run, number in enumerate((signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM), 1):
        os.kill(admin.wait_state("k", "running", run=run)["pid"], number)
        record = admin.wait_state("k", "running", run=run + 1)
        assert record["exit"]["signal"] == number.name and record["exit"]["run"] == run, record
        event = admin.wait_event("worker_state", worker="k", run=run, to="restarting")
        assert number.name in event["cause"], event


def test_signal_reaches_the_process_itself(node, admin):
    """`signal` with a name, with SIG, with a number; to a worker without a process it is refused."""
    admin.apply({"name": "g", "command": ["sh", "-c", "trap 'echo usr1' USR1; trap 'echo hup' HUP; echo up; while :; do sleep 0.02; done"],
                 "ready": {"log": "^up$"}})
    admin.wait_state("g", "running")
    for number, word, count in (("USR1", "usr1", 1), ("SIGHUP", "hup", 1), (10, "usr1", 2)):
        admin.do("g", "signal", {"signal": number})
        harness.wait_until(lambda w=word, c=count: admin.logs("g").count(w) == c, what=f"{number} arrives")
    admin.do("g", "stop")
    admin.refused("g", "signal", {"signal": "HUP"}, "conflict", "no process")
