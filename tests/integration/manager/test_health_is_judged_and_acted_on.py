"""Health: checks with value, threshold and message; alarms that stay until they are over; restart and replacement by policy."""
import nodes

PROBE = {"type": "probe", "ready": {"mode": "notify"}, "stop": {"grace": "5s"}}


def probe(name, **spec):
    return {"name": name, **PROBE, **spec}


def alarm(steer, kind, node, worker):
    return steer.record(f"alarm/{kind}/{node}_{worker}")


def wait_alarm(steer, kind, node, worker, is_open=True, deadline=30):
    return steer.wait_record(f"alarm/{kind}/{node}_{worker}", lambda a: (a is not None) == is_open, deadline,
                             f"alarm {kind} {'open' if is_open else 'closed'}")


def check(steer, node, worker, name, ok, **more):
    steer.do(f"worker/{node}/{worker}", "check", {"name": name, "ok": ok, **more})


def wait_health(steer, node, worker, level, deadline=30):
    return steer.wait_verdict(node, worker, lambda v: v and v.get("health") == level, deadline)


def test_one_failing_check_is_a_warning_two_are_unhealthy_and_an_alarm(names, make_node, make_manager, steer):
    node = names[0]
    make_node(node, workers=[probe("mm-1")])
    make_manager(health={"unhealthy_for": "2s"})
    wait_health(steer, node, "mm-1", "healthy")
    check(steer, node, "mm-1", "quotes", False, value=12, fail=10, message="no quote for 12 s")
    verdict = wait_health(steer, node, "mm-1", "warning")
    assert verdict["checks_failing"] == ["check.quotes: no quote for 12 s"]
    check(steer, node, "mm-1", "margin", False)
    wait_health(steer, node, "mm-1", "unhealthy")
    opened = wait_alarm(steer, "unhealthy", node, "mm-1")
    assert "check.quotes, check.margin" in opened["message"] and opened["severity"] == "error"
    shown = steer.manager("show", {"worker": "mm-1"})["result"]["health"]
    quotes = next(c for c in shown["checks"] if c["name"] == "check.quotes")
    assert quotes == {"name": "check.quotes", "ok": False, "value": 12, "threshold": 10, "message": "no quote for 12 s"}
    assert {"heartbeat", "process", "restarts"} <= {c["name"] for c in shown["checks"] if c["ok"]}
    listed = steer.manager("health")["result"]
    assert listed["unhealthy"] == 1 and [w["worker"] for w in listed["workers"]] == ["mm-1"]
    check(steer, node, "mm-1", "margin", True)
    check(steer, node, "mm-1", "quotes", True)
    wait_health(steer, node, "mm-1", "healthy")
    assert alarm(steer, "unhealthy", node, "mm-1"), "closed without waiting whether it stays so"
    wait_alarm(steer, "unhealthy", node, "mm-1", is_open=False)


def test_a_crash_loop_is_an_alarm_until_it_is_over(names, make_node, make_manager, steer):
    node = names[0]
    make_node(node, workers=[{"name": "crashes", "command": ["sh", "-c", "sleep 0.2; exit 3"],
                              "restart": {"initial": "100ms", "max": "200ms", "limit": 0}}])
    make_manager(health={"crash_loop_restarts": 3, "crash_loop_window": "10s"})
    opened = wait_alarm(steer, "crash_loop", node, "crashes")
    assert "restarted" in opened["message"]
    steer.do(f"worker/{node}/crashes", "stop")
    wait_alarm(steer, "crash_loop", node, "crashes", is_open=False)


def test_by_policy_a_worker_that_stays_unhealthy_is_restarted_once(names, make_node, make_manager, steer):
    node = names[0]
    make_node(node, workers=[probe("mm-1")])
    make_manager(health={"unhealthy_for": "1s", "on_unhealthy": "restart"})
    run = wait_health(steer, node, "mm-1", "healthy")["run"]
    for name in ("a", "b"):
        check(steer, node, "mm-1", name, False)
    assert "it is restarted" in wait_alarm(steer, "unhealthy", node, "mm-1")["message"]
    steer.wait_verdict(node, "mm-1", lambda v: v["run"] == run + 1 and v.get("health") == "healthy", 30)
    wait_alarm(steer, "unhealthy", node, "mm-1", is_open=False)
    for name in ("a", "b"):
        check(steer, node, "mm-1", name, False)
    again = wait_alarm(steer, "unhealthy", node, "mm-1")
    assert "nothing is done" in again["message"] and steer.verdict(node, "mm-1")["run"] == run + 1


def test_by_policy_a_pool_replaces_its_unhealthy_worker(names, make_node, make_manager, steer):
    for node in names[:2]:
        make_node(node)
    make_manager(health={"unhealthy_for": "1s", "on_unhealthy": "replace"})
    steer.pool("demo", "apply", {"template": PROBE, "size": 2})
    steer.wait_ready("demo", 2, deadline=30)
    node, worker = sorted(steer.running_of("demo"))[0]
    wait_health(steer, node, worker, "healthy")
    for name in ("a", "b"):
        check(steer, node, worker, name, False)
    steer.wait(lambda: (node, worker) not in steer.running_of("demo"), 40, "the unhealthy one gone")
    steer.wait_ready("demo", 2, deadline=30)


def test_a_worker_that_is_not_safe_to_stop_is_left_alone(names, make_node, make_manager, steer):
    node = names[0]
    make_node(node, workers=[probe("mm-1")])
    make_manager(health={"unhealthy_for": "1s", "on_unhealthy": "restart"})
    run = wait_health(steer, node, "mm-1", "healthy")["run"]
    steer.do(f"worker/{node}/mm-1", "unsafe", {"reason": "an order is open"})
    steer.wait_verdict(node, "mm-1", lambda v: v.get("safe_to_stop") is False)
    for name in ("a", "b"):
        check(steer, node, "mm-1", name, False)
    opened = wait_alarm(steer, "unhealthy", node, "mm-1")
    assert "an order is open" in opened["message"] and steer.verdict(node, "mm-1")["run"] == run


def test_a_failing_probe_of_its_node_is_a_failing_check(names, make_node, make_manager, steer):
    node = names[0]
    port = nodes.free_port()
    make_node(node, workers=[{"name": "web", "command": nodes.SLEEPER,
                              "probes": [{"name": "port", "tcp": port, "interval": "500ms", "threshold": 2}]}])
    make_manager()
    verdict = wait_health(steer, node, "web", "warning")
    assert verdict["checks_failing"][0].startswith("probe.port: ")


def test_a_leak_is_told_with_its_value(names, make_node, make_manager, steer):
    node = names[0]
    make_node(node, workers=[probe("mm-1", memory_limit="200M")], metrics="500ms")
    make_manager(health={"memory": 50})
    wait_health(steer, node, "mm-1", "healthy")
    steer.do(f"worker/{node}/mm-1", "allocate", {"bytes": "140M"})
    verdict = wait_health(steer, node, "mm-1", "warning")
    assert verdict["checks_failing"] == ["memory: its memory is above 50 % of its limit"]
    shown = steer.manager("show", {"worker": "mm-1"})["result"]["health"]
    memory = next(c for c in shown["checks"] if c["name"] == "memory")
    assert 60 < memory["value"] < 100 and memory["threshold"] == 50
    steer.do(f"worker/{node}/mm-1", "restart")  # a sanitizer would keep what is freed
    wait_health(steer, node, "mm-1", "healthy")
