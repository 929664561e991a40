"""Offline, online, pause, resume: what was said of a worker or of the fleet holds over restarts of both, until it is unsaid."""
import nodes
import pytest

PROBE = {"type": "probe", "ready": {"mode": "notify"}, "stop": {"grace": "5s"}}


def probe(name, **spec):
    return {"name": name, **PROBE, **spec}


def wait_availability(steer, node, worker, availability, **options):
    return steer.wait_verdict(node, worker, lambda v: v and v.get("availability") == availability, **options)


def test_global_offline_outlives_manager_and_workers_and_meets_newcomers(names, make_node, make_manager, steer):
    make_node(names[0], workers=[probe("mm-1"), {"name": "old", "command": nodes.SLEEPER}])
    second = make_node(names[1], workers=[probe("mm-2")])
    manager = make_manager()
    for node, worker in ((names[0], "mm-1"), (names[1], "mm-2")):
        wait_availability(steer, node, worker, "idle")
    steer.wait_verdict(names[0], "old", lambda v: v and v["state"] == "running")
    reply = steer.manager("offline", {"all": True, "reason": "migration"})
    assert reply["result"] == {"workers": 3, "waiting": 0, "silent": 1, "global": True}
    for node, worker in ((names[0], "mm-1"), (names[1], "mm-2")):
        verdict = wait_availability(steer, node, worker, "offline")
        assert verdict["state"] == "running"  # heartbeat and process stay
        assert verdict["hold"]["kind"] == "offline" and verdict["hold"]["reason"] == "migration"
    manager.kill()
    # A worker that restarts and one that is new, while no manager is there.
    steer.do(f"worker/{names[0]}/mm-1", "restart")
    steer.do(f"node/{names[1]}", "apply", {"worker": probe("mm-3")})
    manager.start()
    assert steer.manager("describe")["result"]["holds"]["global_offline"]
    for node, worker in ((names[0], "mm-1"), (names[1], "mm-2"), (names[1], "mm-3")):
        wait_availability(steer, node, worker, "offline", deadline=30)
    assert steer.record(f"worker/{names[1]}/mm-3/status")["reason"].startswith("migration")
    # Of one alone it can't be ended.
    refused = steer.refused("manager", "online", {"workers": "mm-1"}, "conflict", "`online` with `all` ends that")
    assert "migration" in refused["message"]
    steer.manager("online", {"all": True})
    for node, worker in ((names[0], "mm-1"), (names[1], "mm-2"), (names[1], "mm-3")):
        verdict = wait_availability(steer, node, worker, "idle")
        steer.wait_verdict(node, worker, lambda v: "hold" not in v)
    assert second.running and manager.database("SELECT count(*) FROM document WHERE collection = 'hold'") == [(0,)]


def test_a_paused_worker_is_paused_again_after_its_restart(names, make_node, manager, steer):
    node = names[0]
    make_node(node, workers=[probe("mm-1"), probe("mm-2")])
    wait_availability(steer, node, "mm-1", "idle")
    wait_availability(steer, node, "mm-2", "idle")
    assert steer.manager("pause", {"workers": "mm-1", "reason": "audit"}, issuer="ada")["result"]["workers"] == 1
    wait_availability(steer, node, "mm-1", "paused")
    run = steer.verdict(node, "mm-1")["run"]
    steer.do(f"worker/{node}/mm-1", "restart")
    steer.wait_verdict(node, "mm-1", lambda v: v["run"] > run and v.get("availability") == "paused")
    assert steer.verdict(node, "mm-2")["availability"] == "idle"
    assert steer.verdict(node, "mm-1")["hold"]["by"] == "ada"
    steer.manager("resume", {"workers": f"{node}/mm-1"})
    wait_availability(steer, node, "mm-1", "idle")


def test_who_is_away_is_told_when_back_and_find_leaves_the_held_out(names, make_node, manager, steer):
    node = names[0]
    make_node(node, workers=[probe("mm-1"), probe("mm-2", desired="stopped")])
    wait_availability(steer, node, "mm-1", "idle")
    steer.wait_verdict(node, "mm-2", lambda v: v and v["state"] in ("created", "stopped"))
    reply = steer.manager("offline", {"workers": "mm-2"})
    assert reply["result"]["waiting"] == 1
    steer.do(f"worker/{node}/mm-2", "start")
    wait_availability(steer, node, "mm-2", "offline")
    found = steer.manager("find", {"type": "probe", "count": 5}, phase=None)["result"]["workers"]
    assert [w["worker"] for w in found] == ["mm-1"]


@pytest.mark.parametrize("op", ["offline", "online", "pause", "resume"])
def test_wrong_arguments_are_named(names, make_node, manager, steer, op):
    make_node(names[0], workers=[probe("mm-1")])
    wait_availability(steer, names[0], "mm-1", "idle")
    assert "mm-1" in steer.refused("manager", op, {"workers": "mm-11"}, "not_found")["message"]
    steer.refused("manager", op, {"wrokers": "mm-1"}, "invalid", "wrokers")
    steer.refused("manager", op, {}, "invalid")
    dry = steer.manager(op, {"workers": "mm-1"}, dry_run=True)
    assert "dry run" in dry["message"] and "hold" not in steer.verdict(names[0], "mm-1")
