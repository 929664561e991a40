"""What a manager judges a worker by: availability as people set it, its own checks, counters and progress."""
import time

import pytest


def newest(operator, probe):
    return operator.records(probe.topic("status"))[-1]


def wait_status(operator, probe, predicate, what):
    operator.client.wait(lambda: predicate(newest(operator, probe)), what=what)
    return newest(operator, probe)


def test_an_offline_worker_keeps_its_heartbeat_and_only_online_ends_it(start, operator, version):
    probe = start(version=version, heartbeat_ms=200)
    operator.record(probe.topic("status"))
    operator.client.publish(probe.topic("cmd/offline"), b"audit")
    status = wait_status(operator, probe, lambda r: r["availability"] == "offline", "offline")
    assert status["state"] == "online" and status["reason"] == "audit"  # [session-4]: no goodbye
    seen = len(operator.records(probe.topic("status")))
    operator.client.wait(lambda: len(operator.records(probe.topic("status"))) >= seen + 3, what="heartbeats")
    assert operator.ask(probe, "resume")["message"] == "it stays offline; `online` ends that"
    assert operator.ask(probe, "pause", {"reason": "later"})["phase"] == "done"
    operator.ask(probe, "busy", {"jobs": 1})
    assert newest(operator, probe)["availability"] == "offline"
    assert operator.ask(probe, "online")["message"] == "it is still paused; `resume` ends that"
    wait_status(operator, probe, lambda r: r["availability"] == "paused" and r["reason"] == "later", "paused")
    operator.ask(probe, "resume")
    wait_status(operator, probe, lambda r: r["availability"] == "processing" and "reason" not in r, "processing")
    assert operator.ask(probe, "online")["message"] == "it was not offline"


def test_offline_outlives_its_session(start, operator, broker):
    probe = start()
    first = operator.record(probe.topic("status"))
    operator.ask(probe, "offline")
    # Its own will with its own epoch: it has to open a new session [session-3].
    import msgpack
    broker.client(broker.node).publish(probe.topic("lwt"), msgpack.packb({"epoch": first["epoch"]}), retain=True)
    status = operator.record(probe.topic("status"), lambda r: r["epoch"] > first["epoch"])
    assert status["availability"] == "offline"


def test_declared_checks_stand_in_the_status_and_a_turn_goes_out_at_once(start, operator):
    probe = start()
    operator.record(probe.topic("status"))
    good = {"name": "quotes_age", "ok": True, "value": 3.5, "warn": 5, "fail": 10}
    operator.ask(probe, "check", good)
    bad = {**good, "ok": False, "value": 12, "message": "no quote for 12 s"}
    sent = time.monotonic()
    operator.ask(probe, "check", bad)
    status = wait_status(operator, probe, lambda r: not r.get("checks", [{"ok": True}])[0]["ok"], "failing check")
    assert time.monotonic() - sent < 1, "a failing check waited for its turn"
    assert status["checks"] == [bad]
    for number in range(15):
        assert operator.ask(probe, "check", {"name": f"c{number}"})["phase"] == "done"
    refused = operator.ask(probe, "check", {"name": "one-too-many"})
    assert refused["phase"] == "failed" and refused["code"] == "limit"
    assert operator.ask(probe, "check", {"name": "Not A Name"})["code"] == "invalid"
    operator.ask(probe, "check", {"name": "quotes_age", "clear": True})
    status = wait_status(operator, probe, lambda r: len(r["checks"]) == 15, "fifteen checks")
    assert "quotes_age" not in {c["name"] for c in status["checks"]}


def test_counters_and_progress_are_told_damped(start, operator):
    probe = start()
    operator.record(probe.topic("status"))
    before = len(operator.records(probe.topic("status")))
    begun = time.monotonic()
    for number in range(200):
        operator.send(probe, "count", {"done": 2, "failed": 1})
    operator.ask(probe, "progress", {"fraction": 0.25, "text": "page 1 of 4"})
    status = wait_status(operator, probe, lambda r: r.get("work", {}).get("progress") == 0.25, "progress")
    assert status["work"]["done"] == 400 and status["work"]["failed"] == 200
    assert status["work"]["text"] == "page 1 of 4" and abs(status["work"]["progress_at"] - status["at"]) < 60000
    took = time.monotonic() - begun
    assert len(operator.records(probe.topic("status"))) - before <= 2 + took / 2
    operator.ask(probe, "progress", {"fraction": -1})
    wait_status(operator, probe, lambda r: "progress" not in r["work"], "no progress told any more")


def test_jobs_and_safety_are_as_told_and_drain_waits_for_them(start, operator):
    probe = start()
    operator.record(probe.topic("status"))
    operator.ask(probe, "busy", {"jobs": 2})
    operator.ask(probe, "unsafe", {"reason": "an order is open"})
    status = wait_status(operator, probe, lambda r: r["jobs"] == 2 and not r["safe_to_stop"], "busy and unsafe")
    assert status["unsafe_reason"] == "an order is open" and status["availability"] == "processing"
    drain = operator.send(probe, "drain")
    wait_status(operator, probe, lambda r: r["availability"] == "draining", "draining")
    operator.ask(probe, "unsafe")
    operator.ask(probe, "busy", {"jobs": 0})
    assert operator.reply(drain)["phase"] == "done"
    assert wait_status(operator, probe, lambda r: r["jobs"] == 0, "idle")["safe_to_stop"] is True


@pytest.mark.parametrize("env, expected", [
    ({}, {"fence": 0}),
    ({"REEVE_POOL": "swap", "REEVE_ACCOUNT": "acc-1", "REEVE_FENCE": "42"},
     {"pool": "swap", "account": "acc-1", "fence": 42}),
])
def test_it_knows_where_it_belongs(start, operator, env, expected):
    probe = start(env=env)
    operator.record(probe.topic("status"))
    assert operator.ask(probe, "belongs")["result"] == expected


@pytest.mark.parametrize("env, said", [({"REEVE_POOL": "No Name"}, "REEVE_POOL"), ({"REEVE_FENCE": "x"}, "x")])
def test_a_wrong_belonging_is_refused_at_the_start(start, env, said):
    probe = start(env=env)
    assert probe.wait() == 2
    assert said in probe.log()
