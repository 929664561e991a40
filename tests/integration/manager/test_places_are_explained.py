"""Where a pool's workers go and why: labels, spread, sizes per region, distance, nodes that drain, and nowhere at all."""
import contextlib
import socket

import harness
import pytest

PROBE = {"type": "probe", "ready": {"mode": "notify"}, "stop": {"grace": "5s"}}


def apply(steer, pool="demo", phase="done", template=None, dry_run=False, **spec):
    return steer.pool(pool, "apply", {"template": template or PROBE, **spec}, phase=phase, dry_run=dry_run)["result"]


def by_node(status):
    count = {}
    for member in status["members"]:
        if member["state"] == "running":
            count[member["node"]] = count.get(member["node"], 0) + 1
    return count


def wait_event(steer, kind, pool="demo", deadline=20):
    def seen():
        return next((e for e in steer.pool_events.get(pool, []) if e["kind"] == kind), None)
    return steer.wait(seen, deadline, lambda: f"event {kind}; last {steer.pool_events.get(pool, [])[-4:]}")


@pytest.fixture
def endpoint():
    """A port that takes connections; the kernel answers for it."""
    with contextlib.closing(socket.socket()) as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(64)
        yield listening.getsockname()[1]


def test_labels_spread_regions_and_distance(names, make_node, manager, steer, endpoint):
    a, b, c = names
    make_node(a, region="eu", labels={"disk": "ssd"}, endpoints={"exchange": f"127.0.0.1:{endpoint}"}, endpoints_interval="1s")
    make_node(b, region="eu", labels={"disk": "hdd"})
    make_node(c, region="us", labels={"disk": "ssd", "gpu": "1"})
    # Regions before nodes: two and two.
    apply(steer, "even", size=1)
    steer.wait_ready("even", 1)
    steer.pool("even", "scale", "4")
    status = steer.wait_ready("even", 4)
    assert by_node(status) == {a: 1, b: 1, c: 2}
    # Victims in turn from the fullest region: first one of two at c, then the idle one of the two in eu, though c has a younger one.
    busy = next(m["worker"] for m in status["members"] if m["node"] == b)
    steer.do(f"worker/{b}/{busy}", "busy", {"jobs": 1})
    steer.wait_verdict(b, busy, lambda v: v["availability"] == "processing")
    steer.pool("even", "scale", "2")
    assert by_node(steer.wait_ready("even", 2)) == {b: 1, c: 1}
    apply(steer, "nodes", size=3, placement={"spread": ["node"]})
    assert by_node(steer.wait_ready("nodes", 3)) == {a: 1, b: 1, c: 1}
    apply(steer, "hard", size=2, placement={"require": ["label.disk=ssd", "region=eu"]})
    assert by_node(steer.wait_ready("hard", 2)) == {a: 2}
    apply(steer, "soft", size=2, placement={"prefer": ["label.gpu"], "per_node_max": 1})
    assert by_node(steer.wait_ready("soft", 2)).get(c) == 1  # the other one goes elsewhere nevertheless
    apply(steer, "sized", placement={"regions": [{"region": "eu", "size": 1}, {"region": "us", "size": 3}]})
    assert by_node(steer.wait_ready("sized", 4))[c] == 3
    steer.refused("pool/sized", "scale", {"size": "5"}, code="conflict", says="placement.regions", phase=None)

    explained = {n["node"]: n for n in steer.pool("hard", "explain")["result"]["nodes"]}
    assert explained[a]["fits"] and explained[a]["rank"] == 0 and "2 of this pool here" in explained[a]["reason"]
    assert explained[b]["reason"] == "label.disk is hdd, required is label.disk=ssd" and not explained[b]["fits"]
    assert "region is us" in explained[c]["reason"]
    result = steer.pool("soft", "explain")["result"]
    assert result["next"] and f"{c}: 1 of this pool here, at most 1" in result["line"]

    # The node with a measured round trip first, those without last or not at all.
    steer.wait_record(f"node/{a}/status", lambda r: r["round_trip"]["exchange"] >= 0)
    apply(steer, "near", size=2, placement={"near": "exchange", "near_max": "1s"})
    assert by_node(steer.wait_ready("near", 2)) == {a: 2}
    result = steer.pool("near", "explain")["result"]
    assert result["next"] == a and f"{b}: round trip to exchange is not known" in result["line"]

    # Without carrying it out: who would go where, by the same rules.
    placement = apply(steer, "plan", size=4, dry_run=True)["placement"]
    assert {n["node"]: n["planned"] for n in placement["nodes"]} == {a: 1, b: 1, c: 2} and placement["unplaced"] == 0
    assert "best of 3" in placement["line"]
    assert steer.record("pool/plan/status") is None
    placement = apply(steer, "hard", size=5, dry_run=True, placement={"require": ["label.disk=ssd"], "per_node_max": 2})["placement"]
    assert {n["node"]: n["planned"] for n in placement["nodes"]} == {a: 0, b: 0, c: 2} and placement["unplaced"] == 1
    placement = apply(steer, "hard", size=3, dry_run=True, placement={"require": ["label.disk=tape"]})["placement"]
    assert placement["unplaced"] == 1 and "required is label.disk=tape" in placement["line"]
    assert steer.record("pool/hard/status")["size"] == 2


def test_a_drained_node_is_left_once_replacements_stand(names, make_node, manager, steer):
    for name in names[:2]:
        make_node(name)
    apply(steer, size=4)
    status = steer.wait_ready("demo", 4)
    drained, other = names[0], names[1]
    assert by_node(status) == {drained: 2, other: 2}
    busy = next(m["worker"] for m in status["members"] if m["node"] == drained)
    steer.do(f"worker/{drained}/{busy}", "busy", {"jobs": 1})
    steer.wait_verdict(drained, busy, lambda v: v["availability"] == "processing")
    begin = len(steer.history["pool/demo/status"])
    steer.do(f"node/{drained}", "drain")
    # The idle one first; the busy one is replaced, too, and waited for.
    steer.wait_pool("demo", lambda s: s["ready"] == 4 and s["leaving"] == 1 and by_node(s) == {other: 4}, 30)
    leaving = [m["worker"] for m in steer.record("pool/demo/status")["members"] if m["state"] == "leaving"]
    assert leaving == [busy] and steer.record(f"worker/{drained}/{busy}/process")["state"] == "running"
    for status in steer.history["pool/demo/status"][begin:]:
        assert status["ready"] >= 4, status
    steer.do(f"worker/{drained}/{busy}", "busy", {"jobs": 0})
    assert by_node(steer.wait_ready("demo", 4)) == {other: 4}
    assert steer.record("pool/demo/status")["busy_workers_killed_by_scaling"] == 0
    explained = {n["node"]: n for n in steer.pool("demo", "explain")["result"]["nodes"]}
    assert explained[drained]["reason"] == "drains"
    # Nowhere to go: what is there stays, and why is told.
    steer.do(f"node/{other}", "drain")
    alarm = steer.wait_record("alarm/pool_unplaceable/demo", bool)
    assert "drains" in alarm["message"] and steer.record("pool/demo/status")["ready"] == 4
    steer.do(f"node/{drained}", "undrain")
    steer.wait_pool("demo", lambda s: by_node(s) == {drained: 4} and s["leaving"] == 0, 40)
    steer.wait_record("alarm/pool_unplaceable/demo", lambda r: r is None)


def test_a_pool_without_a_place_says_why_until_a_node_comes(names, make_node, manager, steer):
    apply(steer, "early", size=1)
    assert "no node is known" in steer.wait_pool("early", lambda s: "nowhere to go" in s["why"])["why"]
    make_node(names[0], max_workers=3)
    steer.wait_ready("early", 1)
    apply(steer, size=2, placement={"require": ["label.gpu"]})
    status = steer.wait_pool("demo", lambda s: "nowhere to go" in s["why"])
    assert status["why"].startswith("2 of 2 have nowhere to go") and f"{names[0]}: label.gpu is missing" in status["why"]
    assert f"{names[0]}: label.gpu is missing" in wait_event(steer, "unplaceable")["message"]
    alarm = steer.wait_record("alarm/pool_unplaceable/demo", bool)
    assert alarm["severity"] == "error" and "label.gpu is missing" in alarm["message"]
    assert len([e for e in steer.pool_events["demo"] if e["kind"] == "unplaceable"]) == 1  # once per reason
    manager.kill()
    manager.start()
    make_node(names[1], labels={"gpu": "2"})
    assert by_node(steer.wait_ready("demo", 2)) == {names[1]: 2}
    steer.wait_record("alarm/pool_unplaceable/demo", lambda r: r is None)
    # Full nodes, and one that asks for more than any has.
    apply(steer, "many", size=9, placement={"require": [f"node={names[0]}"]})
    status = steer.wait_pool("many", lambda s: s["ready"] == 2 and "nowhere to go" in s["why"])
    assert "7 of 9" in status["why"] and "is full, 3 of 3 workers" in status["why"]
    steer.pool("many", "scale", "2")  # nothing is missing any more
    steer.wait_record("alarm/pool_unplaceable/many", lambda r: r is None)
    apply(steer, "big", size=1, template={**PROBE, "memory_limit": "4096G"})
    assert "4T needed" in steer.wait_pool("big", lambda s: "nowhere to go" in s["why"])["why"]
    harness.wait_until(lambda: steer.record("alarm/pool_unplaceable/big"), what="alarm")
