"""Answers of the plugin's own code, for the tests to compare with: python3 beside.py PLUGIN_DIR

A line of JSON comes in, a line of JSON goes out:

    {"arm": TEXT}                      what an arm request with this body says
    {"range": HEADER, "size": N}       what a Range header means
    {"play": [EVENT, …], "ray": BOOL}  what a server says that lives through these events

Events are passes, steps of a clock that stands still otherwise, and calls; the
answers are those of the calls. torch is stood in for by the plugin's tests.
"""

import asyncio
import json
import sys
import tempfile
import threading
from types import SimpleNamespace

sys.path.insert(0, sys.argv[1])
import profjob_gate as pg  # noqa: E402
import profjob_gate_test as fakes  # noqa: E402

pg.log.disabled = True


def refused(e):
    return dict(e.answer(), status=e.status)


def arm(text):
    async def stream():
        yield text.encode()
    try:
        return {"request": pg.parse_arm(asyncio.run(pg.body(SimpleNamespace(stream=stream))))}
    except pg.Refused as e:
        return refused(e)


def byte_range(header, size):
    try:
        return {"range": pg.byte_range(header, size)}
    except pg.Refused as e:
        return refused(e)


class Clock:
    """Stands in for the module time."""

    now = 0.0

    def monotonic(self):
        return self.now

    perf_counter = monotonic

    def time_ns(self):
        return int(self.now * 1e9)


class Play:
    def __init__(self, ray):
        self.ray, self.server = ray, fakes.Server()
        self.worker, = self.server.all()
        answer = self.worker.gate.answer
        if ray:  # calls have another thread than passes
            def elsewhere(worker, text):
                found = []
                thread = threading.Thread(target=lambda: found.append(answer(worker, text)))
                thread.start()
                thread.join()
                return found[0]
            self.worker.gate.answer = elsewhere

    def ask(self, **call):
        return asyncio.run(pg.ask(self.server, call, 10))

    def event(self, e):
        if "pass" in e:
            out = fakes.step(**e["pass"])
            self.worker.gate.ray = self.ray
            self.worker.run(out)
        elif "advance" in e:
            pg.time.now += e["advance"]
            if self.worker.gate.session is not None:
                self.ask(op="tick", session=self.worker.gate.session.id)
        else:
            return self.call(e)

    def call(self, e):
        try:
            if "arm" in e:
                wanted = pg.parse_arm(e["arm"])
                return pg.report(wanted["session"], asyncio.run(self.server.arm_or_abort(wanted)))
            watched = pg.Front("x").watched(self.server, e["session"], {"op": e["call"], "lease_s": e.get("lease_s")})
            return asyncio.run(watched)
        except pg.Refused as error:
            return refused(error)


def play(events, ray):
    pg.time, fakes.time, fakes.FakeProfile.made = Clock(), Clock(), []
    sys.modules["torch"] = fakes.fake_torch()
    answers = []
    with tempfile.TemporaryDirectory() as root:
        pg.os.environ[pg.ROOT_ENV] = root
        p = Play(ray)
        for e in events:
            answer = p.event(e)
            fakes.writers_end()
            if answer is not None:
                answers.append(answer)
    return answers


for line in sys.stdin:
    asked = json.loads(line)
    if "arm" in asked:
        said = arm(asked["arm"])
    elif "range" in asked:
        said = byte_range(asked["range"], asked["size"])
    else:
        said = play(asked["play"], asked["ray"])
    print(json.dumps(said), flush=True)
