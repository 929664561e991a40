"""The checker of the chaos tests: content with a right history, and every fault that is planted into it is found."""
import copy
import random

import pytest
from checker import Limits, check

LIMITS = Limits(concurrency=4, rate=(10, 0.1))


class History:
    """Forty jobs on two keys and without one, some retried, some with checkpoints, two past a point of no return: all as promised."""

    def __init__(self, seed=1):
        rng = random.Random(seed)
        self.acknowledged, self.lines, self.final, at = [], [], [], 100.0
        for i in range(40):
            job, key = f"j{i:02}", ("red", "blue", None, None)[i % 4]
            self.acknowledged.append({"queue": "q", "job": job})
            attempts = 1 + (i % 5 == 0) + (i % 10 == 0)
            for attempt in range(1, attempts + 1):
                worker = {"queue": "q", "job": job, "attempt": attempt, "worker": f"alpha/w{rng.randrange(3)}", "pid": 10 + attempt}
                paid = i in (7, 17) and attempt == 2
                self.say("start", at, worker, key=key, reconcile=paid, checkpoint={"step": 2 * (attempt - 1)} if attempt > 1 else None)
                self.say("checkpoint", at + 0.01, worker, number=2 * attempt - 1)
                self.say("checkpoint", at + 0.02, worker, number=2 * attempt)
                at += 0.03
                if attempt < attempts and i % 10 == 0:
                    self.lines.append({"event": "dead", "worker": worker["worker"], "pid": worker["pid"], "at": at})
                else:
                    self.say("end", at, worker, outcome="done" if attempt == attempts else "retry")
                at += 0.01
            self.final.append({"queue": "q", "job": job, "state": "completed", "attempt": attempts, "result": {"attempt": attempts}})

    def say(self, event, at, worker, **more):
        self.lines.append({"event": event, "at": at, **worker, **more})

    def of(self, job, event=None, attempt=None):
        return [line for line in self.lines if line.get("job") == job and event in (None, line["event"])
                and attempt in (None, line["attempt"])]

    def record(self, job):
        return next(record for record in self.final if record["job"] == job)

    def rules(self, limits=LIMITS):
        return {violation.rule for violation in check(self.acknowledged, self.lines, self.final, limits)}


@pytest.mark.parametrize("seed", range(20))
def test_a_right_history_has_no_fault(seed):
    history = History(seed)
    assert check(history.acknowledged, history.lines, history.final, LIMITS) == []
    random.Random(seed).shuffle(history.lines)
    assert check(history.acknowledged, history.lines, history.final, LIMITS) == []


def missing(h):
    h.final.remove(h.record("j03"))


def twice(h):
    h.final.append(dict(h.record("j03")))


def never_done(h):
    h.record("j03")["state"] = "active"


def dead_letter(h):
    h.record("j03")["state"] = "failed"


def two_completions(h):
    h.record("j03")["completions"] = 2


def completed_unbegun(h):
    h.record("j05")["attempt"] = h.record("j05")["result"]["attempt"] = 3


def completed_unended(h):
    h.lines.remove(h.of("j03", "end")[0])


def fenced_result(h):
    """Attempt 1 of two was believed."""
    h.record("j05")["result"]["attempt"] = 1
    h.of("j05", "end", 1)[0]["outcome"] = "done"


def fenced_report(h):
    """The same, as a result tells nothing: attempt 2 was begun, the manager believes attempt 1."""
    h.record("j05").update(attempt=1, result=None)
    h.of("j05", "end", 1)[0]["outcome"] = "done"


def begun_after_completion(h):
    line = h.of("j03", "start")[0]
    h.lines += [{**line, "attempt": 2, "at": line["at"] + 50, "checkpoint": {"step": 9}}]


def attempt_again(h):
    for line in h.of("j05", attempt=2):
        line["attempt"] = 1
    h.record("j05").update(attempt=1, result={"attempt": 1})


def attempt_falls(h):
    for line in h.of("j05"):
        line["attempt"] = 3 - line["attempt"]


def two_of_a_job(h):
    """Attempt 2 began while the process of attempt 1 lived."""
    for line in h.lines:
        if line["event"] == "dead" and line["at"] <= h.of("j10", "start", 2)[0]["at"]:
            last = line
    last["at"] += 0.02


def two_of_a_key(h):
    first, second = h.of("j04", "end")[0], h.of("j08", "start")[0]
    first["at"] = second["at"] + 0.005


def order_of_a_key(h):
    mine, other = h.of("j04", "start"), h.of("j08", "start")
    for line in mine + other:
        line["job"] = {"j04": "j08", "j08": "j04"}[line["job"]]


def too_many_at_once(h):
    ends = [line for line in h.lines if line["event"] == "end" and line["job"] in ("j02", "j03", "j06", "j07", "j11")]
    for line in ends:
        line["at"] = h.of("j11", "start")[0]["at"] + 0.02


def too_fast(h):
    for i, line in enumerate(line for line in h.lines if line["event"] == "start" and int(line["job"][1:]) > 20 and not line.get("key")):
        line["at"] = 150 + i * 0.001


def old_checkpoint(h):
    h.of("j10", "start", 3)[0]["checkpoint"] = {"step": 3}


def no_checkpoint(h):
    h.of("j05", "start", 2)[0]["checkpoint"] = None


def ordinary_after_no_return(h):
    first = h.of("j05", "start", 1)[0]
    h.lines.append({**first, "event": "no_return", "at": first["at"] + 0.015})


FAULTS = {
    missing: "missing", twice: "twice", never_done: "not done", dead_letter: "not done", two_completions: "completions",
    completed_unbegun: "completions", completed_unended: "completions", fenced_result: "fenced report accepted",
    fenced_report: "fenced report accepted", begun_after_completion: "fenced report accepted", attempt_again: "attempts",
    attempt_falls: "attempts", two_of_a_job: "two of a job", two_of_a_key: "two of a key", order_of_a_key: "order of a key",
    too_many_at_once: "concurrency", too_fast: "rate", old_checkpoint: "checkpoint", no_checkpoint: "checkpoint",
    ordinary_after_no_return: "no return",
}


@pytest.mark.parametrize("plant", FAULTS, ids=lambda plant: plant.__name__)
def test_a_planted_fault_is_found(plant):
    history = History()
    before = copy.deepcopy((history.acknowledged, history.lines, history.final))
    plant(history)
    assert (history.acknowledged, history.lines, history.final) != before, "nothing was planted"
    assert FAULTS[plant] in history.rules()


def test_a_reconciling_attempt_after_a_point_of_no_return_is_right_and_so_is_an_ordinary_one_after_not_done():
    history = History()
    first = history.of("j10", "start", 1)[0]
    history.lines.append({**first, "event": "no_return", "at": first["at"] + 0.015})
    assert "no return" in history.rules()
    history.of("j10", "start", 2)[0]["reconcile"] = True
    history.say("end", history.of("j10", "start", 2)[0]["at"] + 0.025, {k: history.of("j10", "start", 2)[0][k]
                for k in ("queue", "job", "attempt", "worker", "pid")}, outcome="not_done")
    assert "no return" not in history.rules()


def test_an_attempt_that_has_not_heard_yet_may_begin_late_when_that_is_said():
    history = History()
    late = history.of("j05", "start", 2)[0]
    history.of("j05", "start", 1)[0]["at"] = late["at"] + 0.001
    assert "attempts" in history.rules()
    assert "attempts" not in history.rules(Limits(stale_start=0.1))
