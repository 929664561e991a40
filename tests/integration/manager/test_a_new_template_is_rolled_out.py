"""A new template replaces workers step by step, comes back by itself when it is bad, and survives the manager's death."""
import pytest

PROBE = {"type": "probe", "ready": {"mode": "notify"}, "stop": {"grace": "5s"}}
QUICK = {"healthy": "1s", "deadline": "30s"}
BAD = {"command": ["/bin/false"], "restart": {"initial": "50ms", "limit": 2}}


def probe(**config):
    return {**PROBE, "labels": {"release": config.pop("release", "1")}, **config}


def apply(steer, template, pool="demo", **spec):
    return steer.pool(pool, "apply", {"template": template, **spec}, issuer="olga")["result"]


def since(steer, mark, pool="demo"):
    with steer.client.changed:
        return list(steer.history[f"pool/{pool}/status"][mark:])


def mark(steer, pool="demo"):
    return len(steer.history.get(f"pool/{pool}/status", []))


def rolled_out(steer, version, size, pool="demo", deadline=60):
    """The status in which all of the pool's workers are of this version, and nothing is left of others."""
    return steer.wait_pool(pool, lambda s: s["version"] == version and "update" not in s and s["ready"] == size
                           and s["leaving"] == 0 and {m["version"] for m in s["members"]} <= {version},
                           deadline, f"pool {pool} at version {version}")


def check_bounds(statuses, least, most):
    """No moment with fewer ready or more members than allowed, those that leave not counted."""
    assert statuses
    for status in statuses:
        there = [m for m in status["members"] if m["state"] not in ("leaving", "lost")]
        assert status["ready"] >= least, status
        assert len(there) <= most, status


def events(steer, kind, pool="demo"):
    with steer.client.changed:
        return [e for e in steer.pool_events.get(pool, []) if e["kind"] == kind]


def wait_event(steer, kind, pool="demo", deadline=30, **fields):
    def seen():
        return next((e for e in events(steer, kind, pool) if all(e.get(k) == v for k, v in fields.items())), None)
    return steer.wait(seen, deadline, lambda: f"event {kind} {fields}; last {steer.pool_events.get(pool, [])[-4:]}")


@pytest.mark.parametrize("surge, unavailable", [(1, 0), (0, 1), (2, 1)])
def test_an_update_stays_within_its_bounds(names, make_node, manager, steer, surge, unavailable):
    for name in names[:2]:
        make_node(name)
    update = {**QUICK, "max_surge": surge, "max_unavailable": unavailable}
    apply(steer, probe(), size=4, update=update)
    first = {m["worker"] for m in steer.wait_ready("demo", 4)["members"]}
    begin = mark(steer)
    result = apply(steer, probe(release="2"), size=4, update=update)
    assert (result["update"], result["version"], result["created"]) == ("rolling", 2, False)
    last = rolled_out(steer, 2, 4)
    check_bounds(since(steer, begin), least=4 - unavailable, most=4 + surge)
    assert not first & {m["worker"] for m in last["members"]}
    assert wait_event(steer, "update_done", version=2)
    assert last["busy_workers_killed_by_scaling"] == 0

    # The same template under a new number: every worker anew, within the same bounds.
    second = {m["worker"] for m in last["members"]}
    begin = mark(steer)
    assert steer.pool("demo", "restart")["result"] == {"pool": "demo", "from": 2, "version": 3}
    steer.refused("pool/demo", "restart", code="conflict", says="under way")
    last = rolled_out(steer, 3, 4)
    check_bounds(since(steer, begin), least=4 - unavailable, most=4 + surge)
    assert not second & {m["worker"] for m in last["members"]}
    # A change of anything but the template replaces nobody.
    assert apply(steer, probe(release="2"), size=4, update={**update, "failures_max": 3})["update"] == "none"


def test_a_busy_worker_is_replaced_when_it_is_done(names, make_node, manager, steer):
    make_node(names[0])
    apply(steer, probe(), size=2, update=QUICK)
    busy = steer.wait_ready("demo", 2)["members"][0]["worker"]
    steer.do(f"worker/{names[0]}/{busy}", "busy", {"jobs": 1})
    steer.wait_verdict(names[0], busy, lambda v: v["availability"] == "processing")
    apply(steer, probe(release="2"), size=2, update=QUICK)
    steer.wait_pool("demo", lambda s: "update" not in s and s["leaving"] == 1 and s["ready"] == 2, 30)
    # A whole update later it is still at work.
    steer.pool("demo", "restart")
    steer.wait_pool("demo", lambda s: s["version"] == 3 and "update" not in s and s["leaving"] == 1 and s["ready"] == 2, 30)
    assert steer.record(f"worker/{names[0]}/{busy}/process")["state"] == "running"
    steer.do(f"worker/{names[0]}/{busy}", "busy", {"jobs": 0})
    assert rolled_out(steer, 3, 2)["busy_workers_killed_by_scaling"] == 0


def test_a_bad_template_comes_back_by_itself_and_history_leads_back(names, make_node, manager, steer):
    make_node(names[0])
    apply(steer, probe(), size=3, update=QUICK)
    steer.wait_ready("demo", 3)
    begin = mark(steer)
    apply(steer, BAD, size=3, update=QUICK)
    undone = wait_event(steer, "update_undone", version=2, back_to=1)
    assert "has failed" in undone["message"]
    rolled_out(steer, 1, 3)
    check_bounds(since(steer, begin), least=3, most=4)  # nobody good was given up for it
    alarm = steer.wait_record("alarm/update_undone/demo", bool)
    assert "back to version 1" in alarm["message"]
    # The alarm outlives the way back; a template that never gets ready fails by its deadline.
    manager.kill()
    manager.start()
    # What it runs is the good template, not the bad one under the good one's number.
    steer.pool("demo", "scale", "4")
    members = steer.wait_ready("demo", 4)["members"]
    assert all(steer.verdict(m["node"], m["worker"])["type"] == "probe" for m in members)
    never = {**PROBE, "command": ["sleep", "100000"]}
    never.pop("type")
    apply(steer, never, size=4, update={**QUICK, "deadline": "3s"})
    assert "not healthy in time" in wait_event(steer, "update_undone", version=3)["message"]
    rolled_out(steer, 1, 4)
    assert steer.record("alarm/update_undone/demo")
    apply(steer, probe(release="4"), size=3, update=QUICK)
    rolled_out(steer, 4, 3)
    steer.wait_record("alarm/update_undone/demo", lambda r: r is None)  # another one proved good

    versions = {v["version"]: v for v in steer.pool("demo", "history")["result"]["versions"]}
    assert {number: v["good"] for number, v in versions.items()} == {1: True, 2: False, 3: False, 4: True}
    assert [number for number, v in versions.items() if v["current"]] == [4]
    assert all(v["by"] == "olga" and v["at"] > 0 for v in versions.values())
    steer.refused("pool/demo", "rollback", {"version": 4}, code="conflict", says="current")
    steer.refused("pool/demo", "rollback", {"version": 17}, code="not_found", says="no version 17")
    steer.refused("pool/demo", "rollback", {"version": 17}, code="not_found", says="no version 17", dry_run=True)
    steer.refused("pool/demo", "rollback", {"version": "x"}, code="invalid", says="version")
    assert steer.pool("demo", "rollback")["result"] == {"pool": "demo", "from": 4, "version": 1}  # the last good one
    member = rolled_out(steer, 1, 3)["members"][0]
    assert steer.record("pool/demo/spec")["template"]["labels"] == {"release": "1"}
    steer.wait_verdict(member["node"], member["worker"], lambda v: v["labels"] == {"release": "1"})
    assert steer.pool("demo", "rollback", {"version": 4})["result"]["version"] == 4
    rolled_out(steer, 4, 3)


def test_canaries_go_first_and_are_waited_for(names, make_node, manager, steer):
    make_node(names[0])
    update = {**QUICK, "canary": 2, "canary_wait": "4s"}
    apply(steer, probe(), size=5, update=update)
    steer.wait_ready("demo", 5)
    begin = mark(steer)
    apply(steer, probe(release="2"), size=5, update=update)
    steer.wait_pool("demo", lambda s: s.get("update", {}).get("canary_until_at"), 30, "canaries that hold")
    manager.kill()  # it goes on where it was
    manager.start()
    rolled_out(steer, 2, 5)
    held = wait_event(steer, "update_canaries_held")
    statuses = since(steer, begin)
    check_bounds(statuses, least=5, most=6)
    until = max(s["update"].get("canary_until_at", 0) for s in statuses if "update" in s)
    assert held["at"] >= until
    for status in statuses:
        if status.get("update", {}).get("phase") == "canary":
            assert sum(m["version"] == 2 and m["state"] != "leaving" for m in status["members"]) <= 2, status
    # A bad one costs a canary and nothing else.
    begin = mark(steer)
    apply(steer, BAD, size=5, update=update)
    wait_event(steer, "update_undone", version=3)
    rolled_out(steer, 2, 5)
    assert all(sum(m["version"] == 3 for m in s["members"]) <= 2 for s in since(steer, begin))
    check_bounds(since(steer, begin), least=5, most=6)


def test_a_killed_manager_goes_on_with_its_update(names, make_node, manager, steer):
    make_node(names[0])
    # Shorter than the update as a whole: the deadline is each worker's, and not counted while nobody could look.
    update = {"healthy": "2s", "deadline": "6s"}
    apply(steer, probe(), size=4, update=update)
    steer.wait_ready("demo", 4)
    begin = mark(steer)
    apply(steer, probe(release="2"), size=4, update=update)
    for count in (1, 3):
        steer.wait_pool("demo", lambda s: sum(m["version"] == 2 and m["state"] == "running" for m in s["members"]) >= count, 40)
        manager.kill()
        manager.start()
    rolled_out(steer, 2, 4)
    check_bounds(since(steer, begin), least=4, most=5)
    assert events(steer, "update_undone") == []
    assert manager.database("SELECT count(*) FROM document WHERE collection = 'member'") == [(4,)]
