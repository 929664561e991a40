"""Of two managers one leaves, with the exit code that says: do not start it again; of epochs the higher one is taken over;
a start that fails half-way says why and leaves nothing open; SIGTERM is obeyed at any time."""
import signal
import sqlite3
import time

import msgpack
import pytest

import harness
import nodes

DUPLICATE = 125


def status(steer, name="main"):
    return steer.record(f"manager/{name}/status")


def ended(manager, deadline=harness.DEADLINE):
    return manager.process.wait(deadline)


# ---- two of them -----------------------------------------------------------------------------------------------------

def test_of_two_with_the_same_name_the_former_leaves(make_manager, steer):
    """As of two workers of one name: the newer session has the name. The former neither says goodbye for it nor is
    started again."""
    first = make_manager("first")
    steer.wait_record("manager/main/status", lambda s: s["pid"] == first.pid)
    second = make_manager("second")
    assert ended(first) == DUPLICATE
    last = steer.wait_record("manager/main/status", lambda s: s["pid"] == second.pid)
    assert last["state"] == "online"
    steer.pool("demo", "apply", {"size": 0, "template": {"command": nodes.SLEEPER}})
    assert second.running and status(steer)["pid"] == second.pid and status(steer)["state"] == "online"


@pytest.mark.parametrize("round", range(6))
def test_of_two_that_start_together_one_stays(make_manager, steer, round):
    both = [make_manager(directory, start=False) for directory in ("first", "second")]
    for manager in both:
        manager.start(ready=False)
    harness.wait_until(lambda: any(not m.running for m in both), what="one to leave")
    left, stays = sorted(both, key=lambda m: m.running)
    assert left.process.returncode == DUPLICATE and stays.running
    steer.wait_record("manager/main/status", lambda s: s["pid"] == stays.pid and s["state"] == "online")
    steer.manager("list")
    assert stays.running


def test_of_two_with_different_names_the_later_leaves(make_manager, steer):
    first = make_manager("first")
    second = make_manager("second", start=False, name="other")
    second.start(ready=False)
    assert ended(second) == DUPLICATE and "another manager=main" in second.log()
    steer.wait_record("manager/other/status", lambda s: s["state"] == "offline")
    alarm = steer.wait_record("alarm/duplicate/other", lambda a: a is not None)
    assert alarm["detail"]["other"] == "main"
    steer.manager("list")
    assert first.running


def test_a_state_folder_has_one_manager(make_manager, steer):
    first = make_manager("first")
    second = make_manager("second", start=False, state_dir=first.state)
    second.start(ready=False)
    assert ended(second) == 1 and "another manager runs with the state directory" in second.log()
    steer.manager("list")
    assert first.running


# ---- epochs ----------------------------------------------------------------------------------------------------------

def test_an_epoch_below_the_kept_one_is_renewed(broker, make_manager, steer):
    """A lost store and a clock that was set back: what the broker has kept must not outrank this manager."""
    ahead = nodes.now_ms() + 10 ** 9
    broker.client("manager").publish(broker.topic("manager/main/status"), msgpack.packb(
        {"epoch": ahead, "state": "offline", "started_at": 1, "at": 1}), retain=True)
    steer.wait_record("manager/main/status", lambda s: s["epoch"] == ahead)
    manager = make_manager(start=False)
    manager.start()
    steer.wait_record("manager/main/status", lambda s: s["epoch"] > ahead and s["state"] == "online")
    epoch = steer.manager("list")["epoch"]
    assert epoch > ahead
    manager.kill()
    manager.start()
    steer.wait_record("manager/main/status", lambda s: s["epoch"] > epoch)


def test_an_absurd_epoch_ends_nothing(broker, make_manager, steer):
    for epoch in (2 ** 63 - 1, 2 ** 64 - 1, -5, "soon", 2 ** 53):
        broker.client("manager").publish(broker.topic("manager/main/status"), msgpack.packb(
            {"epoch": epoch, "state": "online", "started_at": 1}), retain=True)
        manager = make_manager(f"manager-{epoch}", start=False)
        manager.start()
        steer.manager("list")
        assert manager.running
        assert manager.stop() == 0


# ---- starts that fail -------------------------------------------------------------------------------------------------

def broken(manager, exit_code, says):
    manager.start(ready=False)
    assert ended(manager) == exit_code, manager.log()
    assert says in manager.log(), manager.log()
    manager.close()  # looks for what a sanitizer found


def test_a_state_folder_that_can_not_be_made(make_manager, tmp_path):
    (tmp_path / "file").write_text("")
    broken(make_manager(start=False, state_dir=tmp_path / "file" / "state"), 1, "state")


@pytest.mark.parametrize("section, says", [({"root": "a/#"}, "root"), ({"root": ""}, "root"), ({"name": "no/name"}, "name"),
                                           ({"heartbeat": "soon"}, "heartbeat"), ({"nonsense": 1}, "nonsense")])
def test_a_configuration_that_is_wrong(make_manager, section, says):
    broken(make_manager(start=False, **section), 2, says)


@pytest.mark.parametrize("options, exit_code, says", [
    ({"url": "nonsense://x"}, 2, "url"), ({"ca": "/nonexistent"}, None, "ca")])
def test_a_broker_section_that_is_wrong(make_manager, options, exit_code, says):
    manager = make_manager(start=False, broker_options=options)
    manager.start(ready=False)
    assert ended(manager) in (1, 2), manager.log()
    assert says in manager.log(), manager.log()
    manager.close()


@pytest.mark.parametrize("collection", ["pool", "member", "acquisition", "account", "alarm", "hold"])
def test_a_document_that_does_not_read_back(make_manager, collection):
    """The start fails in the middle of loading, with the name of the document."""
    manager = make_manager(start=False)
    manager.start()
    manager.stop()
    with sqlite3.connect(manager.state / "manager.db") as connection:
        connection.execute("INSERT INTO document(collection, key, value) VALUES(?, 'demo/x', ?)", (collection, b"\xc1"))
    connection.close()
    broken(manager, 1, "demo/x")


@pytest.mark.parametrize("collection", ["pool", "member", "acquisition", "account", "hold"])
def test_a_document_without_sense_is_passed_over(make_manager, steer, collection):
    manager = make_manager(start=False)
    manager.start()
    manager.stop()
    with sqlite3.connect(manager.state / "manager.db") as connection:
        for key, value in (("demo", 5), ("demo/x", {}), ("a/b/c", {"node": "x" * 200, "spec": []}), ("x/y", [])):
            connection.execute("INSERT INTO document(collection, key, value) VALUES(?, ?, ?)",
                               (collection, key, msgpack.packb(value)))
    connection.close()
    manager.start()
    steer.manager("list")
    assert manager.stop() == 0


# ---- the way out ------------------------------------------------------------------------------------------------------

def test_sigterm_says_goodbye(make_manager, steer):
    manager = make_manager()
    assert manager.stop() == 0
    steer.wait_record("manager/main/status", lambda s: s["state"] == "offline")


def test_sigterm_without_a_broker(broker, make_manager):
    never = make_manager("never", start=False)
    broker.stop()
    never.start(ready=False)
    never.wait_log("retrying")
    began = time.monotonic()
    assert never.stop() == 0
    assert time.monotonic() - began < 8


def test_sigterm_after_the_broker_went(broker, make_manager):
    manager = make_manager()
    broker.stop()
    manager.wait_log("lost=")
    began = time.monotonic()
    assert manager.stop() == 0
    assert time.monotonic() - began < 8


@pytest.mark.parametrize("line", ["name=", "epoch=", "ready=true"])
def test_sigterm_during_the_start(make_manager, line):
    manager = make_manager(start=False)
    manager.start(ready=False)
    manager.wait_log(line)
    manager.process.send_signal(signal.SIGTERM)
    assert ended(manager) == 0, manager.log()
    manager.start()  # nothing is left locked
    assert manager.stop() == 0


def test_sigterm_twice(make_manager):
    manager = make_manager()
    for _ in range(2):
        manager.process.send_signal(signal.SIGTERM)
    assert ended(manager) in (0, -signal.SIGTERM)
