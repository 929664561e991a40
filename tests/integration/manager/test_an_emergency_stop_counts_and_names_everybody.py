"""Stop, shutdown and their ends over several nodes: who stopped, who refused, who was out of reach, and what is done about them."""
import subprocess

import harness
import nodes
import pytest

SLEEPER = {"command": nodes.SLEEPER, "stop": {"grace": "1s"}}
PROBE = {"type": "probe", "ready": {"mode": "notify"}, "stop": {"grace": "5s"}}


def sleepers(prefix, count):
    return [{"name": f"{prefix}-{i}", **SLEEPER} for i in range(count)]


def wait_all(steer, node, names, state, **options):
    for name in names:
        steer.wait_verdict(node, name, lambda v: v and v["state"] == state, **options)


def stopped_reply(reply):
    return {key: reply["result"][key] for key in ("stopped", "refused", "unreachable")}


def test_stop_with_all_stops_everybody_and_keeps_pools_from_starting(names, make_node, make_manager, steer):
    """Also over a kill of the manager, until `start` with `all`."""
    for index, node in enumerate(names):
        make_node(node, workers=sleepers(f"w{index}", 5))
    manager = make_manager()
    for index, node in enumerate(names):
        wait_all(steer, node, [f"w{index}-{i}" for i in range(5)], "running")
    steer.pool("demo", "apply", {"template": SLEEPER, "size": 3})
    steer.wait_ready("demo", 3)
    reply = steer.manager("stop", {"all": True, "reason": "fire"})
    assert stopped_reply(reply) == {"stopped": 18, "refused": 0, "unreachable": 0}
    assert 0 <= reply["result"]["ms"] < 5000 and "18 of 18 stopped" in reply["message"]
    for index, node in enumerate(names):
        for i in range(5):
            assert not steer.record(f"worker/{node}/w{index}-{i}/process").get("pid")
    assert steer.running_of("demo") == set()
    assert steer.manager("describe")["result"]["holds"]["fleet_stopped"]
    manager.kill()
    manager.start()
    steer.wait_record("manager/main/status", lambda s: s["state"] == "online" and s["fleet_stopped"])
    refused = steer.refused("manager", "start", {"workers": "w0-1"}, "conflict", "fire")
    assert "`start` with `all` ends that" in refused["message"]
    steer.pool("demo", "scale", "4")
    steer.manager("list")
    assert steer.running_of("demo") == set()
    reply = steer.manager("start", {"all": True}, phase=None, deadline=30)
    assert reply["result"]["failed"] == 0, reply
    for index, node in enumerate(names):
        wait_all(steer, node, [f"w{index}-{i}" for i in range(5)], "running")
    steer.wait_ready("demo", 4)


def test_who_is_out_of_reach_is_named_and_stopped_when_its_node_is_back(names, make_node, make_manager, steer):
    make_node(names[0], workers=sleepers("w", 3))
    away = make_node(names[1], workers=sleepers("x", 2))
    manager = make_manager()
    wait_all(steer, names[0], ["w-0", "w-1", "w-2"], "running")
    wait_all(steer, names[1], ["x-0", "x-1"], "running")
    away.kill()
    wait_all(steer, names[1], ["x-0", "x-1"], "unknown", deadline=20)
    reply = steer.manager("stop", {"all": True}, phase="failed")
    assert reply["code"] == "offline"
    assert stopped_reply(reply) == {"stopped": 3, "refused": 0, "unreachable": 2}
    node = reply["result"]["unreachable_nodes"][0]
    assert node["node"] == names[1] and node["workers"] == 2 and node["names"] == ["x-0", "x-1"]
    assert node["since_ms"] > 0 and node["fenced"].startswith("not fenced: runs until its node is back")
    assert away.processes("x-0"), "a node that is away keeps its workers"
    manager.kill()  # nothing of it is only in memory
    manager.start()
    away.start()
    harness.wait_until(lambda: not away.processes(), 20, "the workers of the returned node ended")
    wait_all(steer, names[1], ["x-0", "x-1"], "stopped")
    harness.wait_until(lambda: manager.database("SELECT key FROM document WHERE collection = 'hold'") == [("fleet",)],
                       what="the stops are done with")


def test_a_shutdown_is_latched_until_it_is_cleared(names, make_node, make_manager, steer):
    node = names[0]
    make_node(node, workers=[{"name": "mm-1", **PROBE}, {"name": "mm-2", **PROBE}])
    manager = make_manager()
    wait_all(steer, node, ["mm-1", "mm-2"], "running")
    reply = steer.manager("shutdown", {"worker": "mm-1", "reason": "leak"})
    assert stopped_reply(reply) == {"stopped": 1, "refused": 0, "unreachable": 0}
    verdict = steer.wait_verdict(node, "mm-1", lambda v: v["state"] == "stopped")
    assert verdict["hold"]["kind"] == "shutdown" and verdict["hold"]["reason"] == "leak"
    refused = steer.manager("start", {"workers": "mm-1"}, phase="failed")
    assert "leak" in refused["result"]["workers"][f"{node}/mm-1"]["message"]
    manager.kill()
    manager.start()
    steer.do(f"worker/{node}/mm-1", "start")  # by somebody who asks the node itself
    run = steer.record(f"worker/{node}/mm-1/process")["run"]
    steer.wait_verdict(node, "mm-1", lambda v: v["state"] == "stopped" and v["run"] >= run, deadline=20)
    assert steer.verdict(node, "mm-2")["state"] == "running"
    steer.refused("manager", "clear", {"worker": "mm-2"}, "not_found")
    assert steer.manager("clear", {"worker": "mm-1"})["result"]["cleared"] == 1
    steer.manager("start", {"workers": "mm-1"})
    steer.wait_verdict(node, "mm-1", lambda v: v["state"] == "running" and "hold" not in v)


def test_who_joins_a_fleet_that_was_shut_down_is_stopped_as_well(names, make_node, manager, steer):
    node = names[0]
    make_node(node, workers=sleepers("w", 2))
    wait_all(steer, node, ["w-0", "w-1"], "running")
    steer.manager("shutdown", {"all": True, "reason": "breach"})
    steer.do(f"node/{node}", "apply", {"worker": {"name": "late", **SLEEPER}})
    steer.wait_verdict(node, "late", lambda v: v and v["state"] == "stopped", deadline=20)
    steer.refused("manager", "start", {"all": True}, "conflict", "`clear` with `all` ends that")
    assert steer.manager("clear", {"all": True})["result"]["fleet"] is True
    steer.manager("start", {"all": True})
    wait_all(steer, node, ["late", "w-0", "w-1"], "running")


def test_the_sites_own_broker_is_never_meant(names, make_node, manager, steer):
    node = names[0]
    make_node(node, workers=[{"name": "broker", **SLEEPER}, *sleepers("w", 1)], broker_worker="broker")
    wait_all(steer, node, ["broker", "w-0"], "running")
    assert stopped_reply(steer.manager("kill", {"all": True}))["stopped"] == 1
    named = steer.manager("kill", {"workers": "broker"}, phase="failed")
    assert named["result"]["refused"] == 1 and "only its node" in named["result"]["failed"][f"{node}/broker"]
    steer.manager("clear", {"all": True})
    steer.manager("shutdown", {"all": True})
    assert steer.record(f"worker/{node}/broker/process")["state"] == "running"


@pytest.fixture
def small_disk(tmp_path):
    path = tmp_path / "disk"
    path.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m,mode=0700", "reeve-test", path], check=False).returncode:
        pytest.skip("no tmpfs can be mounted here")
    yield path
    subprocess.run(["umount", "-l", path], check=True)


def test_a_stop_does_not_need_the_managers_disk(small_disk, names, make_node, make_manager, steer):
    node = names[0]
    make_node(node, workers=sleepers("w", 3))
    manager = make_manager(state_dir=small_disk / "state")
    wait_all(steer, node, ["w-0", "w-1", "w-2"], "running")
    filler = small_disk / "filler"
    with open(filler, "wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 4096)
        except OSError:
            pass
    steer.refused("manager", "offline", {"workers": "w-0"}, "io", phase="failed")
    reply = steer.manager("stop", {"all": True, "reason": "fire"})
    assert stopped_reply(reply) == {"stopped": 3, "refused": 0, "unreachable": 0}
    wait_all(steer, node, ["w-0", "w-1", "w-2"], "stopped")
    assert steer.manager("describe")["result"]["holds"]["fleet_stopped"]
    filler.unlink()
    # What was said is kept as soon as the disk takes it: a killed manager still knows.
    harness.wait_until(lambda: manager.database("SELECT key FROM document WHERE collection = 'hold'") == [("fleet",)], 20,
                       "the stop stored")
    manager.kill()
    manager.start()
    steer.wait_record("manager/main/status", lambda s: s["state"] == "online" and s["fleet_stopped"])


def test_a_manager_killed_in_the_middle_ends_the_command_all_the_same(names, make_node, make_manager, steer):
    """[cmd-4]: the next manager takes it up; its nodes do nothing twice."""
    node = names[0]
    slow = {"command": ["sh", "-c", "trap 'sleep 3; exit 0' TERM; echo up; while :; do sleep 0.1; done"],
            "ready": {"log": "^up$"}, "stop": {"grace": "20s"}}
    make_node(node, workers=[{"name": "slow", **slow}])
    manager = make_manager()
    wait_all(steer, node, ["slow"], "running")
    run = steer.verdict(node, "slow")["run"]
    command = steer.command("manager", "restart", {"workers": "slow"})
    command.phase("accepted")
    steer.wait_record(f"worker/{node}/slow/process", lambda p: p["state"] == "stopping")
    manager.kill()
    manager.start()
    reply = command.terminal(30)
    assert reply["phase"] == "done" and reply["result"]["done"] == 1, reply
    steer.wait_verdict(node, "slow", lambda v: v["state"] == "running" and v["run"] == run + 1)


@pytest.mark.parametrize("op, args, code, says", [
    ("stop", {"workers": "w-00"}, "not_found", "w-0"),
    ("stop", {}, "invalid", "workers"),
    ("kill", {"all": True, "grase": "1s"}, "invalid", "grase"),
    ("stop", {"all": True, "grace": "soon"}, "invalid", "grace"),
    ("start", {"all": True, "timeout": "1ms"}, "invalid", "timeout"),
    ("shutdown", {"all": True, "worker": "w-0"}, "invalid", "either"),
    ("clear", {}, "invalid", "worker"),
])
def test_wrong_arguments_are_named_and_nothing_is_done(names, make_node, manager, steer, op, args, code, says):
    make_node(names[0], workers=sleepers("w", 1))
    wait_all(steer, names[0], ["w-0"], "running")
    steer.refused("manager", op, args, code, says)
    assert steer.verdict(names[0], "w-0")["state"] == "running"
    assert not steer.manager("describe")["result"]["holds"]["fleet_stopped"]
