"""One account and a few: what a changed file does to the worker that runs for it, what a lost node and a killed manager do not do."""
import os
import signal

import harness
import pytest
from accounts import Accounts, Everything, state_is

PROBE = {"type": "probe", "ready": {"mode": "notify"}, "stop": {"grace": "5s"}}


@pytest.fixture
def directory(tmp_path):
    return Accounts(tmp_path / "accounts", watch="apply", worker=PROBE)


@pytest.fixture
def manager(make_manager, directory):
    return make_manager(accounts_dir=str(directory.path))


def said(steer, worker):
    return [line["text"] for line in steer.do(f"worker/{worker}", "logs", {"tail": 100})["result"]["workers"][worker.split("/")[1]]]


def wait_said(steer, worker, text):
    harness.wait_until(lambda: any(text in line for line in said(steer, worker)), what=f"{text!r} in the log of {worker}")


def pid_of(steer, node, account):
    return steer.record(f"worker/{node}/account-{account}/process")["pid"]


def test_live_changes_are_told_others_restart(broker, names, make_node, manager, directory, steer, tmp_path):
    everything = Everything(broker)
    secret = tmp_path / "password"
    secret.write_text("the-password-itself\n")
    secret.chmod(0o600)
    make_node(names[0])
    directory.put("desk", password=f"file:{secret}")
    state_is(steer, "desk", "created")
    assert steer.account("desk", "start")["result"]["state"] == "running"
    worker = f"{names[0]}/account-desk"
    wait_said(steer, worker, "account=desk risk_percent=1 currencies=1 password=found")
    assert steer.record(f"worker/{worker}/process")["account"] == "desk"
    pid = pid_of(steer, names[0], "desk")

    directory.put("desk", password=f"file:{secret}", default_risk={"risk_percent": 2})
    wait_said(steer, worker, "risk_percent=2")
    assert pid_of(steer, names[0], "desk") == pid
    # A crash: its node starts it with what it was given first, and the manager tells it the rest again.
    os.kill(pid, signal.SIGKILL)
    harness.wait_until(lambda: sum("risk_percent=2" in line for line in said(steer, worker)) >= 2, what="told again")
    pid = pid_of(steer, names[0], "desk")

    directory.put("desk", password=f"file:{secret}", default_risk={"risk_percent": 2}, timeout="1m")
    steer.wait_record(f"worker/{worker}/process", lambda r: r["state"] == "running" and r["pid"] != pid)
    state_is(steer, "desk", "running")
    pid = pid_of(steer, names[0], "desk")

    directory.put("desk", password="nobody may read this", default_risk={"risk_percent": 3})
    steer.wait_record("alarm/account_invalid/desk", lambda r: r is not None)
    assert steer.record("alarm/account_invalid/desk")["message"].count("must be a reference") == 1
    assert pid_of(steer, names[0], "desk") == pid
    directory.put("desk", password=f"file:{secret}", enabled=False)
    state_is(steer, "desk", "stopped", error="is disabled")
    directory.put("desk", password=f"file:{secret}")
    state_is(steer, "desk", "running")
    directory.remove("desk")
    steer.wait_record("account/desk/status", lambda r: r is None)
    steer.wait_record(f"worker/{worker}/process", lambda r: r is None)
    assert everything.holding("the-password-itself", "nobody may read this") == []
    assert all("/cmd/" in topic for topic in everything.holding(str(secret)))
    everything.client.close()


def test_a_plan_waits_for_its_command(broker, names, make_node, manager, directory, steer):
    make_node(names[0])
    directory.defaults(watch="plan")
    directory.put("first")
    state_is(steer, "first", "created")
    steer.account("first", "start")
    pid = pid_of(steer, names[0], "first")
    directory.put("first", timeout="2m")
    directory.put("second")
    plan = steer.manager("accounts_reload", {"apply": False})["result"]
    assert [(c["account"], c["change"], c.get("effect")) for c in plan["plan"]] == [
        ("first", "changed", "restart"), ("second", "added", None)]
    assert plan["plan"][0]["keys"] == [{"key": "timeout", "effect": "restart", "from": "30s", "to": "2m"}]
    assert not plan["applied"] and pid_of(steer, names[0], "first") == pid
    steer.refused("manager", "accounts_start", {"accounts": ["frist"]}, "not_found", 'did you mean', phase="rejected")
    refused = steer.account("second", "start", phase="failed")
    assert "only planned" in refused["message"]
    assert steer.manager("accounts_reload", {"apply": True})["result"]["changes"] == 2
    steer.wait_record(f"worker/{names[0]}/account-first/process", lambda r: r["state"] == "running" and r["pid"] != pid)
    steer.account("second", "start")
    state_is(steer, "second", "running")


def test_wrong_arguments_are_named(broker, names, make_node, manager, directory, steer):
    directory.put("desk")
    state_is(steer, "desk", "created")
    for args, named in [({"all": True, "canry": 1}, "canry"), ({"all": "perhaps"}, "all"), ({"all": True, "timeout": 5}, "timeout"),
                        ({"all": True, "canary": -1}, "canary"), ({}, "accounts"), ({"all": True, "accounts": "desk"}, "all"),
                        ({"accounts": {"a": 1}}, "accounts"), ({"all": True, "validate": []}, "validate")]:
        steer.refused("manager", "accounts_start", args, "invalid", named)
    steer.refused("account/desk", "stop", {"grace": "soon"}, "invalid", "grace")
    steer.refused("account/desk", "strat", None, None, "start")
    steer.refused("account/dask", "start", None, "not_found", "desk")
    steer.refused("account/dask", "status", None, "not_found", "desk")


def test_a_killed_manager_starts_nobody_twice(broker, names, make_node, manager, directory, steer):
    """kill -9 in the middle of a start of 30 over two nodes; the next manager finishes it, and answers the command."""
    for name in names[:2]:
        make_node(name)
    for i in range(30):
        directory.put(f"desk-{i:02}", worker={"command": ["sleep", "infinity"], "ready": {"mode": "immediate"}})
    state_is(steer, "desk-29", "created")
    command = steer.command("manager", "accounts_start", {"all": True})

    def running():
        return [r for b, r in steer.records.items() if b.startswith("worker/") and b.endswith("/process") and r and r["state"] == "running"]
    steer.wait(lambda: len(running()) >= 5, what="some of 30 running")
    manager.kill()
    manager.start()
    steer.wait(lambda: len(running()) == 30, deadline=60, what="all of 30 running")
    result = command.terminal(60)
    assert result["phase"] == "done" and result["result"]["started"] == 30, result
    assert sorted(r["account"] for r in running()) == [f"desk-{i:02}" for i in range(30)]
    assert all(len({topic.split("/")[1] for topic in steer.history if topic.endswith(f"/account-desk-{i:02}/process")}) == 1
               for i in range(30)), "one node each, ever"
    assert steer.manager("accounts_stop", {"all": True})["result"]["stopped"] == 30


def test_a_lost_node_s_accounts_stay_where_they_are(broker, names, make_node, manager, directory, steer):
    node = make_node(names[0])
    directory.put("desk")
    state_is(steer, "desk", "created")
    steer.account("desk", "start")
    make_node(names[1])
    node.signal(signal.SIGSTOP)
    steer.wait_record(f"alarm/accounts_unreachable/{names[0]}", lambda r: r is not None, deadline=60)
    record = state_is(steer, "desk", "running", node=names[0])
    assert "not started elsewhere" in record["error"]
    assert steer.account("desk", "stop", phase="failed")["message"].count("can't be seen") == 1
    state_is(steer, "desk", "stopping")
    node.signal(signal.SIGCONT)
    state_is(steer, "desk", "stopped", deadline=60)
    steer.wait_record(f"alarm/accounts_unreachable/{names[0]}", lambda r: r is None)
    assert f"worker/{names[1]}/account-desk/process" not in steer.history


def test_all_or_nothing_and_canaries(broker, names, make_node, manager, directory, steer):
    make_node(names[0])
    for account in ("a", "b", "c"):
        directory.put(account)
    directory.put("d", worker={"type": None, "command": ["sh", "-c", "exit 3"], "restart": {"limit": 2, "initial": "10ms"},
                               "ready": None})
    state_is(steer, "d", "created")
    nothing = steer.manager("accounts_start", {"all": True, "all_or_nothing": True}, phase="failed", deadline=60)["result"]
    assert nothing["started"] == 0
    assert {name: outcome["outcome"] for name, outcome in nothing["accounts"].items()} == {
        "a": "undone", "b": "undone", "c": "undone", "d": "failed"}
    for account in ("a", "b", "c"):
        state_is(steer, account, "stopped")
    canary = steer.manager("accounts_start", {"accounts": ["d", "a", "b"], "canary": 1}, phase="failed", deadline=60)["result"]
    assert (canary["failed"], canary["skipped"]) == (1, 2)
    assert steer.record("account/a/status")["state"] == "stopped"


def test_a_stopped_fleet_starts_no_account(broker, names, make_node, manager, directory, steer):
    make_node(names[0])
    directory.put("desk")
    directory.put("idle")
    state_is(steer, "idle", "created")
    steer.account("desk", "start")
    steer.manager("stop", {"all": True})
    state_is(steer, "desk", "stopped")
    steer.refused("account/idle", "start", None, "conflict", "the fleet is stopped")
    manager.restart()
    state_is(steer, "desk", "stopped")
    steer.manager("start", {"all": True})
    state_is(steer, "desk", "running")
    assert steer.record("account/idle/status")["state"] == "created"


def test_a_hangup_reads_the_files(broker, names, make_manager, directory, steer):
    """Where no change is seen (a network file system), SIGHUP says that there is one; it is shown here by speed alone."""
    manager = make_manager(accounts_dir=str(directory.path))
    directory.put("desk")
    manager.process.send_signal(signal.SIGHUP)
    state_is(steer, "desk", "created")
    assert manager.running
