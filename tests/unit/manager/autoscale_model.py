"""The autoscaler's rules once more, as short as they can be said: what it decides over the load of autoscale_load.json.

usage: autoscale_model.py LOAD            prints the decisions, as autoscale_load.expected holds them
       autoscale_model.py LOAD EXPECTED   compares; exits 1 when they differ
It knows nothing of the C code; that one is compared with the same file.
"""

import json
import math
import sys
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

UNITS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


def ms(text):
    digits = text.rstrip("msh d")
    return int(digits) * UNITS[text[len(digits):]]


def beginnings(schedule, begin):
    """Of an expression `M H * * *`, from a day before `begin` to two days after it, minute by minute. A time that the clock
    skips counts at the first minute behind it."""
    minute, hour = (int(part) for part in schedule["cron"].split()[:2])
    zone = ZoneInfo(schedule.get("time_zone", "UTC"))
    shown_before = None
    for minutes in range(-1440, 2880):
        at = begin + timedelta(minutes=minutes)
        shown = at.astimezone(zone).replace(tzinfo=None)
        step = (shown_before or shown) + timedelta(minutes=1)
        while step <= shown:
            if (step.hour, step.minute) == (hour, minute):
                yield at
            step += timedelta(minutes=1)
        shown_before = shown


class Pool:
    def __init__(self, spec, begin):
        self.scaling = scaling = spec["scaling"]
        self.schedules = [dict(s, begins=list(beginnings(s, begin)), lasts=timedelta(milliseconds=ms(s["for"])))
                          for s in scaling.get("schedules", [])]
        self.min, self.max = spec.get("min", 1), spec.get("max", 10)
        self.metric = scaling.get("metric", "depth")
        time = self.metric in ("age", "wait")
        self.target = scaling.get("target")
        self.above, self.below = (ms(v) if time else v for v in (scaling.get("up_above", 50 if not time else "0s"),
                                                                scaling.get("down_below", 5 if not time else "0s")))
        self.step = {"up": scaling.get("up_by", 2), "down": scaling.get("down_by", 1)}
        both = scaling.get("cooldown", "5m")
        self.cooldown = {way: ms(scaling.get("cooldown_" + way, both)) for way in self.step}
        self.tolerance = scaling.get("tolerance", 0.1)
        self.window = ms(scaling.get("stabilise", "0s"))
        self.recommendations = []  # (time, size)
        self.last = {}  # direction: time

    def bounds(self, wall):
        active = [s for s in self.schedules if any(timedelta() <= wall - at < s["lasts"] for at in s["begins"])]
        floor = max((s["min"] for s in active if "min" in s), default=self.min)
        ceiling = max((s["max"] for s in active if "max" in s), default=self.max)
        return floor, max(floor, ceiling)

    def value(self, i):
        if self.metric == "depth":
            return i["waiting"]
        if self.metric == "age":
            return i["oldest_ms"]
        if self.metric == "wait":
            if i["waiting"] and not i["service_ms"]:
                return None
            return i["waiting"] * i["service_ms"] / (i["ready"] or i["size"] or 1)
        return i["busy"] / i["ready"] if i["ready"] else None

    def recommended(self, i):
        """(size, the code of why it is the present one)"""
        size, value = i["size"], self.value(i)
        if value is None and not (size == 0 and i["waiting"]):
            return None, "unknown"
        if value is None:
            return 1, "same"
        code = "same"
        if self.target is not None:
            exact = value / self.target * (1 if self.metric == "depth" else size)
            want = min(10000, math.ceil(round(exact, 6)))
            ratio = exact / size if size else math.inf
            if abs(ratio - 1) <= self.tolerance + 1e-12:
                want, code = size, "tolerance"
        elif value > self.above:
            want = size + self.step["up"]
        elif value < self.below:
            want = max(0, size - self.step["down"])
        else:
            want, code = size, "between"
        if want == 0 and (i["waiting"] or (i["busy"] and size)):
            want, code = 1, "last"
        return want, code

    def decide(self, now, wall, i):
        """(size, recommended, floor, ceiling, wait in ms, code)"""
        size = i["size"]
        floor, ceiling = self.bounds(wall)
        want, code = self.recommended(i) if i["known"] else (None, "unknown")
        if want is not None and self.window:
            fresh = not any(now - t <= self.window for t, _ in self.recommendations)
            self.recommendations.append((now, max(want, size) if fresh else want))
        done = lambda to, wait, code: (to, size if want is None else want, floor, ceiling, wait, code)
        for low_or_high, bound, way in ((size < floor, floor, "up"), (size > ceiling, ceiling, "down")):
            if low_or_high:
                self.last[way] = now
                return done(bound, 0, "bound")
        if want is None:
            return done(size, 0, code)
        to = want
        if to < size and self.window:
            to = max(s for t, s in self.recommendations if now - t <= self.window)
            if to >= size:
                return done(size, 0, "window")
        to = max(size - self.step["down"], min(size + self.step["up"], to))
        inside = max(floor, min(ceiling, to))
        if inside == size:
            return done(size, 0, code if to == size else "ceiling" if to > size else "floor")
        way = "up" if inside > size else "down"
        since = self.last.get("up") if way == "up" else max(self.last.values(), default=None)
        wait = self.cooldown[way] - (now - since) if since is not None else 0
        if wait > 0:
            return done(size, wait, "cooling")
        self.last[way] = now
        return done(inside, 0, way)


def run(name, spec, load):
    begin = datetime.fromisoformat(load["begin"].replace("Z", "+00:00"))
    pool = Pool(spec, begin)
    steps = [(datetime.strptime(row[0], "%H:%M:%S"), row[1:]) for row in load["load"]]
    seconds = [t.hour * 3600 + t.minute * 60 + t.second for t, _ in steps]
    size, before, code_before, at = pool.min, 0, None, -1
    for tick in range(load["ticks"]):
        second = tick * load["tick_s"]
        while at + 1 < len(steps) and seconds[at + 1] <= second:
            at += 1
        waiting, oldest_s, service_ms, busy, known = steps[at][1]
        ready = min(size, before)
        i = dict(size=size, ready=ready, busy=min(busy, ready), waiting=waiting, oldest_ms=oldest_s * 1000,
                 service_ms=service_ms, known=known)
        to, want, floor, ceiling, wait, code = pool.decide(1_000_000 + second * 1000, begin + timedelta(seconds=second), i)
        if to != size or code != code_before:
            clock = f"{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}"
            cooling = f" {wait // 1000}s" if wait else ""
            yield f"{name} {clock} {size}->{to} of {want} in {floor}..{ceiling} {code}{cooling}"
        before, size, code_before = size, to, code


def main():
    load = json.load(open(sys.argv[1], encoding="utf-8"))
    lines = [line for name, spec in load["pools"].items() for line in run(name, spec, load)]
    if len(sys.argv) < 3:
        print("\n".join(lines))
        return
    expected = open(sys.argv[2], encoding="utf-8").read().splitlines()
    for number, (have, want) in enumerate(zip(lines + [""] * len(expected), expected + [""] * len(lines)), 1):
        if have != want:
            sys.exit(f"{sys.argv[2]}:{number}: {want or '(nothing)'}\nthe model says: {have or '(nothing)'}")
    print(f"{len(lines)} decisions agree")


if __name__ == "__main__":
    main()
