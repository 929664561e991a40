"""[session-3] [session-6]: the worker's own word, as a foreign client reads it."""
import time

import harness
import msgpack


def test_a_status_declares_commands_with_their_arguments(start, operator, version):
    probe = start(version=version, run=7)
    status = operator.record(probe.topic("status"))
    assert status["state"] == "online" and status["availability"] == "idle"
    assert status["run"] == 7 and status["pid"] == probe.pid and status["type"] == "probe"
    assert status["heartbeat_ms"] == 20000 and status["ttl_ms"] == 60000
    assert abs(status["epoch"] - time.time() * 1000) < 60000
    commands = {c["name"]: c for c in status["commands"]}
    assert set(commands) == {"echo", "sleep", "allocate", "spin", "crash", "hang", "exit", "busy", "unsafe", "check",
                             "count", "progress", "belongs"}
    assert commands["sleep"]["args"][0]["name"] == "ms" and commands["sleep"]["args"][0]["required"] is True


def test_a_status_expires_on_mqtt_5_and_is_retained_on_both(start, operator, broker, version):
    probe = start(version=version)
    operator.record(probe.topic("status"))
    late = broker.client("viewer")
    late.subscribe(probe.topic("status"))
    message = late.wait_topic(probe.topic("status"))
    assert message.retain
    expiry = getattr(message.properties, "MessageExpiryInterval", None)
    assert expiry is None if version == 4 else 50 <= expiry <= 60


def test_a_status_is_renewed_with_jitter_until_the_worker_hangs(start, operator):
    probe = start(heartbeat_ms=200)
    operator.client.wait(lambda: len(operator.records(probe.topic("status"))) >= 5, what="five heartbeats")
    arrived = [m.at for m in operator.client.of(probe.topic("status"))]
    gaps = [b - a for a, b in zip(arrived[1:], arrived[2:])]
    assert len({round(gap, 3) for gap in gaps}) > 1, "no jitter"
    assert len({r["epoch"] for r in operator.records(probe.topic("status"))}) == 1
    assert operator.ask(probe, "hang")["phase"] == "done"
    seen = len(operator.records(probe.topic("status")))
    # Its session lives (it answers), but its word is not renewed: five heartbeats pass in which nothing comes.
    deadline = time.monotonic() + 1.0
    while time.monotonic() < deadline:
        operator.ask(probe, "echo")
    assert len(operator.records(probe.topic("status"))) == seen
    operator.ask(probe, "hang", {"on": False})
    operator.client.wait(lambda: len(operator.records(probe.topic("status"))) > seen, what="heartbeat again")


def test_availability_follows_jobs_pause_and_drain(start, operator, version):
    probe = start(version=version)
    operator.record(probe.topic("status"))

    def wait_for(availability, reason=None):
        operator.client.wait(lambda: (lambda r: r["availability"] == availability and r.get("reason") == reason)(
            operator.records(probe.topic("status"))[-1]), what=f"{availability} {reason}")

    slow = operator.send(probe, "sleep", {"ms": 60000})
    wait_for("processing")
    assert operator.reply(slow, terminal=False)["phase"] == "accepted"
    operator.client.publish(probe.topic("cmd/pause"), b"maintenance")
    wait_for("paused", "maintenance")
    assert operator.ask(probe, "resume")["phase"] == "done"
    wait_for("processing")
    operator.send(probe, "drain", {"reason": "moving"})
    wait_for("draining", "moving")
    operator.ask(probe, "resume")
    wait_for("processing")


def test_fast_changes_are_damped_and_the_newest_wins(start, operator):
    probe = start()
    operator.record(probe.topic("status"))
    begun = time.monotonic()
    for _ in range(100):
        operator.send(probe, "pause")
        operator.send(probe, "resume")
    assert operator.ask(probe, "pause", {"reason": "last"})["phase"] == "done"
    operator.record(probe.topic("status"), lambda r: r.get("reason") == "last")
    took = time.monotonic() - begun
    assert len(operator.records(probe.topic("status"))) <= 3 + 21 * took


def test_a_tick_publishes_metrics(start, operator):
    probe = start(config={"tick": "100ms", "greeting": "hello"})
    metrics = operator.record(probe.topic("metrics"), lambda r: r["ticks"] >= 2)
    assert metrics["epoch"] == operator.record(probe.topic("status"))["epoch"]
    harness.wait_until(lambda: "hello number=2" in probe.log(), what="line of the tick")


def test_a_worker_whose_status_is_cleared_away_says_it_again(start, operator, node):
    probe = start()
    operator.record(probe.topic("status"))
    operator.client.clear()
    node.publish(probe.topic("status"), b"", retain=True)
    status = operator.record(probe.topic("status"))
    assert status["pid"] == probe.pid


def test_garbage_on_its_own_topics_is_survived_and_counted(start, operator, node, version):
    probe = start(version=version)
    operator.record(probe.topic("status"))
    for payload in (b"\xc1", b"{}", b"\x81\xa5epoch", msgpack.packb({"epoch": -1}), msgpack.packb({"epoch": 2**60}),
                    msgpack.packb([1]), b"x" * 100000):
        node.publish(probe.topic("status"), payload)
        node.publish(probe.topic("lwt"), payload)
    described = operator.ask(probe, "describe")
    assert described["result"]["calls"]["malformed_own_records"] == 14
    assert probe.process.poll() is None
