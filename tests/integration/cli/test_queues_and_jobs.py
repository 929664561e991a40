"""`reeve queue` and `reeve job` beside a broker and queues that are played: what is sent for what was typed, what is made of answers,
also of those that a real manager rarely gives. With a real one: test_jobs_of_a_site.py."""
import json
import os
import pty
import signal
import subprocess
import threading
import time

import harness
import pytest
from played_queues import PlayedQueues


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    broker = harness.Broker(tmp_path_factory.mktemp("queues") / "broker").start()
    yield broker
    broker.close()


@pytest.fixture
def queues(broker):
    played = PlayedQueues(broker, "mail")
    yield played
    played.close()
    broker.close_clients()


@pytest.fixture
def command(broker, tmp_path):
    """command("job", "ls", ...) -> argv as a role."""
    def make(*arguments, role="admin"):
        password = tmp_path / role
        password.write_text(broker.users[role])
        password.chmod(0o600)
        return [str(harness.BIN / "reeve"), "--broker", f"mqtt://127.0.0.1:{broker.port}", "--user", role, "--password-file",
                str(password), *map(str, arguments)]
    return make


ENV = {**os.environ, "NO_COLOR": "1", "TERM": "dumb"}


@pytest.fixture
def reeve(command):
    def run(*arguments, check=0, role="admin", text=None):
        done = subprocess.run(command(*arguments, role=role), capture_output=True, text=True, timeout=90, env=ENV,
                              **({"stdin": subprocess.DEVNULL} if text is None else {"input": text}))
        assert done.returncode == check, f"{arguments}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done
    return run


@pytest.fixture
def typed(command):
    """A person at a terminal: typed(keys, arguments) -> (exit code, what was shown)."""
    def run(keys, *arguments, stdin=None):
        terminal, other = pty.openpty()
        process = subprocess.Popen(command(*arguments), stdin=other if stdin is None else stdin, stdout=other, stderr=other,
                                   env={**ENV, "TERM": "xterm"})
        os.close(other)
        os.write(terminal, keys)
        said = b""
        try:
            while chunk := os.read(terminal, 4096):
                said += chunk
        except OSError:  # the other side is closed
            pass
        os.close(terminal)
        return process.wait(), said.decode(errors="replace")
    return run


def lines(*jobs):
    return "".join(json.dumps(job) + "\n" for job in jobs)


# ---- what is sent -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments, topic, args", [
    (["queue", "show", "mail"], "describe", {}),
    (["queue", "pause", "mail"], "pause", {}),
    (["queue", "resume", "mail"], "resume", {}),
    (["queue", "drain", "mail"], "drain", {}),
    (["queue", "purge", "mail"], "purge", {"states": ["waiting", "delayed"]}),
    (["queue", "purge", "mail", "--state", "failed", "--state", "completed"], "purge", {"states": ["failed", "completed"]}),
    (["queue", "retry", "mail"], "retry", {"filter": {"state": "failed"}}),
    (["queue", "retry", "mail", "--error", "*time*", "--type", "send", "--older-than", "1h", "--limit", "5"], "retry",
     {"filter": {"type": "send", "error": "*time*", "older_than_ms": 3600000, "limit": 5, "state": "failed"}}),
    (["queue", "rm", "mail"], "delete", {}),
    (["queue", "rm", "mail", "--force"], "delete", {"force": True}),
    (["job", "ls", "mail", "--state", "failed", "--type", "s*", "--key", "k"], "list",
     {"state": "failed", "type": "s*", "key": "k", "limit": 100}),
    (["job", "ls", "mail", "--error", "time*", "--older-than", "1m", "--limit", "7"], "list",
     {"error": "time*", "older_than_ms": 60000, "limit": 7}),
    (["job", "cancel", "mail", "a", "b"], "cancel", {"ids": ["a", "b"]}),
    (["job", "cancel", "mail", "--all"], "cancel", {"filter": {}}),
    (["job", "retry", "mail", "--error", "x"], "retry", {"filter": {"error": "x", "state": "failed"}}),
    (["job", "retry", "mail", "--state", "cancelled"], "retry", {"filter": {"state": "cancelled"}}),
    (["job", "rm", "mail", "--state", "completed", "--older-than", "2d"], "remove",
     {"filter": {"state": "completed", "older_than_ms": 172800000}}),
    (["job", "add", "mail", "send", "-p", '{"to":"kim"}', "--id", "a", "--delay", "5s", "--priority", "9"], "enqueue",
     {"type": "send", "id": "a", "delay_ms": 5000, "priority": 9, "payload": {"to": "kim"}}),
], ids=lambda value: " ".join(value) if isinstance(value, list) else None)
def test_what_was_typed_becomes_the_commands_arguments(queues, reeve, arguments, topic, args):
    for op in ("cancel", "retry", "remove"):
        queues.answers[op] = {"result": {"done": 0, "refused": [], "more": False}}
    reeve(*arguments)
    assert queues.take() == [(f"queue/mail/cmd/{topic}", args)]
    # The same as a line for mosquitto_pub, which sends nothing.
    if "--print-mqtt" in reeve(*arguments[:2], "--help").stdout:
        assert f"-t {queues.broker.root}/queue/mail/cmd/{topic} " in reeve(*arguments, "--print-mqtt").stdout
        assert queues.take() == []


@pytest.mark.parametrize("arguments, says", [
    (["queue", "show", "Mail"], "QUEUE"),
    (["queue", "create"], "which queue?"),
    (["queue", "create", "mail", "--rate", "100"], "--rate"),
    (["queue", "create", "mail", "--attempts", "0"], "--attempts"),
    (["queue", "update", "mail"], "what is to change?"),
    (["queue", "purge", "mail", "--state", "active"], "--state"),
    (["queue", "retry", "mail", "--older-than", "5"], "--older-than"),
    (["job", "add", "mail"], "which type of job?"),
    (["job", "add", "mail", "send", "--payload", "{"], "--payload:1:"),
    (["job", "add", "mail", "send", "--payload", "@/does/not/exist"], "/does/not/exist"),
    (["job", "add", "mail", "send", "--batch-id", "x"], "--batch-id"),
    (["job", "add", "mail", "--file", "-", "--id", "x"], "--id and --file"),
    (["job", "add", "mail", "--file", "-", "--batch-id", "a b"], "--batch-id: 'a b'"),
    (["job", "add", "mail", "--file", "a", "--file", "b"], "one at a time"),
    (["job", "add", "mail", "--file", "/"], "is a directory"),
    (["job", "show", "mail", "a/b"], "ID: 'a/b'"),
    (["job", "cancel", "mail"], "which jobs?"),
    (["job", "cancel", "mail", "a", "--all"], "which of them?"),
    (["job", "retry", "mail", "--state", "dead"], "--state: 'dead'"),
    (["job", "ls", "mail", "--limit", "none"], "--limit"),
], ids=lambda value: " ".join(value) if isinstance(value, list) else None)
def test_2_with_the_argument_named_and_nothing_sent(queues, reeve, arguments, says):
    done = reeve(*arguments, check=1 if "exist" in says else 2)
    assert says in done.stderr and done.stdout == "", done.stderr
    assert queues.take() == []


# ---- queues ---------------------------------------------------------------------------------------------------------


def test_a_queue_is_created_once_and_changed_on_purpose(queues, reeve):
    assert reeve("queue", "create", "sms", "--rate", "100/1s", "--attempts", "5").stdout == "queue sms: created\n"
    assert queues.queues["sms"]["spec"]["attempts"] == 5 and queues.queues["sms"]["spec"]["rate"]["count"] == 100
    assert reeve("queue", "create", "sms", "--rate", "100/1s", "--attempts", "5").stdout == "queue sms: unchanged\n"
    done = reeve("queue", "create", "sms", "--attempts", "2", check=1)
    assert "there already" in done.stderr and "attempts" in done.stderr and "queue update" in done.stderr
    assert queues.queues["sms"]["spec"]["attempts"] == 5
    # With options only these change.
    assert reeve("queue", "update", "sms", "--attempts", "2").stdout == "queue sms: changed: attempts\n"
    assert queues.queues["sms"]["spec"]["attempts"] == 2 and "rate" in queues.queues["sms"]["spec"]
    assert reeve("queue", "update", "sms", "--attempts", "3", "--dry-run").stdout == "queue sms: dry run: changed: attempts\n"
    assert queues.queues["sms"]["spec"]["attempts"] == 2
    answer = json.loads(reeve("queue", "update", "sms", "--attempts", "4", "--json").stdout)
    assert answer["ok"] and answer["commands"][0]["queue"] == "sms"
    done = reeve("queue", "update", "smz", "--attempts", "4", check=1)
    assert "reeve queue create smz" in done.stderr


def test_files_of_queues_are_sent_whole_or_not_at_all(queues, reeve, tmp_path):
    good = tmp_path / "queues.yaml"
    good.write_text("queues:\n  - {name: a, rate: {count: 10, per: 2s}, keep_failed: forever}\n  - {name: b}\n"
                    "---\nkind: queue\nname: c\ntimeout: 30s\n---\nqueue: {name: d, backoff: 2s}\n")
    assert reeve("queue", "create", "-f", good).stdout == "".join(f"queue {name}: created\n" for name in "abcd")
    assert queues.queues["c"]["spec"] == {"timeout": "30s"}
    queues.take()
    bad = tmp_path / "bad.yaml"
    bad.write_text("queues:\n  - name: e\n    atempts: 5\n  - name: E\n  - name: e2\n    timeout: soon\n  - name: e2\n---\nkind: pool\n")
    done = reeve("queue", "update", "-f", bad, check=2)
    for says in ("bad.yaml:3:5: queues[0].atempts: unknown key, did you mean attempts?", "bad.yaml:4:11: queues[1].name",
                 "bad.yaml:6:14: queues[2].timeout", "bad.yaml:9:7: kind: is pool", "mistakes; nothing was applied"):
        assert says in done.stderr, done.stderr
    assert queues.take() == []
    assert len(json.loads(reeve("queue", "update", "-f", bad, "--json", check=2).stdout)["error"]["mistakes"]) >= 4
    one = tmp_path / "one.yaml"
    one.write_text("attempts: 7\n")
    assert reeve("queue", "create", "f", "-f", one, "--concurrency", "3").stdout == "queue f: created\n"
    assert queues.queues["f"]["spec"] == {"attempts": 7, "concurrency": 3}
    assert "name" in reeve("queue", "create", "-f", one, check=2).stderr
    assert "is a, but x was asked for" in reeve("queue", "create", "x", "-f", good, check=2).stderr


def test_queues_are_listed_from_what_is_retained(queues, reeve, broker):
    queues.publish_status("mail", waiting=12, failed=3, oldest_ms=65000, added_per_s=1.5, completed_per_s=250.0, workers=2)
    queues.make("sms")
    queues.publish_status("sms", state="paused")
    text = reeve("queue", "ls", role="viewer").stdout.splitlines()
    assert text[0].split() == ["QUEUE", "STATE", "WAITING", "DELAYED", "ACTIVE", "FAILED", "UNKNOWN", "OLDEST", "IN/S", "OUT/S", "WORKERS"]
    assert text[1].split() == ["mail", "running", "12", "0", "0", "3", "0", "1m5s", "1.5", "250", "2"]
    assert text[2].split()[:2] == ["sms", "paused"]
    assert reeve("queue", "ls", "-q").stdout == "mail\nsms\n"
    assert [one["queue"] for one in json.loads(reeve("queue", "ls", "s*", "--json").stdout)["queues"]] == ["sms"]
    assert queues.take() == []  # nobody was asked
    shown = reeve("queue", "show", "mail").stdout
    assert "alpha/mm-1" in shown and "waiting: 0" in shown
    assert json.loads(reeve("queue", "show", "mail", "--json").stdout)["workers"][0]["capacity"] == 4


def test_a_watched_list_is_shown_again_when_it_changes(queues, command):
    queues.publish_status("mail", waiting=1)
    process = subprocess.Popen(command("queue", "ls", "--watch", "--json"), stdout=subprocess.PIPE, text=True, env=ENV)
    try:
        assert json.loads(process.stdout.readline())["queues"][0]["waiting"] == 1
        queues.publish_status("mail", waiting=2)
        while json.loads(process.stdout.readline())["queues"][0]["waiting"] != 2:
            pass
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
        process.stdout.close()


def test_a_purge_says_how_many_and_asks_first(queues, typed, reeve):
    def fill():
        queues.queues["mail"]["jobs"] = {f"j{i}": {"id": f"j{i}", "state": "waiting" if i < 25 else "delayed", "number": i + 1}
                                         for i in range(31)}
    fill()
    code, said = typed(b"n\n", "queue", "purge", "mail")
    assert code == 1 and "remove 25 waiting and 6 delayed jobs of queue mail? [y/N]" in said and "nothing was done" in said
    assert len(queues.queues["mail"]["jobs"]) == 31
    code, said = typed(b"y\n", "queue", "purge", "mail")
    assert code == 0 and "31 jobs removed" in said
    fill()
    queues.bound = 10  # per command: it goes on until there are none
    code, said = typed(b"", "queue", "purge", "mail", "--yes")
    assert code == 0 and "[y/N]" not in said and "31 jobs removed" in said and queues.queues["mail"]["jobs"] == {}
    fill()
    answer = json.loads(reeve("queue", "purge", "mail", "--dry-run", "--json").stdout)
    assert answer["dry_run"] and len(queues.queues["mail"]["jobs"]) == 31


def test_an_answer_that_does_nothing_is_not_asked_for_again(queues, reeve):
    queues.answers["purge"] = {"result": {"removed": 0, "more": True}}
    assert "0 jobs removed, and there are more" in reeve("queue", "purge", "mail").stdout
    assert len(queues.take()) == 1


# ---- jobs -----------------------------------------------------------------------------------------------------------


def test_a_job_is_added_once(queues, reeve):
    done = reeve("job", "add", "mail", "send", "--payload", '{"to":"kim"}', "--id", "letter-7")
    assert done.stdout == "queue mail: job letter-7 added, on disk\n"
    assert queues.queues["mail"]["jobs"]["letter-7"]["payload"] == {"to": "kim"}
    assert "letter-7 is there already, waiting" in reeve("job", "add", "mail", "send", "-p", '{"to":"kim"}', "--id", "letter-7").stdout
    done = reeve("job", "add", "mail", "send", "-p", '{"to":"lee"}', "--id", "letter-7", check=1)
    assert "another body" in done.stderr
    made = reeve("job", "add", "mail", "send", "-q").stdout.strip()
    assert made in queues.queues["mail"]["jobs"] and len(made) == 26
    reeve("job", "add", "mail", "send", "--payload", "-", text='[1,"two"]')
    assert list(queues.queues["mail"]["jobs"].values())[-1]["payload"] == [1, "two"]
    answer = json.loads(reeve("job", "add", "mail", "send", "--id", "x", "--json").stdout)
    assert answer["ok"] and answer["commands"][0]["result"]["ids"] == ["x"]
    reeve("job", "add", "mail", "send", "--id", "y", "--dry-run")
    assert "y" not in queues.queues["mail"]["jobs"]


def test_a_queue_that_is_not_there_can_be_created_and_that_is_said(queues, reeve):
    for arguments in (["job", "add", "mial", "send"], ["job", "ls", "mial"], ["queue", "pause", "mial"], ["job", "cancel", "mial", "a"]):
        done = reeve(*arguments, check=1)
        assert "did you mean 'mail'?" in done.stderr and "`reeve queue create mial` makes it" in done.stderr, done.stderr
    done = reeve("job", "add", "mial", "--file", "-", check=1, text=lines({"type": "send"}))
    assert "did you mean 'mail'?" in done.stderr and "`reeve queue create mial` makes it" in done.stderr


def test_jobs_are_shown_explained_and_their_logs(queues, reeve):
    reeve("job", "add", "mail", "send", "-p", '{"to":"kim"}', "--id", "a")
    text = reeve("job", "show", "mail", "a").stdout
    assert text.startswith("job a  waiting\n") and "to: kim" in text
    assert json.loads(reeve("job", "show", "mail", "a", "--json").stdout)["payload"] == {"to": "kim"}
    assert reeve("job", "explain", "mail", "a").stdout == ("a waiting: no worker does jobs of type send\n- 2 workers are there\n"
                                                           "- none of them says send\n")
    assert reeve("job", "logs", "mail", "a").stdout == "first line\n\\x1b[2J\n"
    assert reeve("job", "logs", "mail", "a", "--timestamps").stdout.startswith("2023-11-14T22:13:20.000Z 1 first line\n")
    done = reeve("job", "show", "mail", "b", check=1)
    assert 'no job "b"' in done.stderr and "queue create" not in done.stderr


def test_jobs_are_listed_in_pages(queues, reeve):
    for i in range(1203):
        queues.queues["mail"]["jobs"][f"j{i}"] = {"id": f"j{i}", "type": "send", "state": "failed" if i % 2 else "waiting", "number": i + 1}
    assert len(reeve("job", "ls", "mail", "-q").stdout.split()) == 100
    names = reeve("job", "ls", "mail", "-q", "--limit", "5000").stdout.split()
    assert len(set(names)) == 1203 and names[0] == "j1202"
    assert [args["limit"] for _, args in queues.take()] == [100, 500, 500, 500]
    answer = json.loads(reeve("job", "ls", "mail", "--state", "failed", "--limit", "600", "--json").stdout)
    assert len(answer["jobs"]) == 600 and answer["more"]
    done = reeve("job", "ls", "mail")
    assert done.stdout.splitlines()[0].split()[:3] == ["ID", "TYPE", "STATE"] and "there are more" in done.stderr


def test_what_is_done_to_many_goes_on_until_it_is_done(queues, reeve):
    jobs = queues.queues["mail"]["jobs"]
    for i in range(35):
        jobs[f"j{i}"] = {"id": f"j{i}", "type": "send", "state": "failed", "error": "timeout" if i < 25 else "refused", "number": i + 1}
    queues.bound = 10
    assert "7 jobs retried" in reeve("queue", "retry", "mail", "--error", "time*", "--limit", "7").stdout
    assert "18 jobs retried" in reeve("queue", "retry", "mail", "--error", "time*").stdout
    assert "10 jobs retried" in reeve("job", "retry", "mail", "--all").stdout
    assert "35 jobs cancelled" in reeve("job", "cancel", "mail", "--all").stdout
    done = reeve("job", "cancel", "mail", "j1", "nobody", check=1)
    assert "0 jobs cancelled" in done.stdout and 'no job "nobody"' in done.stderr and "j1 is cancelled" in done.stderr
    answer = json.loads(reeve("job", "rm", "mail", "j1", "nobody", "--json", check=1).stdout)
    assert answer["done"] == 1 and answer["refused"][0]["code"] == "not_found" and not answer["ok"]
    assert "34 jobs removed" in reeve("job", "rm", "mail", "--state", "cancelled").stdout and jobs == {}


def test_text_of_others_does_not_obey_the_terminal(queues, reeve):
    evil = "\x1b[2J\x1b]0;owned\x07"
    queues.answers["show"] = {"result": {"id": evil, "state": evil, "error": evil, "result": {evil: evil}, "payload": evil}}
    queues.answers["list"] = {"result": {"jobs": [{"id": evil, "type": evil, "state": evil, "error": evil}], "more": False}}
    queues.answers["describe"] = {"result": {"status": {"state": evil, evil: evil}, "workers": [{"worker": evil, "types": [evil]}]}}
    queues.answers["explain"] = {"result": {"why": evil, "state": evil, "details": [evil]}}
    queues.answers["cancel"] = {"result": {"done": 0, "refused": [{"id": evil, "message": evil}]}}
    queues.answers["enqueue"] = {"result": {"accepted": 0, "duplicates": 0, "rejected": 1, "others": [
        {"index": 0, "outcome": "rejected", "message": evil}]}}
    for arguments, code in ((["job", "show", "mail", "a"], 0), (["job", "ls", "mail"], 0), (["queue", "show", "mail"], 0),
                            (["job", "explain", "mail", "a"], 0), (["job", "cancel", "mail", "a"], 1)):
        done = reeve(*arguments, check=code)
        assert "\x1b" not in done.stdout + done.stderr and "\x07" not in done.stdout + done.stderr, arguments
    done = reeve("job", "add", "mail", "--file", "-", check=1, text=lines({"type": "send"}))
    assert "\x1b" not in done.stdout + done.stderr


def test_a_role_without_the_right_is_told_so(queues, reeve):
    assert "does not let this user" in reeve("queue", "purge", "mail", check=1, role="operator").stderr
    assert "does not let this user" in reeve("job", "ls", "mail", check=1, role="viewer").stderr
    assert "does not let this user" in reeve("job", "add", "mail", "--file", "-", check=1, role="viewer", text=lines({"type": "x"})).stderr
    for allowed in (["job", "add", "mail", "send", "--id", "a"], ["job", "show", "mail", "a"], ["job", "ls", "mail"],
                    ["job", "logs", "mail", "a"], ["queue", "show", "mail"], ["queue", "pause", "mail"], ["queue", "drain", "mail"]):
        reeve(*allowed, role="operator")


def test_a_producer_gives_jobs_and_needs_to_see_nothing(queues, reeve):
    assert "job a added" in reeve("job", "add", "mail", "send", "--id", "a", role="producer").stdout
    assert json.loads(reeve("job", "add", "mail", "--file", "-", "--json", role="producer", text=numbered(3)).stdout)["accepted"] == 3
    assert "does not let this user" in reeve("job", "add", "mail", "send", "--wait", check=1, role="producer").stderr


# ---- waiting ----------------------------------------------------------------------------------------------------------


class Worker(threading.Thread):
    """Ends jobs as they come: `ends(job)` -> the arguments of PlayedQueues.end, None = leaves it."""

    def __init__(self, queues, ends, queue="mail"):
        super().__init__(daemon=True)
        self.queues, self.ends, self.queue, self.leave = queues, ends, queue, False
        self.start()

    def run(self):
        while not self.leave:
            for job_id, job in list(self.queues.queues[self.queue]["jobs"].items()):
                if job["state"] == "waiting" and (end := self.ends(job)) is not None:
                    self.queues.end(self.queue, job_id, **end)
            time.sleep(0.005)  # a played worker looks; the tests themselves wait for ends of programs

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.leave = True
        self.join()


@pytest.mark.parametrize("events", [True, False], ids=["events", "asked"])
def test_wait_prints_the_result_and_leaves_by_the_outcome(queues, reeve, events):
    queues.events = events
    with Worker(queues, lambda job: job["payload"]):
        done = reeve("job", "add", "mail", "send", "--wait", "-p", '{"result": {"sent": 3}}')
        assert json.loads(done.stdout) == {"sent": 3} and done.stderr == ""
        done = reeve("job", "add", "mail", "send", "--wait", "-p", '{"state": "failed", "error": "no such person"}', check=1)
        assert done.stdout == "" and "failed: no such person" in done.stderr
        done = reeve("job", "add", "mail", "send", "--wait", "-p", '{"state": "cancelled"}', "--json", check=1)
        assert json.loads(done.stdout)["jobs"][0]["state"] == "cancelled"
        assert not json.loads(done.stdout)["ok"]
        # One that is there already is waited for just the same.
        reeve("job", "add", "mail", "send", "--id", "a", "-p", '{"result": 7}', "--wait")
        assert reeve("job", "add", "mail", "send", "--id", "a", "-p", '{"result": 7}', "--wait").stdout == "7\n"


def test_wait_ends_with_3_when_the_job_does_not(queues, reeve):
    done = reeve("job", "add", "mail", "send", "--id", "slow", "--wait", "--timeout", "1s", check=3)
    assert "job slow is waiting" in done.stderr and "reeve job explain mail slow" in done.stderr
    # It did not ask faster than it has to: at once, after 20, 40, 80, ... ms, then once a second.
    assert 2 <= len([topic for topic, _ in queues.take() if topic.endswith("/show")]) <= 6


def test_a_job_that_is_forgotten_at_once_is_no_success(queues, reeve):
    queues.answers["show"] = {"phase": "rejected", "code": "not_found", "message": "no job"}
    assert "forgotten" in reeve("job", "add", "mail", "send", "--wait", check=1).stderr


def test_an_import_waits_for_all_of_its_jobs(queues, reeve):
    text = lines(*({"type": "send", "payload": {"state": "failed" if i % 100 == 7 else "completed"}} for i in range(1000)))
    with Worker(queues, lambda job: job["payload"]):
        done = reeve("job", "add", "mail", "--file", "-", "--wait", "--json", text=text, check=1)
        answer = json.loads(done.stdout)
        assert (answer["accepted"], answer["completed"], answer["failed"]) == (1000, 990, 10) and not answer["ok"]
        reeve("job", "add", "mail", "--file", "-", "--wait", text=lines({"type": "send", "payload": {}}))


# ---- importing ----------------------------------------------------------------------------------------------------------


def numbered(count, **more):
    return "".join(json.dumps({"type": "send", "payload": {"n": i, "text": "x" * 70}, **more}) + "\n" for i in range(count))


def test_all_of_a_pipe_arrives_once_and_in_order(queues, reeve):
    answer = json.loads(reeve("job", "add", "mail", "--file", "-", "--batch-id", "b", "--json", text=numbered(100000)).stdout)
    assert answer["ok"] and answer["complete"] and answer["accepted"] == 100000 and answer["rejected"] == 0
    jobs = queues.queues["mail"]["jobs"]
    assert [job["payload"]["n"] for job in jobs.values()] == list(range(100000))
    assert list(jobs)[:2] == ["b-1", "b-2"]
    sizes = [len(args["jobs"]) for _, args in queues.take()]
    assert max(sizes) <= 1000 and len(sizes) < 400, sizes  # what has piled up travels together
    # The same again: nothing twice.
    answer = json.loads(reeve("job", "add", "mail", "--file", "-", "--batch-id", "b", "--json", text=numbered(100000)).stdout)
    assert (answer["accepted"], answer["duplicates"]) == (0, 100000) and answer["ok"] and len(jobs) == 100000
    # And without that id they are other jobs.
    reeve("job", "add", "mail", "--file", "-", text=numbered(5))
    assert len(jobs) == 100005


def test_a_file_has_options_for_what_its_lines_do_not_say(queues, reeve, tmp_path):
    path = tmp_path / "jobs.jsonl"
    path.write_text('{"payload": 1}\r\n\n  \n{"payload": 2, "type": "call", "priority": 9, "id": "mine"}\n{"payload": "\\ud83d\\ude42"}')
    done = reeve("job", "add", "mail", "send", "--file", path, "--priority", "1", "--batch-id", "b", "--key", "k")
    assert done.stdout.startswith("queue mail: 3 jobs added, on disk; ")
    jobs = queues.queues["mail"]["jobs"]
    assert list(jobs) == ["b-1", "mine", "b-5"]
    assert (jobs["b-1"]["type"], jobs["b-1"]["priority"], jobs["b-1"]["key"]) == ("send", 1, "k")
    assert (jobs["mine"]["type"], jobs["mine"]["priority"]) == ("call", 9) and jobs["b-5"]["payload"] == "\U0001f642"


def test_a_wrong_line_is_told_with_its_number_and_the_rest_is_added(queues, reeve, tmp_path):
    path = tmp_path / "jobs.jsonl"
    path.write_text('{"type":"send"}\n{"type":"send",}\n[1]\n{"type":"send","payloda":1}\n{"type":"send","priority":11}\n'
                    '{"type":"send","id":"taken","payload":2}\n{"type":"send"}\n')
    reeve("job", "add", "mail", "send", "--id", "taken", "-p", "1")
    done = reeve("job", "add", "mail", "--file", path, check=1)
    assert "2 jobs added" in done.stdout and "5 rejected" in done.stdout
    for says in (f"{path}:2:16: ", f"{path}:3: list given", f"{path}:4: payloda", f"{path}:5: priority",
                 f"{path}:6: job taken is there with another body"):
        assert says in done.stderr, done.stderr
    answer = json.loads(reeve("job", "add", "mail", "--file", path, "--json", check=1).stdout)
    assert answer["rejected"] == 5 and answer["complete"] and not answer["ok"]
    assert sorted(mistake["line"] for mistake in answer["mistakes"]) == [2, 3, 4, 5, 6]


def test_of_many_wrong_lines_the_first_are_named(queues, reeve):
    done = reeve("job", "add", "mail", "--file", "-", check=1, text="{}\n" * 500)
    assert done.stderr.count("standard input:") == 20 and "500 rejected (the first 20 are named)" in done.stdout


def test_a_line_that_is_too_long_is_one_mistake(queues, reeve):
    text = '{"type":"send"}\n{"type":"send","payload":"' + "x" * (5 << 20) + '"}\n{"type":"send","payload":"' + "y" * (
        400 << 10) + '"}\n{"type":"send","payload":"' + "z" * (1100 << 10) + '"}\n{"type":"send"}\n'
    done = reeve("job", "add", "mail", "--file", "-", check=1, text=text)
    assert "3 jobs added" in done.stdout and "2 rejected" in done.stdout, done.stdout + done.stderr
    assert "standard input:2: longer than" in done.stderr and "standard input:4: " in done.stderr


def test_a_full_queue_is_waited_for_with_the_same_commands(queues, reeve):
    tries = {}

    def full(_queue, args, command):
        tries.setdefault(command["id"], []).append(args)
        return {"phase": "rejected", "code": "limit", "message": "queue mail has 2000 jobs, the most it may have"} if len(
            tries[command["id"]]) <= 2 else None
    queues.answers["enqueue"] = full
    done = reeve("job", "add", "mail", "--file", "-", "--json", text=numbered(20000))
    answer = json.loads(done.stdout)
    assert answer["accepted"] == 20000 and answer["sent_again"] >= 2 * len(tries) - 20
    jobs = queues.queues["mail"]["jobs"]
    assert len(jobs) == 20000 and all(first == args for args_of in tries.values() for first, *rest in [args_of] for args in rest)
    # One that stays full is given up when a time was named, and is told before.
    queues.answers["enqueue"] = {"phase": "rejected", "code": "limit", "message": "queue mail is full"}
    done = reeve("job", "add", "mail", "--file", "-", "--timeout", "1500ms", text=numbered(10), check=3)
    assert "queue mail is full; waiting" in done.stderr and "--batch-id" in done.stderr


def test_of_a_command_that_finds_no_room_for_all_the_rest_is_sent_again(queues, reeve):
    """Job by job, with what is wrong told once; in order, since they have a key."""
    queues.room = 130
    text = numbered(700, key="k") + lines({"type": "send", "id": "b-7", "payload": "another"}) + numbered(700)
    with Worker(queues, lambda job: {"state": "completed"}):
        done = reeve("job", "add", "mail", "--file", "-", "--batch-id", "b", "--json", text=text, check=1)
    answer = json.loads(done.stdout)
    assert (answer["accepted"], answer["rejected"], answer["duplicates"]) == (1400, 1, 0) and answer["sent_again"] > 5, answer
    assert [mistake["line"] for mistake in answer["mistakes"]] == [701] and done.stderr.count("standard input:") == 1
    assert list(queues.queues["mail"]["jobs"]) == [f"b-{i}" for i in range(1, 1402) if i != 701]


def test_a_command_without_an_answer_is_sent_again_with_its_id(queues, reeve):
    lost = set()

    def forgetful(_queue, _args, command):
        if command["id"] not in lost:
            lost.add(command["id"])
            return {"phase": "running"}  # and then nothing
        return None
    queues.answers["enqueue"] = forgetful
    answer = json.loads(reeve("job", "add", "mail", "--file", "-", "--json", "--timeout", "9s", text=numbered(2500)).stdout)
    assert answer["accepted"] == 2500 and answer["sent_again"] == len(lost)


def test_nobody_answers_and_that_ends_with_3_and_the_way_to_go_on(queues, reeve):
    queues.silent.add("enqueue")
    done = reeve("job", "add", "mail", "--file", "-", "--timeout", "1s", "--batch-id", "monday", text=numbered(5), check=3)
    assert "no answer" in done.stderr and "--batch-id monday goes on" in done.stderr
    answer = json.loads(reeve("job", "add", "mail", "--file", "-", "--timeout", "1s", "--json", text=numbered(5), check=3).stdout)
    assert not answer["ok"] and not answer["complete"] and answer["error"]["code"] == "timeout"


def test_what_is_there_is_sent_at_once(queues, command):
    """A slow producer: each line is in the queue before the next one is written."""
    process = subprocess.Popen(command("job", "add", "mail", "send", "--file", "-", "--json"), stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, text=True, env=ENV)
    jobs = queues.queues["mail"]["jobs"]
    for i in range(5):
        process.stdin.write(f'{{"payload": {i}}}\n')
        process.stdin.flush()
        harness.wait_until(lambda: len(jobs) == i + 1, what=f"job {i}")
    process.stdin.write('{"payload": 5}')  # without an end of line
    process.stdin.close()
    assert process.wait(20) == 0 and json.loads(process.stdout.read())["accepted"] == 6
    process.stdout.close()


def test_an_interrupted_import_goes_on_with_its_batch_id(queues, command, reeve, tmp_path):
    path = tmp_path / "jobs.jsonl"
    path.write_text(numbered(3000))
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    process = subprocess.Popen(command("job", "add", "mail", "--file", fifo), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               text=True, env=ENV)
    jobs = queues.queues["mail"]["jobs"]
    with open(fifo, "w") as pipe:
        pipe.write(numbered(1234))
        pipe.flush()
        harness.wait_until(lambda: len(jobs) == 1234, what="the first part")
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=20)
    assert process.returncode == 1 and f"stopped at {fifo}:1234" in said, said
    batch = said.split("--batch-id ")[1].split()[0]
    answer = json.loads(reeve("job", "add", "mail", "--file", path, "--batch-id", batch, "--json").stdout)
    assert (answer["accepted"], answer["duplicates"]) == (1766, 1234) and len(jobs) == 3000


def test_a_broker_that_restarts_loses_nothing(tmp_path, command):
    broker = harness.Broker(tmp_path / "other").start()
    try:
        queues = PlayedQueues(broker, "mail")
        queues.client.paho.reconnect_on_failure = True
        password = tmp_path / "password"
        password.write_text(broker.users["admin"])
        password.chmod(0o600)
        process = subprocess.Popen([harness.BIN / "reeve", "--broker", f"mqtt://127.0.0.1:{broker.port}", "--user", "admin",
                                    "--password-file", password, "job", "add", "mail", "--file", "-", "--json"],
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENV)
        process.stdin.write(numbered(500))
        process.stdin.flush()
        jobs = queues.queues["mail"]["jobs"]
        harness.wait_until(lambda: len(jobs) == 500, what="the first part")
        broker.kill()
        process.stdin.write(numbered(500))
        process.stdin.flush()
        broker.start()
        again = PlayedQueues(broker)
        again.queues = queues.queues
        out, err = process.communicate(timeout=60)
        answer = json.loads(out)
        assert process.returncode == 0 and answer["accepted"] == 1000 and len(jobs) == 1000, out + err
        assert "going on when it is back" in err
    finally:
        for client in broker.clients:
            client.paho.loop_stop()
        broker.clients.clear()
        broker.close()


def test_a_terminal_shows_how_far_it_is(queues, typed, tmp_path):
    path = tmp_path / "jobs.jsonl"
    path.write_text(numbered(8000))
    started = time.monotonic()

    def slow(_queue, _args, _command):
        return {"phase": "rejected", "code": "limit", "message": "the queue is full"} if time.monotonic() - started < 1 else None
    queues.answers["enqueue"] = slow
    code, said = typed(b"", "job", "add", "mail", "--file", str(path))
    assert code == 0 and "0 jobs  [" in said and "the queue is full" in said and "8000 jobs added" in said
