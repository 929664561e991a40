"""What a command is given of its job, and what its output and exit code make of it. A scripted manager is on the other side."""
import json
import signal

import harness
import pytest
from commands import sh


def done(scripted, id, **job):
    scripted.send([{"id": id, **job}])
    return scripted.wait_entry(id, "done")


def ending(scripted, id, **job):
    scripted.send([{"id": id, **job}])
    return scripted.client.wait(lambda: next((e for e in scripted.entries(job=id) if e["outcome"] in
                                              ("done", "retry", "failed", "cancelled", "released", "not_done")), None),
                                what=f"an end of {id}; {scripted.entries(job=id)}")


def lines(scripted, id):
    return [entry["text"] for entry in scripted.entries("log", id)]


def test_json_on_stdout_is_the_result_and_other_text_is_text(start, scripted):
    start(argv=["/usr/bin/printf", "{payload.out}"])
    assert done(scripted, "map", payload={"out": '{"ok": true, "n": [1, 2.5]}\\n'})["data"] == {"ok": True, "n": [1, 2.5]}
    assert done(scripted, "text", payload={"out": "two\\nlines\\n"})["data"] == "two\nlines"
    assert done(scripted, "number", payload={"out": "5"})["data"] == 5
    assert "data" not in done(scripted, "nothing", payload={"out": ""})


def test_an_argument_stays_one_and_no_shell_looks_at_it(start, scripted, tmp_path):
    start(argv=["/usr/bin/printf", "<%s>", "{payload.a}", "{payload.b}", "{id} {attempt} {type} {queue}", "{{x}}"], stdin="none")
    nasty = f"$(touch {tmp_path}/ran) `touch {tmp_path}/ran` ; touch {tmp_path}/ran & | > * ' \" \\ \n -e"
    result = done(scripted, "j-1", attempt=3, payload={"a": nasty, "b": ""})["data"]
    assert result == f"<{nasty}><><j-1 3 echo q><{{x}}>"
    assert not (tmp_path / "ran").exists()


def test_a_key_that_the_job_does_not_have_is_its_failure(start, scripted):
    start(argv=["echo", "{payload.amount}"])
    failed = ending(scripted, "j", payload={"price": 5})
    assert failed["outcome"] == "failed" and "payload.amount" in failed["error"] and "argument 1" in failed["error"]
    assert done(scripted, "k", payload={"amount": 5})["data"] == 5


def test_the_payload_is_on_stdin(start, scripted):
    start(argv=["cat"], stdout="text")
    assert json.loads(done(scripted, "map", payload={"a": ["ü", 1.5, None]})["data"]) == {"a": ["ü", 1.5, None]}
    assert done(scripted, "none")["data"] == "null"
    big = "x" * 100_000
    assert done(scripted, "big", payload=big)["data"].startswith('"xxxx')


def test_raw_bytes_of_the_payload_are_on_stdin_when_asked_for(start, scripted):
    start(argv=["od", "-An", "-tx1"], stdin="raw")
    assert done(scripted, "bin", payload=b"\x00\xff\n")["data"].strip() == "00 ff 0a"
    assert done(scripted, "text", payload="ü")["data"].strip() == "c3 bc"
    refused = ending(scripted, "map", payload={"a": 1})
    assert refused["outcome"] == "failed" and "raw" in refused["error"]


def test_the_environment_has_the_job_and_nothing_of_the_worker(start, scripted):
    start({"queue": "q", "argv": ["env"], "stdout": "text", "env": {"GREETING": "good day", "HOME": "/home/job"}, "inherit": ["SEEN"]},
          env={"SEEN": "yes", "HIDDEN": "no"})
    result = dict(line.split("=", 1) for line in
                  done(scripted, "j", attempt=7, type="bill", checkpoint={"step": 2})["data"].splitlines())
    assert result == {"PATH": "/usr/bin:/bin", "HOME": "/home/job", "LANG": "C.UTF-8", "SEEN": "yes", "GREETING": "good day",
                      "REEVE_JOB_ID": "j", "REEVE_JOB_TYPE": "bill", "REEVE_JOB_QUEUE": "q", "REEVE_JOB_ATTEMPT": "7",
                      "REEVE_JOB_FENCE": "7", "REEVE_JOB_ACK_FD": "3", "REEVE_JOB_CHECKPOINT": '{"step":2}'}


@pytest.mark.parametrize("code,outcome", [(0, "done"), (1, "retry"), (64, "failed"), (65, "failed"), (75, "retry"), (255, "retry")])
def test_exit_codes_mean_what_sysexits_says(start, scripted, code, outcome):
    start(argv=sh(f"echo why >&2; exit {code}"))
    end = ending(scripted, "j")
    assert end["outcome"] == outcome
    if code:
        assert end["error"] == f"exit:{code}: why"


def test_exit_codes_mean_what_the_configuration_says(start, scripted):
    start(argv=[*sh("exit $1"), "x", "{payload}"], exit={"done": [0, "3-5"], "fail": ["6-255"]})
    assert ending(scripted, "a", payload=4)["outcome"] == "done"
    assert ending(scripted, "b", payload=2)["outcome"] == "retry"
    assert ending(scripted, "c", payload=75)["outcome"] == "failed"


def test_a_signal_and_a_program_that_is_not_there_are_retries(start, scripted):
    start({"queue": "q", "commands": {"segv": {"argv": sh("kill -SEGV $$")}, "none": {"argv": ["no-such-program"]}}})
    assert ending(scripted, "s", type="segv")["error"].startswith("signal:SEGV")
    gone = ending(scripted, "n", type="none")
    assert gone["outcome"] == "retry" and gone["error"] == "execve no-such-program: No such file or directory"


def test_a_result_beyond_its_bound_is_cut_and_says_so(start, scripted):
    start(argv=["head", "-c", "200000", "/dev/zero"], output_max="1K")
    end = done(scripted, "j")
    assert end["data"].endswith("\n... cut: 1024 of 200000 bytes") and len(end["data"]) < 2000
    assert any("cut" in line for line in lines(scripted, "j"))


def test_stderr_is_the_log_of_the_job_and_of_the_worker(start, scripted):
    worker = start(argv=sh("echo first >&2; echo second >&2; echo result"))
    assert done(scripted, "j")["data"] == "result"
    assert lines(scripted, "j") == ["first", "second"]
    assert "job=j attempt=1 stderr: second" in worker.log()


def test_a_flood_on_stderr_leaves_out_the_middle(start, scripted):
    start(argv=sh("seq 1 2000 >&2; echo last words >&2"))
    done(scripted, "j")
    kept = lines(scripted, "j")
    assert kept[0] == "1" and kept[-1] == "last words" and len(kept) < 150
    assert any("left out" in line for line in kept)


def test_progress_and_checkpoints_are_told_and_are_not_the_result(start, scripted):
    start(argv=sh("""echo '::progress 0.25 page 1 of 4'; echo '::checkpoint {"page": 1}'; echo 'the result'; sleep 0.3"""))
    assert done(scripted, "j")["data"] == "the result"
    assert scripted.wait_entry("j", "checkpoint")["data"] == {"page": 1}
    progress = scripted.wait_entry("j", "progress")
    assert progress["progress"] == 0.25 and progress["text"] == "page 1 of 4"


def test_a_command_may_wait_until_its_checkpoint_is_stored(start, scripted):
    """Descriptor 3 says so, after the manager has confirmed and not before."""
    start(argv=sh("""echo '::checkpoint {"step": 1}'; read word number <&3; echo "$word $number" """))
    scripted.acks = False
    scripted.send([{"id": "j"}])
    scripted.wait_entry("j", "checkpoint")
    told = max(r["seq"] for r in scripted.reports)
    scripted.wait_report(lambda r: r["seq"] > told)  # the next sign of life: it had all the time to go on
    assert not scripted.entries("done", "j")
    scripted.acks = True
    scripted.send(ack=max(r["seq"] for r in scripted.reports))
    assert scripted.wait_entry("j", "done")["data"] == "ok 1"


def test_every_checkpoint_is_answered_and_the_newest_is_what_is_stored(start, scripted):
    start(argv=sh("""for i in $(seq 1 50); do echo "::checkpoint $i"; done; for i in $(seq 1 50); do read word number <&3; done
                     echo "$word $number" """))
    assert done(scripted, "j")["data"] == "ok 50"
    stored = [entry["data"] for entry in scripted.entries("checkpoint", "j")]
    assert stored == sorted(stored) and stored[-1] == 50


def test_a_checkpoint_that_is_no_json_is_answered_and_logged(start, scripted):
    start(argv=sh("""echo '::checkpoint {oops'; read word number rest <&3; echo "$word $number" """))
    assert done(scripted, "j")["data"] == "error 1"
    assert any(line.startswith("::checkpoint: ") for line in lines(scripted, "j"))
    assert not scripted.entries("checkpoint", "j")


def test_the_last_checkpoint_travels_before_the_end(start, scripted):
    start(argv=sh("""echo '::checkpoint 1'; echo '::checkpoint 2'; echo '::checkpoint 3'; exit 1"""))
    assert ending(scripted, "j")["outcome"] == "retry"
    told = [entry for entry in scripted.entries(job="j") if entry["outcome"] in ("checkpoint", "retry")]
    assert [entry.get("data") for entry in told][-2] == 3 and told[-1]["outcome"] == "retry"


PAY = """echo '::no_return {"ref": "r-1"}'; read word <&3; echo "paid $word" """


def test_a_point_of_no_return_is_told_and_reconciled_by_its_own_command(start, scripted):
    start(argv=sh(PAY), reconcile=sh("""echo "reconcile=$REEVE_JOB_RECONCILE $REEVE_JOB_CHECKPOINT"; exit $1""") + ["x", "{payload.code}"],
          stdin="none")
    hello = scripted.wait_report(lambda r: r.get("hello"))
    assert hello["types"] == ["*"] and hello["reconciles"] == ["*"]
    assert done(scripted, "j", payload={"code": 0})["data"] == "paid ok 1"
    assert scripted.wait_entry("j", "no_return")["data"] == {"ref": "r-1"}
    for id, code, outcome in (("a", 0, "done"), ("b", 66, "not_done"), ("c", 1, "retry"), ("d", 65, "failed")):
        end = ending(scripted, id, reconcile=True, attempt=2, checkpoint={"ref": "r-1"}, payload={"code": code})
        assert end["outcome"] == outcome
    assert scripted.wait_entry("a", "done")["data"] == 'reconcile=1 {"ref":"r-1"}'


def test_without_a_reconciler_no_command_gets_past_its_point_of_no_return(start, scripted, tmp_path):
    start(argv=sh(f"echo '::no_return'; read word <&3; touch {tmp_path}/paid"))
    hello = scripted.wait_report(lambda r: r.get("hello"))
    assert hello["reconciles"] == []
    end = ending(scripted, "j")
    assert end["outcome"] == "failed" and "no_return" in end["error"]
    assert not (tmp_path / "paid").exists()


def test_types_have_their_own_commands(start, scripted):
    start({"queues": [{"queue": "q", "concurrency": 2}], "commands": {"hello": {"argv": ["echo", "hello"]}, "*": {"argv": ["echo", "any {type}"]}}})
    assert set(scripted.wait_report(lambda r: r.get("hello"))["types"]) == {"hello", "*"}
    assert done(scripted, "a", type="hello")["data"] == "hello"
    assert done(scripted, "b", type="other")["data"] == "any other"


def test_so_many_run_at_the_same_time_and_no_more(start, scripted):
    start({"queue": "q", "concurrency": 2, "argv": sh("echo '::progress 0.5'; read line; sleep 0.3"), "stdin": "json"})
    assert scripted.wait_report(lambda r: r.get("hello"))["capacity"] == 2
    scripted.send([{"id": "a"}, {"id": "b"}, {"id": "c"}])
    assert scripted.wait_entry("c", "released")
    scripted.wait_entry("a", "done"), scripted.wait_entry("b", "done")


def test_limits_are_set(start, scripted):
    start(argv=sh("ulimit -v; ulimit -n; ulimit -t; ulimit -c"), limits={"memory": "256M", "files": 50, "cpu": "3s"}, stdout="text")
    assert done(scripted, "j")["data"].split() == ["262144", "50", "3", "0"]


def test_a_new_configuration_holds_for_the_next_job(start, scripted):
    worker = start(argv=["echo", "before"])
    assert done(scripted, "a")["data"] == "before"
    worker.configure({"queue": "q", "concurrency": 4, "argv": ["echo", "after"]})
    worker.signal(signal.SIGHUP)
    worker.wait_log("reloaded")
    assert done(scripted, "b")["data"] == "after"
    worker.configure({"queue": "q", "commands": {"only": {"argv": ["true"]}}})
    worker.signal(signal.SIGHUP)
    worker.wait_log("kept the old one")
    assert done(scripted, "c")["data"] == "after"


WRONG = [
    ("queue: q", "argv: missing"),
    ("argv: [true]", "give either `queue` or `queues`"),
    ("queue: q\nargv: echo hello", "argv"),
    ("queue: q\nargv: [echo, '{amount}']", "{amount} is not known"),
    ("queue: q\nargv: [echo, '{payload.a']", "never closed"),
    ("queue: q\nargv: [echo]\ncommands: {a: {argv: [b]}}", "is a key of one command"),
    ("queue: q\ncommands: {'a b': {argv: [b]}}", "is no type of a job"),
    ("queue: q\ncommands: {a: {argv: [b], grce: 1s}}", "did you mean grace"),
    ("queue: q\nargv: [echo]\nenv: {REEVE_JOB_ID: x}", "REEVE_JOB_"),
    ("queue: q\nargv: [echo]\nexit: {done: [0, 300]}", "is no exit code"),
    ("queue: q\nargv: [echo]\noutput_max: 1G", "output_max"),
    ("queues: [{queue: q}, {queue: q}]\nargv: [echo]", "named twice"),
]


@pytest.mark.parametrize("text,says", WRONG)
def test_a_wrong_configuration_is_refused_with_its_place(broker, tmp_path, text, says):
    from commands import CommandWorker
    worker = CommandWorker(broker, tmp_path / "worker", text).start()
    assert worker.process.wait(harness.DEADLINE) == 2
    assert says in worker.log() and ".yaml:" in worker.log(), worker.log()
