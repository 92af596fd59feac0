"""What the gate costs a pass, with the interpreter and the torch of a real vLLM: python bench.py

The wrapped method is a stub, so that only the gate is seen; its own call is
subtracted. Armed, the gate waits for a step that never comes: a threshold that
is met, so that every pass must be classified, and a phase that is not.
"""

import os
import sys
import time
from types import SimpleNamespace

os.environ["PROFJOB_GATE_SECRET"] = "bench"
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import profjob_gate  # noqa: E402

ROUNDS, PASSES = 30, 20000


class Worker:
    rank = local_rank = 0
    model_runner = SimpleNamespace(requests={})

    def execute_model(self, scheduler_output):
        return None

    def sample_tokens(self, grammar_output):
        return None


def batch(requests, counts_sent=True):
    """A decode step."""
    ids = ["request-%d" % i for i in range(requests)]
    cached = SimpleNamespace(req_ids=ids, num_computed_tokens=[100] * requests)
    if counts_sent:
        cached.num_output_tokens = [7] * requests
    for rid in ids:
        Worker.model_runner.requests[rid] = SimpleNamespace(output_token_ids=[1], num_prompt_tokens=90)
    return SimpleNamespace(scheduled_new_reqs=[], scheduled_cached_reqs=cached,
                           num_scheduled_tokens={rid: 1 for rid in ids}, total_num_scheduled_tokens=requests)


def measure(worker, out):
    """The fastest round, in µs a pass: what the machine does besides only adds."""
    best = float("inf")
    for _ in range(ROUNDS):
        began = time.perf_counter()
        for _ in range(PASSES // 10):
            worker.execute_model(out)
            worker.sample_tokens(None)
        best = min(best, (time.perf_counter() - began) / (PASSES // 10))
    return best * 1e6


def arm(window):
    request = profjob_gate.parse_arm({"protocol": 1, "session": "bench", "window": window, "lease_s": 3600})
    profjob_gate.gate.session = profjob_gate.Session(request, 0, {}, time.monotonic())


def main():
    worker, small = Worker(), batch(16)
    bare = measure(worker, small)
    profjob_gate.hook_worker(Worker)
    print("python %s, µs a pass and its sampling, the stub's own %.2f subtracted" % (sys.version.split()[0], bare))
    print("unarmed                                   %6.2f" % (measure(worker, small) - bare))
    cases = [
        ("armed, below the threshold", {"steps": 1, "threshold": 1000}, small),
        ("armed, 16 requests of another phase", {"steps": 1, "phase": "mixed"}, small),
        ("armed, 256 requests of another phase", {"steps": 1, "phase": "mixed"}, batch(256)),
        ("armed, 16 requests, counts not sent (0.11)", {"steps": 1, "phase": "mixed"}, batch(16, False)),
        ("armed, 256 requests, counts not sent", {"steps": 1, "phase": "mixed"}, batch(256, False)),
    ]
    for name, window, out in cases:
        arm(window)
        print("%-42s%6.2f" % (name, measure(worker, out) - bare))
        assert profjob_gate.gate.session.state == "armed", profjob_gate.gate.session.status()


if __name__ == "__main__":
    main()
