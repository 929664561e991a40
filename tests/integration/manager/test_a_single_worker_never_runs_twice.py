"""single_active: of a worker that is cut off, or whose node, daemon or manager dies, no two ever run, and one runs again soon.

The worker writes a timeline on the machine's one clock; every life in it is checked against every other."""
import pathlib
import signal
import sys

import harness
import pytest

sys.path[:0] = [str(pathlib.Path(__file__).parents[1] / part) for part in ("daemon", "faults")]
import leases  # noqa: E402
import network  # noqa: E402

LOST_MS, SELF_STOP_MS = 8000, 3000


@pytest.fixture
def namespaces():
    made = [network.Namespace() for _ in range(2)]
    yield made
    for namespace in made:
        namespace.close()


@pytest.fixture
def timeline(tmp_path):
    return leases.Timeline(tmp_path / "timeline")


@pytest.fixture
def fleet(broker, namespaces, names, make_node, make_manager):  # the links go last
    """Two nodes, each behind a link of its own, and a manager that is not."""
    for namespace in namespaces:
        network.listen_also(broker, namespace.host)
    made = {name: make_node(name, wrapper=namespace.wrapper,
                            broker_options={"url": namespace.url(broker), "keep_alive": "5s"})
            for name, namespace in zip(names, namespaces)}
    return made, dict(zip(names, namespaces)), make_manager()


def apply(steer, timeline):
    spec = timeline.spec(after=f"{SELF_STOP_MS}ms", stop={"grace": "500ms"})
    for key in ("name", "fence", "self_stop_after"):
        spec.pop(key, None)
    steer.pool("single", "apply", {"template": spec, "partition": {
        "single_active": True, "lost_after": f"{LOST_MS}ms", "self_stop_after": f"{SELF_STOP_MS}ms"}})
    return steer.wait_ready("single", 1)["members"][0]


@network.needs_namespaces
@pytest.mark.parametrize("daemon", ["lives", "killed"])
def test_a_partition_moves_the_worker_and_never_doubles_it(fleet, steer, timeline, daemon):
    made, links, _manager = fleet
    first = apply(steer, timeline)
    timeline.wait_lives(1)
    links[first["node"]].drop()
    if daemon == "killed":
        made[first["node"]].kill()
    second = steer.wait_pool("single", lambda s: s["ready"] == 1 and any(
        m["node"] != first["node"] and m["state"] == "running" for m in s["members"]), deadline=60)
    assert {m["node"] for m in second["members"] if m["state"] == "running"} != {first["node"]}
    timeline.wait_lives(2)
    links[first["node"]].heal()
    if daemon == "killed":
        made[first["node"]].start()
    # The one that comes back goes: its lease is over, and its place is taken.
    steer.wait_pool("single", lambda s: s["ready"] == 1 and len(s["members"]) == 1, deadline=90)
    harness.wait_until(lambda: not made[first["node"]].processes(first["worker"]), what="the former worker is gone")
    timeline.assert_never_two()
    assert len(steer.running_of("single")) == 1


@network.needs_namespaces
def test_a_killed_manager_grants_nothing_it_has_forgotten(fleet, steer, timeline):
    """The manager dies, the node is cut off, a new manager comes: it can't know when the last lease was granted, and waits."""
    made, links, manager = fleet
    first = apply(steer, timeline)
    timeline.wait_lives(1)
    manager.process.send_signal(signal.SIGKILL)
    links[first["node"]].drop()
    manager.process.wait()
    manager.start()
    steer.wait_pool("single", lambda s: s["ready"] == 1 and any(
        m["node"] != first["node"] and m["state"] == "running" for m in s["members"]), deadline=90)
    timeline.wait_lives(2)
    links[first["node"]].heal()
    steer.wait_pool("single", lambda s: s["ready"] == 1 and len(s["members"]) == 1, deadline=90)
    timeline.assert_never_two()


def test_a_manager_that_is_away_longer_than_the_lease_ends_the_worker_and_starts_it_again(
        names, make_node, manager, steer, timeline):
    """Nobody renews: the node ends it. That is the price of never two, and it is shown."""
    make_node(names[0])
    first = apply(steer, timeline)
    timeline.wait_lives(1)
    manager.kill()
    steer.wait_record(f"worker/{first['node']}/{first['worker']}/process",
                      lambda r: r and r["state"] == "stopped" and "lease" in r["why"], deadline=30)
    manager.start()
    steer.wait_ready("single", 1, deadline=30)
    timeline.wait_lives(2)
    timeline.assert_never_two()
