"""Exactly what was acknowledged is done: says what in a history of jobs breaks that promise.

A history is three things, each from somebody else:
  acknowledged  what producers were told: [{"queue", "job", "key"?}], in the order in which they were told
  lines         what workers did: [{"event", "queue", "job", "attempt", "worker", "pid", "at", ...}], of append-only files, `at` monotonic
                s: start {key?, reconcile, checkpoint} · checkpoint {number} and no_return (written after the acknowledgement) · end
                {outcome} · dead {worker, pid} (written by who killed it)
  final         what the manager says in the end: [{"queue", "job", "state", "attempt", "result"?, "completions"?}]

check() returns violations, [] when there are none. Must not: know how the history came about, or speak to anybody."""
import collections
import dataclasses
import itertools

LIVE = {"waiting", "delayed", "active", "unknown"}
ATTEMPT_KEY = "attempt"  # of results: which attempt made it


@dataclasses.dataclass(frozen=True)
class Violation:
    rule: str
    job: str
    text: str

    def __str__(self):
        return f"{self.rule}: {self.job}: {self.text}"


@dataclasses.dataclass
class Limits:
    """What was promised besides. Times in s."""
    concurrency: int = 0      # active at once in a queue; 0 = any number
    rate: tuple = ()          # (starts, in any window of so many s)
    rate_slack: float = 0.0   # what the way from the manager to the worker may take from a window
    stale_start: float = 0.0  # an attempt that was taken back may begin so long after the next: it has not heard yet
    outcomes: tuple = ("completed",)  # how a job may have ended


def check(acknowledged, lines, final, limits=None):
    limits = limits or Limits()
    keys = {(one["queue"], one["job"]): one["key"] for one in acknowledged if one.get("key")}
    lines = [{"key": keys.get((line.get("queue"), line.get("job"))), **line} for line in sorted(lines, key=lambda line: line["at"])]
    by_job = collections.defaultdict(list)
    for line in lines:
        if line["event"] != "dead":
            by_job[line["queue"], line["job"]].append(line)
    records = collections.defaultdict(list)
    for record in final:
        records[record["queue"], record["job"]].append(record)
    found = []
    for name in dict.fromkeys((one["queue"], one["job"]) for one in acknowledged):
        found += _acknowledged(name, records[name], limits)
    for name in set(by_job) | set(records):
        for rule in (_accepted_once, _attempts_grow, _checkpoints_hold, _no_return_holds):
            found += rule(name, by_job[name], records[name], limits)
    lives = list(_lives(lines))
    found += _one_per_key(lives)
    found += _order_of_keys(acknowledged, lines)
    found += _concurrency(lives, limits)
    found += _rate(lines, limits)
    return found


# ---- of one job ----------------------------------------------------------------------------------------------------

def _acknowledged(name, records, limits):
    """It is there, once, and ended as it may."""
    if not records:
        yield Violation("missing", name[1], "was acknowledged, and the manager does not know it")
        return
    if len(records) > 1:
        yield Violation("twice", name[1], f"the manager has it {len(records)} times")
    state = records[-1]["state"]
    if state in LIVE:
        yield Violation("not done", name[1], f"still {state} when all had settled")
    elif state not in limits.outcomes:
        yield Violation("not done", name[1], f"ended as {state}: {records[-1].get('error', '')}")


def _accepted_once(name, lines, records, _limits):
    """One completion was accepted, of an attempt that a worker says it ended so, and no later attempt was begun."""
    for record in records:
        if record.get("completions", 1) != 1 and record["state"] == "completed":
            yield Violation("completions", name[1], f"{record['completions']} completions were accepted")
        if record["state"] != "completed":
            continue
        result = record.get("result")
        accepted = result.get(ATTEMPT_KEY) if isinstance(result, dict) else None
        if accepted is not None and accepted != record["attempt"]:
            yield Violation("fenced report accepted", name[1],
                            f"the result is of attempt {accepted}, and attempt {record['attempt']} was given out")
        starts = [line for line in lines if line["event"] == "start"]
        last = accepted if accepted is not None else record["attempt"]
        if not any(line["attempt"] == last for line in starts):
            yield Violation("completions", name[1], f"completed by attempt {last}, which nobody began")
        if not any(line["event"] == "end" and line["attempt"] == last and line["outcome"] == "done" for line in lines):
            yield Violation("completions", name[1], f"completed by attempt {last}, which nobody ended as done")
        later = [line for line in starts if line["attempt"] > last]
        if later:
            yield Violation("fenced report accepted", name[1],
                            f"completed by attempt {last}, and attempt {later[0]['attempt']} was begun by {later[0]['worker']}")


def _attempts_grow(name, lines, _records, limits):
    begun, highest, highest_at = {}, 0, 0.0
    for line in lines:
        if line["event"] != "start":
            continue
        attempt = line["attempt"]
        if attempt in begun:
            yield Violation("attempts", name[1], f"attempt {attempt} was begun twice, by {begun[attempt]} and {line['worker']}")
        elif attempt < highest and line["at"] - highest_at > limits.stale_start:
            yield Violation("attempts", name[1], f"attempt {attempt} was begun {line['at'] - highest_at:.3f} s after attempt {highest}")
        begun[attempt] = line["worker"]
        if attempt > highest:
            highest, highest_at = attempt, line["at"]


def _checkpoints_hold(name, lines, _records, _limits):
    """What was acknowledged to an attempt, each later one begins with, or with more."""
    acked = [(line["attempt"], line["number"]) for line in lines if line["event"] == "checkpoint"]
    for line in lines:
        if line["event"] != "start" or not acked:
            continue
        had = max((number for attempt, number in acked if attempt < line["attempt"]), default=None)
        given = _number(line.get("checkpoint"))
        if had is not None and (given is None or given < had):
            yield Violation("checkpoint", name[1], f"attempt {line['attempt']} began with {given}, and {had} was acknowledged before")


def _number(checkpoint):
    return checkpoint.get("step") if isinstance(checkpoint, dict) else checkpoint


def _no_return_holds(name, lines, _records, _limits):
    """After a point of no return only reconciling attempts, until one of them says that nothing had happened."""
    passed = None
    for line in sorted(lines, key=lambda line: (line["attempt"], line["at"])):
        if line["event"] == "no_return":
            passed = line["attempt"]
        elif line["event"] == "end" and line["outcome"] in ("not_done", "notdone"):
            passed = None
        elif line["event"] == "start" and passed is not None and line["attempt"] > passed and not line.get("reconcile"):
            yield Violation("no return", name[1], f"ordinary attempt {line['attempt']} after attempt {passed} had passed the point of no return")


# ---- of many -------------------------------------------------------------------------------------------------------

@dataclasses.dataclass
class Life:
    """One attempt in a handler, from its start to its end or its process's."""
    queue: str
    job: str
    attempt: int
    key: str
    worker: str
    begin: float
    end: float


def _lives(lines):
    open_lives, deaths = {}, collections.defaultdict(list)
    for line in lines:
        if line["event"] == "dead":
            deaths[line["worker"], line["pid"]].append(line["at"])
    for line in lines:
        name = (line.get("queue"), line.get("job"), line.get("attempt"), line["worker"], line["pid"])
        if line["event"] == "start":
            open_lives[name] = line
        elif line["event"] == "end" and name in open_lives:
            yield _life(open_lives.pop(name), line["at"])
    # Without an end: it lasted until its process died; of one that nobody saw die, only its beginning is known.
    for (_queue, _job, _attempt, worker, pid), line in open_lives.items():
        ends = [at for at in deaths.get((worker, pid), ()) if at >= line["at"]]
        yield _life(line, min(ends) if ends else line["at"])


def _life(start, end):
    return Life(start["queue"], start["job"], start["attempt"], start.get("key"), start["worker"], start["at"], end)


def _one_per_key(lives):
    """Never two of one key at once, and never two of one job."""
    groups = collections.defaultdict(list)
    for life in lives:
        groups[life.queue, "job", life.job].append(life)
        if life.key:
            groups[life.queue, "key", life.key].append(life)
    for (_queue, kind, _name), group in groups.items():
        group.sort(key=lambda life: life.begin)
        for before, after in itertools.pairwise(group):
            if after.begin < before.end:
                rule = "two of a key" if kind == "key" and before.job != after.job else "two of a job"
                if kind == "key" and before.job == after.job:
                    continue  # told once, as a job
                yield Violation(rule, after.job, f"attempt {after.attempt} at {after.worker} began {before.end - after.begin:.3f} s before "
                                f"{before.job} attempt {before.attempt} at {before.worker} had ended")


def _order_of_keys(acknowledged, lines):
    """Of one key, jobs are first begun in the order in which they were acknowledged."""
    place = {(one["queue"], one["job"]): index for index, one in enumerate(acknowledged)}
    last = {}
    seen = set()
    for line in lines:
        name = (line.get("queue"), line.get("job"))
        if line["event"] != "start" or not line.get("key") or name in seen or name not in place:
            continue
        seen.add(name)
        key = (line["queue"], line["key"])
        if key in last and place[name] < place[last[key]]:
            yield Violation("order of a key", line["job"], f"was given before {last[key][1]}, and begun after it")
        else:
            last[key] = name


def _concurrency(lives, limits):
    if not limits.concurrency:
        return
    for queue, group in _grouped(lives, lambda life: life.queue):
        changes = sorted([(life.begin, 1, life.job) for life in group] + [(life.end, -1, life.job) for life in group])
        active = 0
        for at, change, job in changes:
            active += change
            if active > limits.concurrency:
                yield Violation("concurrency", job, f"{active} at once in {queue} at {at:.3f}, {limits.concurrency} may be")
                break


def _rate(lines, limits):
    if not limits.rate:
        return
    count, window = limits.rate
    for queue, group in _grouped([line for line in lines if line["event"] == "start"], lambda line: line["queue"]):
        times = [line["at"] for line in group]
        for i in range(count, len(times)):
            took = times[i] - times[i - count]
            if took < window - limits.rate_slack:
                yield Violation("rate", group[i]["job"], f"{count + 1} starts in {queue} within {took:.3f} s, {count} in {window:g} s may be")
                break


def _grouped(items, of):
    groups = collections.defaultdict(list)
    for item in items:
        groups[of(item)].append(item)
    return groups.items()


def explain(violations, lines, final, most=5):
    """The first ones, each with all that is known of its job: for whoever has to find out why."""
    text = [f"{len(violations)} violations"]
    for violation in violations[:most]:
        text.append(f"- {violation}")
        text += [f"    {line['at']:.3f} {line['event']} attempt {line.get('attempt')} {line['worker']} pid {line['pid']} "
                 f"{line.get('outcome', '')}" for line in sorted(lines, key=lambda line: line["at"]) if line.get("job") == violation.job]
        text += [f"    manager: {record}" for record in final if record["job"] == violation.job]
    return "\n".join(text)
