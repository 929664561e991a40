"""One id is one execution and one answer, also over a killed manager; what is wrong is refused with its name; no payload
harms the manager; on a full disk commands fail with the reason, and nothing of them stays."""
import json
import os
import random
import subprocess
import time

import msgpack
import pytest

import harness
import managers  # noqa: F401  (the folder of `nodes` and `payloads`)
import nodes
import payloads
from nodes import now_ms

TEMPLATE = {"template": {"command": nodes.SLEEPER}}
KEYS = ("size", "by", "pool", "template", "holder", "lease", "lease_id", "wait", "version", "all", "timeout", "accounts",
        "kind", "subject", "note", "require", "count", "offset", "limit", "dry_run")


def pool_size(steer, pool="demo"):
    return steer.pool(pool, "describe")["result"]["status"]["size"]


@pytest.fixture
def demo(manager, steer):
    """A pool that has nowhere to go: its size is all that counts."""
    steer.pool("demo", "apply", {"size": 0, "max": 100, **TEMPLATE})
    return manager


def envelope(steer, command_id, **fields):
    return msgpack.packb({"id": command_id, "reply_to": steer.reply_topic(command_id), **fields})


# ---- once ------------------------------------------------------------------------------------------------------------

def test_the_same_id_is_one_execution_and_the_same_answer(demo, steer):
    """A relative scale, twice with one id, and again after kill -9: the pool has grown once."""
    first = steer.pool("demo", "scale", "+3", command_id="same-1")
    for _ in range(2):
        command = steer.command("pool/demo", "scale", {"size": "+3"}, command_id="same-1")
        steer.wait(lambda: len(command.terminals()) == 2, what="the same answer again")
        assert command.terminals() == [first, first]
        assert pool_size(steer) == 3
        del steer.replies["same-1"][1:]
        demo.kill()
        demo.start()
    assert len(demo.database("SELECT id FROM journal WHERE id = 'same-1'")) == 1


def test_many_at_once_with_one_id_are_one_execution(demo, steer):
    for _ in range(50):
        steer.publish("pool/demo", "scale", envelope(steer, "burst", args={"size": "+1"}), wait=False)
    steer.wait(lambda: len(steer.replies.get("burst", [])) >= 50, what="50 answers")
    assert {r["phase"] for r in steer.replies["burst"]} <= {"done", "running"}
    assert len({r["result"]["size"] for r in steer.replies["burst"] if r["phase"] == "done"}) == 1
    assert pool_size(steer) == 1


def test_an_id_belongs_to_one_command(demo, steer):
    steer.pool("demo", "scale", "2", command_id="taken")
    for target, op, args in (("pool/demo", "scale", {"size": 5}), ("pool/demo", "pause", {}), ("manager", "backup", {})):
        command = steer.command(target, op, args, command_id="taken")
        steer.wait(lambda: len(command.terminals()) == 2, what="the refusal")
        reply = command.terminals()[1]
        assert reply["phase"] == "rejected" and reply["code"] == "conflict" and "7 days" in reply["message"], reply
        del steer.replies["taken"][1:]
    assert pool_size(steer) == 2


@pytest.mark.parametrize("seed", range(4))
def test_a_kill_at_any_instant_does_not_repeat_a_command(demo, steer, seed):
    """30 relative scales; the manager is killed somewhere among them; then each is sent again with its id. All are done,
    each once, and each sender has an answer."""
    rng = random.Random(seed)
    ids = [steer.new_id() for _ in range(30)]
    for command_id in ids:
        steer.publish("pool/demo", "scale", envelope(steer, command_id, args={"by": 1}), wait=False)
    at = rng.randrange(30)
    steer.wait(lambda: len(steer.replies.get(ids[at], [])) > 0, what=f"answer {at}")
    demo.kill()
    demo.start()
    answered = {i: steer.replies[i][-1] for i in ids if steer.replies.get(i)}
    for command_id in ids:
        steer.replies.pop(command_id, None)
        command = nodes.Command(steer, command_id, "scale")
        steer.publish("pool/demo", "scale", envelope(steer, command_id, args={"by": 1}))
        reply = command.terminal()
        assert reply["phase"] == "done", reply
        assert command_id not in answered or answered[command_id]["result"] == reply["result"]
    assert pool_size(steer) == 30


def test_an_acquire_that_waits_outlives_a_killed_manager(demo, steer):
    """It was accepted and has no end yet: whoever asks again at any time hears `running`, never that nothing is known, and
    its end comes once."""
    command = steer.command("pool/demo", "acquire", {"wait": "3s"})
    command.phase("accepted")
    demo.kill()
    demo.start(ready=False)
    harness.wait_until(lambda: [steer.publish("pool/demo", "acquire", envelope(steer, command.id, args={"wait": "3s"})),
                                len(command.replies) > 1][1], interval=0.01, what="an answer")
    reply = command.terminal()
    assert reply["phase"] == "failed" and reply["code"] == "timeout", command.replies
    assert set(command.phases) <= {"accepted", "running", "failed"}, command.phases


def test_a_late_question_is_answered_with_what_was_done(demo, steer):
    """The same id after its command expired: what became of it, not `expired`, which would say that it was not done."""
    body = {"args": {"size": "+1"}, "expires_at": now_ms() + 1500}
    steer.publish("pool/demo", "scale", envelope(steer, "late", **body))
    done = nodes.Command(steer, "late", "scale").terminal()
    harness.wait_until(lambda: now_ms() > body["expires_at"], what="the expiry")
    steer.publish("pool/demo", "scale", envelope(steer, "late", **body))
    steer.wait(lambda: len(steer.replies["late"]) == 2)
    assert steer.replies["late"] == [done, done] and pool_size(steer) == 1


# ---- refused ---------------------------------------------------------------------------------------------------------

def test_expired_far_dated_retained_and_unexpected(demo, steer):
    steer.refused("pool/demo", "scale", {"size": 9}, "timeout", "expired", phase="expired", expires_at=now_ms() - 1)
    steer.refused("pool/demo", "scale", {"size": 9}, "invalid", "7 days", expires_at=now_ms() + 8 * 86400 * 1000)
    steer.refused("pool/demo", "scale", {"size": 9}, "conflict", "epoch", expect={"epoch": 5})
    for target, op in (("pool/demo", "scale"), ("manager", "stop")):
        command = nodes.Command(steer, steer.new_id(), op)
        steer.publish(target, op, envelope(steer, command.id, args={"size": 9}), retain=True)
        reply = command.terminal()
        assert reply["phase"] == "rejected" and "retained" in reply["message"], reply
        steer.publish(target, op, b"", retain=True)
    assert pool_size(steer) == 0


def test_what_is_not_there_is_named_with_what_is_near(demo, steer):
    steer.refused("pool/demo", "scael", {}, "not_found", "did you mean 'scale'?")
    steer.refused("manager", "lsit", {}, "not_found", "did you mean 'list'?")
    steer.refused("account/a", "sart", {}, "not_found", "did you mean 'start'?")
    steer.refused("pool/dmeo", "scale", {"size": 1}, "not_found", "demo")
    steer.refused("pool/demo", "scale", {"sise": 1}, "invalid", "args.sise")
    steer.refused("pool/demo", "pause", {"x": 1}, "invalid", "args.x")
    steer.refused("pool/demo", "apply", {"size": "many", **TEMPLATE}, "invalid", "size")


def test_a_reply_address_is_no_way_to_write_records(demo, steer):
    for below in ("manager/main/status", "pool/demo/status", "pool/demo/cmd/delete", "fleet/a/b"):
        steer.publish("pool/demo", "scale", msgpack.packb({"reply_to": steer.broker.topic(below), "args": {"size": "bad"}}))
    assert pool_size(steer) == 0 and demo.running
    assert all(b"bad" not in m.payload for m in steer.client.of(steer.broker.topic("pool/demo/status")))


# ---- whatever arrives ------------------------------------------------------------------------------------------------

def ops():
    text = subprocess.run([harness.BIN / "reeve-manager", "--doc", "ops"], capture_output=True, text=True, check=True).stdout
    found = [word for line in text.splitlines() for word in line.replace("`", " ").replace("|", " ").split()[:1]]
    return sorted({word for word in found if word.isidentifier() and word.islower()})


def test_thousands_of_random_payloads_leave_the_manager_as_it_is(demo, steer, monkeypatch):
    """Bytes, msgpack-like, JSON-like and mutated payloads on every op of manager, pools and accounts. The same process, the
    same session, bounded memory, no failure of a sanitizer, and it still does what it is told."""
    monkeypatch.setattr(payloads, "KEYS", payloads.KEYS + KEYS)
    seed = int(os.environ.get("REEVE_SEED", time.time_ns() % 1000000))
    print(f"seed {seed} (REEVE_SEED)")
    rng = random.Random(seed)
    names = ops() + ["nonsense"]
    assert {"list", "stop", "scale", "apply", "acquire", "accounts_start"} <= set(names), names
    epoch = steer.record("manager/main/status")["epoch"]
    sizes, batch, sent = [], 500, 0
    for _ in range(16):
        for _ in range(batch):
            target = rng.choice(("manager", "pool/demo", "pool/other", "account/a"))
            steer.publish(target, rng.choice(names), payloads.random_payload(rng), wait=False)
            sent += 1
        harness.wait_until(lambda: steer.manager("describe")["result"]["counters"]["commands"] >= sent, 60,
                           what=f"{sent} commands counted")
        sizes.append(demo.rss())
        steer.client.clear()
        steer.replies.clear()
        steer.history.clear()
    assert demo.running, demo.log()[-3000:]
    half = len(sizes) // 2
    assert max(sizes[half:]) <= max(sizes[:half]) + 6 * 1024 * 1024, f"seed {seed}: grows: {sizes}"
    assert steer.record("manager/main/status")["epoch"] == epoch, f"seed {seed}: the session was lost"
    for bomb in (b"\xdf\xff\xff\xff\xff", b"\x81\xa1x" + b"\x91" * 100000, b'{"x":' + b"[" * 100000, b"x" * 900000):
        steer.publish("pool/demo", "apply", bomb)
    steer.manager("start", {"all": True}, None)  # chance may have found `stop`
    steer.pool("told", "apply", {"size": 0, **TEMPLATE})
    steer.pool("told", "scale", "1")
    assert not steer.undecoded, steer.undecoded[:3]


# ---- a full disk -----------------------------------------------------------------------------------------------------

@pytest.fixture
def small_disk(tmp_path):
    path = tmp_path / "disk"
    path.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m,mode=0700", "reeve-test", path], check=False).returncode:
        pytest.skip("no tmpfs can be mounted here")
    yield path
    subprocess.run(["umount", "-l", path], check=True)


def fill(disk):
    filler = disk / "filler"
    with open(filler, "ab", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 4096)
        except OSError:
            pass
    return filler


def test_on_a_full_disk_commands_fail_whole_and_it_recovers_by_itself(small_disk, make_manager, steer):
    manager = make_manager(state_dir=small_disk / "state")
    steer.pool("demo", "apply", {"size": 1, "max": 100, **TEMPLATE})
    waiting = steer.command("pool/demo", "acquire", {"wait": "3s"})
    waiting.phase("accepted")
    filler = fill(small_disk)
    for _ in range(3):
        steer.refused("pool/demo", "scale", {"size": 5}, "io", "disk", phase="failed", command_id="once")
        del steer.replies["once"]
        steer.refused("pool/other", "apply", {"size": 1, **TEMPLATE}, "io", "disk", phase="failed")
        assert pool_size(steer) == 1
        steer.refused("pool/other", "describe", {}, "not_found")
    # Reading needs no disk, and an emergency neither.
    assert steer.manager("list")["result"]["total"] == 0
    assert steer.manager("stop", {"all": True})["phase"] == "done"
    # What was in hand ends with the reason, once; asked again it is the same answer.
    ended = waiting.terminal(30)
    assert ended["phase"] == "failed" and ended["code"] in ("io", "timeout"), ended
    steer.publish("pool/demo", "acquire", envelope(steer, waiting.id, args={"wait": "3s"}))
    steer.wait(lambda: len(waiting.terminals()) == 2, what="the answer again")
    assert waiting.terminals()[1]["phase"] == "failed"
    assert manager.running and manager.log().count("state=failing") >= 1
    filler.unlink()
    harness.wait_until(lambda: steer.pool("demo", "scale", "5", None)["phase"] == "done",
                       30, what="a scale that is done")
    manager.wait_log("state=recovered")
    # The end of what was in hand is on disk too, so that the next manager does not do it again.
    harness.wait_until(lambda: manager.database("SELECT phase FROM journal WHERE id = ?", waiting.id) == [("failed",)], 20,
                       what="the end recorded")
    manager.kill()
    manager.start()
    assert pool_size(steer) == 5
    # The id whose command was not done is free.
    assert steer.pool("demo", "scale", "7", command_id="once")["result"]["size"] == 7


def test_files_of_pools_are_applied_when_the_disk_takes_them(small_disk, tmp_path, make_manager, steer):
    """More than there is room for when the manager starts: what it read in pools_dir is undone with its turn as a whole, and
    read again later."""
    folder = tmp_path / "pools"
    folder.mkdir()
    pools = [{"name": f"filed-{i}", "size": 0, "template": {"command": nodes.SLEEPER, "env": {"X": "x" * 4000}}} for i in range(60)]
    (folder / "filed.json").write_text(json.dumps({"pools": pools}))
    manager = make_manager(state_dir=small_disk / "state")
    manager.stop()
    filler = fill(small_disk)
    os.truncate(filler, filler.stat().st_size - 200 * 1024)
    manager.section["pools_dir"] = str(folder)
    manager.start()
    manager.wait_log("state=failing")
    for i in (0, 59):
        steer.refused(f"pool/filed-{i}", "describe", {}, "not_found")
    filler.unlink()
    harness.wait_until(lambda: steer.pool("filed-59", "describe", None, None)["phase"] == "done", 20, what="the pool of the file")
    steer.pool("filed-0", "describe")
