"""[session-4] [session-8]: SIGTERM, exits, the daemon's descriptor, and a broker that is away."""
import os
import select
import signal
import time

import harness
import msgpack
import pytest


def lines(fd, until, deadline=harness.DEADLINE):
    """Read what the worker says through its descriptor until `until` is in it."""
    text, end = b"", time.monotonic() + deadline
    while until not in text:
        ready, _, _ = select.select([fd], [], [], max(0, end - time.monotonic()))
        assert ready, f"not within {deadline} s: {until!r}, got {text!r}"
        text += os.read(fd, 4096)
    return text


@pytest.fixture
def notify():
    read_end, write_end = os.pipe()
    yield read_end, write_end
    os.close(read_end)


def test_sigterm_says_goodbye_and_fires_no_will(start, operator, version):
    probe = start(version=version)
    status = operator.record(probe.topic("status"))
    probe.signal(signal.SIGTERM)
    assert probe.wait() == 0
    goodbye = operator.record(probe.topic("status"), lambda r: r["state"] == "offline")
    assert goodbye["availability"] == "offline" and goodbye["epoch"] == status["epoch"]
    again = start(version=version)  # whatever the broker had to say about the first one was said before this
    operator.record(probe.topic("status"), lambda r: r["pid"] == again.pid)
    assert not operator.client.of(probe.topic("lwt"))


def test_sigterm_lets_finish_what_is_in_hand(start, operator):
    probe = start()
    operator.record(probe.topic("status"))
    slow = operator.send(probe, "sleep", {"ms": 700})
    assert operator.reply(slow, terminal=False)["phase"] == "accepted"
    probe.signal(signal.SIGTERM)
    operator.record(probe.topic("status"), lambda r: r["availability"] == "draining" and r["jobs"] == 1)
    assert operator.reply(slow)["phase"] == "done"
    operator.record(probe.topic("status"), lambda r: r["state"] == "offline")
    assert probe.wait() == 0


def test_a_second_signal_hastens_and_cancels_what_is_in_hand(start, operator):
    probe = start()
    operator.record(probe.topic("status"))
    slow = operator.send(probe, "sleep", {"ms": 60000})
    assert operator.reply(slow, terminal=False)["phase"] == "accepted"
    probe.signal(signal.SIGTERM)
    operator.record(probe.topic("status"), lambda r: r["availability"] == "draining")
    begun = time.monotonic()
    probe.signal(signal.SIGTERM)
    assert operator.reply(slow)["phase"] == "cancelled"
    assert probe.wait() == 0
    assert time.monotonic() - begun < 4, "it waited for the drain, which is at most 5 s"


def test_what_is_not_drained_in_time_is_cancelled(start, operator):
    probe = start()
    operator.record(probe.topic("status"))
    slow = operator.send(probe, "sleep", {"ms": 60000})
    assert operator.reply(slow, terminal=False)["phase"] == "accepted"
    probe.signal(signal.SIGTERM)
    assert operator.reply(slow)["phase"] == "cancelled"
    assert probe.wait() == 0
    assert "not drained in time" in probe.log()


def test_the_command_drain_is_done_when_the_work_is(start, operator):
    probe = start()
    operator.record(probe.topic("status"))
    slow = operator.send(probe, "sleep", {"ms": 500})
    drain = operator.send(probe, "drain")
    assert operator.reply(drain)["phase"] == "done"
    assert operator.reply(slow)["phase"] == "done", "before the drain was done"
    operator.ask(probe, "resume")
    operator.send(probe, "sleep", {"ms": 60000})
    second = operator.send(probe, "drain")
    assert operator.reply(second, terminal=False)["phase"] == "accepted"
    assert operator.ask(probe, "drain")["code"] == "conflict"
    operator.ask(probe, "resume")
    assert operator.reply(second)["phase"] == "cancelled"
    assert probe.process.poll() is None


@pytest.mark.parametrize("op, args, code", [("exit", {"code": 7}, 7), ("exit", {"code": 9, "goodbye": True}, 9),
                                            ("crash", {}, -signal.SIGSEGV), ("crash", {"signal": "KILL"}, -signal.SIGKILL),
                                            ("crash", {"signal": "SIGABRT"}, -signal.SIGABRT)])
def test_it_ends_as_it_is_told(start, operator, op, args, code):
    probe = start(env={"ASAN_OPTIONS": "handle_segv=0:handle_abort=0"})
    operator.record(probe.topic("status"))
    assert operator.ask(probe, op, args)["phase"] == "done"
    assert probe.wait() == code
    if args.get("goodbye"):
        operator.record(probe.topic("status"), lambda r: r["state"] == "offline")
    else:
        operator.record(probe.topic("lwt"))


def test_ready_is_said_after_the_first_session_and_the_watchdog_is_fed(start, operator, notify):
    read_end, write_end = notify
    probe = start(env={"REEVE_NOTIFY_FD": str(write_end), "REEVE_WATCHDOG_MS": "300"}, pass_fds=(write_end,))
    os.close(write_end)
    operator.record(probe.topic("status"))
    lines(read_end, b"READY=1\n")
    text = lines(read_end, b"WATCHDOG=1\nWATCHDOG=1\nWATCHDOG=1\n")
    assert b"READY=1" not in text, "once"
    assert operator.ask(probe, "hang")["phase"] == "done"
    while select.select([read_end], [], [], 0.6)[0]:  # twice the watchdog's time
        assert os.read(read_end, 4096) == b"WATCHDOG=1\n", "only what was under way"


def test_blocking_the_loop_starves_the_watchdog_and_spinning_beside_it_does_not(start, operator, notify):
    read_end, write_end = notify
    probe = start(env={"REEVE_NOTIFY_FD": str(write_end), "REEVE_WATCHDOG_MS": "300"}, pass_fds=(write_end,))
    os.close(write_end)
    operator.record(probe.topic("status"))
    lines(read_end, b"READY=1\n")
    spin = operator.send(probe, "spin", {"ms": 1500})
    begun = time.monotonic()
    while not [r for r in operator.replies(spin) if r["phase"] == "done"]:
        lines(read_end, b"WATCHDOG=1\n", deadline=1.0)
        assert operator.ask(probe, "echo")["phase"] == "done"
    assert time.monotonic() - begun >= 1.4
    block = operator.send(probe, "spin", {"ms": 1000, "block": True})
    text = b""
    while not [r for r in operator.replies(block) if r["phase"] == "done"]:
        ready, _, _ = select.select([read_end], [], [], 0.05)
        text += os.read(read_end, 4096) if ready else b""
    assert text.count(b"WATCHDOG=1") <= 3


def test_without_a_broker_it_says_ready_works_on_and_comes_when_there_is_one(make_broker, start, broker, notify):
    read_end, write_end = notify
    broker.stop()
    probe = start(config={"tick": "100ms"}, pass_fds=(write_end,), env={"REEVE_NOTIFY_FD": str(write_end)})
    os.close(write_end)
    harness.wait_until(lambda: "tick number=3" in probe.log(), what="its work without a broker")
    text = lines(read_end, b"READY=1\n")
    assert b"STATUS=no session" in text
    broker.start()
    watcher = broker.client("viewer")
    watcher.subscribe(probe.topic("status"))
    watcher.wait_topic(probe.topic("status"))
    assert probe.process.poll() is None


def test_after_a_killed_broker_it_is_back_with_a_higher_epoch(start, operator, broker, version):
    probe = start(version=version)
    before = operator.record(probe.topic("status"))
    broker.kill()
    broker.start()
    watcher = broker.client("viewer")
    watcher.subscribe(probe.topic("status"))
    watcher.wait_for(lambda m: m.topic == probe.topic("status") and msgpack.unpackb(m.payload)["epoch"] >
                     before["epoch"], what="a status with a higher epoch")
    assert probe.process.poll() is None


def test_options_by_hand_and_mistakes_in_them(broker, tmp_path):
    import subprocess
    probe = harness.BIN / "reeve-worker-probe"
    clean = {"PATH": "/usr/bin:/bin", **{k: v for k, v in os.environ.items() if k.endswith("SAN_OPTIONS")}}

    def run(*arguments, **env):
        return subprocess.run([probe, *arguments], env={**clean, **env}, capture_output=True, text=True, timeout=20)

    assert run("--help").returncode == 0 and "--broker URL" in run("--help").stdout
    assert run("--version").stdout.startswith("reeve-worker-probe ")
    for arguments, says in ((["--brokr", "x"], "brokr"), ([], "no broker"), (["--name", "Mm", "--broker", "mqtt://h"], "'M'"),
                            (["--broker", "ftp://h"], "does not begin with mqtt://"), (["extra"], "extra"),
                            (["--broker", "mqtt://h", "--log-level", "loud"], "loud"),
                            (["--broker", "mqtt://h", "--heartbeat", "1ms"], "heartbeat")):
        result = run(*arguments)
        assert result.returncode == 2 and says in result.stderr, (arguments, result.returncode, result.stderr)
    config = tmp_path / "probe.yaml"
    config.write_text("tick: often\ngreting: hello\n")
    result = run("--broker", "mqtt://127.0.0.1:1", "--config", str(config))
    assert result.returncode == 2
    assert "probe.yaml:1:7" in result.stderr and "probe.yaml:2:1" in result.stderr and "greeting" in result.stderr


def test_sighup_reads_the_configuration_again(start, operator):
    probe = start(config={"tick": "0"})
    operator.record(probe.topic("status"))
    path = probe.stderr.parent / "config.json"
    path.write_text('{"tick": "50ms"}')
    probe.signal(signal.SIGHUP)
    operator.record(probe.topic("metrics"))
    path.write_text('{"tick": "nonsense"}')
    probe.signal(signal.SIGHUP)
    harness.wait_until(lambda: "kept the old one" in probe.log(), what="refusal in the log")
    assert operator.ask(probe, "describe")["result"]["config"]["tick"] == "50ms"
