"""What a manager must not forget: backups of the running store, checks, restoring; alarms outlive kills of the manager."""
import pathlib
import subprocess

import harness
import nodes

MANAGER = harness.BIN / "reeve-manager"
DUPLICATE = {"kind": "duplicate", "node": "alpha", "worker": "mm-1", "epoch": 5, "pid": 1, "other_epoch": 6,
             "other_pid": 2, "at": 7}


def run(*args):
    return subprocess.run([MANAGER, *map(str, args)], capture_output=True, text=True, timeout=harness.DEADLINE)


def apply(steer, pool):
    steer.pool(pool, "apply", {"size": 0, "template": {"command": nodes.SLEEPER}})


def report_duplicate(broker):
    """As a worker does that leaves its name to another [session-7]."""
    broker.client("worker").publish(broker.topic("alarm/duplicate/mm-1"), nodes.msgpack.packb(DUPLICATE), retain=True)


def pools(manager):
    return {key for (key,) in manager.database("SELECT key FROM document WHERE collection = 'pool'")}


def test_a_backup_of_the_running_store_is_restored(manager, steer):
    apply(steer, "kept")
    backup = steer.manager("backup")["result"]
    path = pathlib.Path(backup["path"])
    assert path.parent == pathlib.Path(manager.state) / "backups"
    assert path.stat().st_size == backup["bytes"] and path.stat().st_mode & 0o777 == 0o600
    assert run("--check-store", path).returncode == 0
    apply(steer, "later")
    assert pools(manager) == {"kept", "later"}
    refused = run("--restore", path, "--state-dir", manager.state)
    assert refused.returncode == 1 and "another manager runs" in refused.stderr
    epoch = steer.record("manager/main/status")["epoch"]
    manager.stop()
    restored = run("--restore", path, "--state-dir", manager.state)
    assert restored.returncode == 0, restored.stderr
    manager.start()
    assert pools(manager) == {"kept"}
    # What was published before does not outrank it, and what it knows nothing of does not stay.
    assert steer.wait_record("manager/main/status", lambda s: s["state"] == "online")["epoch"] > epoch
    assert steer.pool("kept", "describe")["result"]
    steer.refused("pool/later", "describe", {}, "not_found")
    assert len(list(pathlib.Path(manager.state).glob("manager.db.before-restore-*"))) == 1


def test_check_tells_what_is_wrong_and_a_damaged_store_is_refused(manager, steer):
    apply(steer, "demo")
    checked = steer.manager("check")["result"]
    assert checked == {"ok": True, "report": ""}
    path = pathlib.Path(steer.manager("backup")["result"]["path"])
    manager.stop()
    database = pathlib.Path(manager.state) / "manager.db"
    data = bytearray(database.read_bytes())
    data[:4096] = bytes(4096)
    database.write_bytes(data)
    found = run("--check-store", "--state-dir", manager.state)
    assert found.returncode == 1 and "not a database" in found.stdout + found.stderr
    manager.start(ready=False)
    assert manager.process.wait(harness.DEADLINE) == 1
    assert "nothing was changed" in manager.log() and path.name in manager.log()
    assert database.read_bytes() == data
    assert run("--restore", path, "--state-dir", manager.state).returncode == 0
    manager.start()
    assert pools(manager) == {"demo"}


def test_alarms_outlive_a_killed_manager_and_are_acknowledged_by_a_person(broker, manager, steer):
    report_duplicate(broker)
    taken = steer.wait_record("alarm/duplicate/mm-1", lambda a: a and "manager" in a)
    assert taken["severity"] == "error" and taken["count"] == 1 and taken["detail"]["other_pid"] == 2
    steer.refused("manager", "acknowledge", {"kind": "duplicate", "subject": "mm-1"}, "invalid", "by")
    steer.refused("manager", "acknowledge", {"kind": "duplicate", "subject": "mm-2", "by": "Ada"}, "not_found", "mm-1")
    steer.manager("acknowledge", {"kind": "duplicate", "subject": "mm-1", "by": "Ada", "note": "known"})
    manager.kill()
    manager.start()
    listed = steer.manager("alarms")["result"]
    assert listed["total"] == 1
    assert listed["alarms"][0]["acknowledged_by"] == "Ada" and listed["alarms"][0]["note"] == "known"
    assert steer.manager("alarms", {"open_only": True})["result"]["total"] == 0
    # Removed by a daemon it comes back: it is not over.
    broker.client(broker.node).publish(broker.topic("alarm/duplicate/mm-1"), b"", retain=True)
    steer.wait_record("alarm/duplicate/mm-1", lambda a: a is None or "acknowledged_by" in a)
    steer.wait_record("alarm/duplicate/mm-1", lambda a: a is not None and a["acknowledged_by"] == "Ada")


def test_a_lost_store_leaves_no_ghosts_behind(broker, manager, steer):
    report_duplicate(broker)
    steer.wait_record("alarm/duplicate/mm-1", lambda a: a and "manager" in a)
    manager.stop()
    for file in pathlib.Path(manager.state).glob("manager.db*"):
        file.unlink()
    manager.start()
    steer.wait_record("alarm/duplicate/mm-1", lambda a: a is None)
    assert steer.manager("alarms")["result"]["total"] == 0
