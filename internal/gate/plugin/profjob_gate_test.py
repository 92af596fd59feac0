"""Tests of the gate's logic, without vLLM and torch: both are stood in for by the little of them that the gate uses."""

import asyncio
import gzip
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
import types
import unittest
from types import SimpleNamespace

os.environ["PROFJOB_GATE_SECRET"] = "secret"
import profjob_gate as pg  # noqa: E402


# --- Stand-ins --------------------------------------------------------------

class FakeProfile:
    made = []
    fail_start = fail_stop = None

    def __init__(self, **options):
        self.options, self.metadata, self.spans = options, {}, []
        self.thread, self.running = None, False
        FakeProfile.made.append(self)

    def start(self):
        if FakeProfile.fail_start:
            raise FakeProfile.fail_start
        self.thread, self.running = threading.get_ident(), True
        sys.modules["torch"].autograd.profiler._is_profiler_enabled = True

    def stop(self):
        assert threading.get_ident() == self.thread, "stopped in another thread"
        sys.modules["torch"].autograd.profiler._is_profiler_enabled = False
        self.running = False
        if FakeProfile.fail_stop:
            raise FakeProfile.fail_stop

    def add_metadata_json(self, key, value):
        self.metadata[key] = json.loads(value)

    def export_chrome_trace(self, path):
        with open(path, "w") as f:
            json.dump({"spans": self.spans}, f)


class FakeSpan:
    def __init__(self, name):
        self.name = name

    def __enter__(self):
        FakeProfile.made[-1].spans.append(self.name)

    def __exit__(self, *_):
        pass


def fake_torch():
    torch = types.ModuleType("torch")
    torch.__version__ = "2.0"
    torch.profiler = SimpleNamespace(profile=FakeProfile, record_function=FakeSpan, ProfilerActivity=SimpleNamespace(CPU="cpu", CUDA="cuda"))
    torch.cuda = SimpleNamespace(is_available=lambda: False)
    torch.autograd = SimpleNamespace(profiler=SimpleNamespace(_is_profiler_enabled=False))
    return torch


def step(new=(), context=(), generation=(), counts_sent=True):
    """A scheduler output. new and context: (id, tokens); generation: ids, a token each."""
    cached = SimpleNamespace(req_ids=[r for r, _ in context] + list(generation))
    cached.num_computed_tokens = [3] * len(context) + [20] * len(generation)
    if counts_sent:
        cached.num_output_tokens = [0] * len(context) + [5] * len(generation)
    tokens = dict(list(new) + list(context) + [(r, 1) for r in generation])
    return SimpleNamespace(scheduled_new_reqs=[SimpleNamespace(req_id=r) for r, _ in new], scheduled_cached_reqs=cached,
                           num_scheduled_tokens=tokens, total_num_scheduled_tokens=sum(tokens.values()))


IDLE = step()
DECODE = step(generation="abcd")
PREFILL = step(new=[("n", 12)])
CHUNK = step(context=[("c", 7)])
MIXED = step(new=[("n", 12)], generation="ab")


class Worker:
    """One worker process with its own gate. later: sampling is a call of its own."""

    def __init__(self, later=True, rank=0, world=1):
        self.gate, self.later, self.rank, self.local_rank = pg.Gate(), later, rank, rank
        self.model_runner = SimpleNamespace(requests={})
        self.vllm_config = SimpleNamespace(
            parallel_config=SimpleNamespace(world_size=world, data_parallel_rank=0, pipeline_parallel_size=1),
            scheduler_config=SimpleNamespace(max_num_batched_tokens=2048, max_num_seqs=16))
        self.profiler = None
        self.ran = 0

    def execute_model(self, out):
        self.ran += 1
        return None if self.later and out.total_num_scheduled_tokens else "output"
    pg.HOOKED.add(execute_model)

    def run(self, out, sample=True):
        self.gate.passes += 1
        if self.gate.session is None:
            result = self.execute_model(out)
        else:
            result = self.gate.run(self, out, self.execute_model, (out,), {}, self.later)
        if result is None and sample:
            self.sample()
        return result

    def sample(self):
        if self.gate.session is not None:
            self.gate.sample(lambda: "output", (), {})

    def arm(self, window, **more):
        request = pg.parse_arm(dict({"protocol": 1, "session": "s", "window": window}, **more))
        self.gate.session = pg.Session(request, self.gate.passes + 1, {"core": 0, "rank": self.rank}, time.monotonic())
        return self.gate.session


def settled(session):
    if session.writer:
        session.writer.join(10)
    return session


def writers_end():
    for thread in threading.enumerate():
        if thread.name == "profjob-gate-write":
            thread.join(10)


class Case(unittest.TestCase):
    def setUp(self):
        self.root = tempfile.mkdtemp()
        os.chmod(self.root, 0o700)
        os.environ[pg.ROOT_ENV] = self.root
        sys.modules["torch"] = fake_torch()
        FakeProfile.made, FakeProfile.fail_start, FakeProfile.fail_stop = [], None, None
        self.addCleanup(shutil.rmtree, self.root)
        self.addCleanup(writers_end)
        pg.log.disabled = True


# --- Requests ---------------------------------------------------------------

class Requests(Case):
    def test_what_is_left_open_is_filled_in(self):
        r = pg.parse_arm({"protocol": 1, "session": "s", "window": {"steps": 5}})
        self.assertEqual((r["window"]["threshold"], r["window"]["phase"], r["activities"], r["lease_s"]), (1, "any", None, 30.0))
        self.assertEqual(r["limits"], {"max_steps": 1000, "max_seconds": 300.0, "max_bytes": 8 << 30})

    def test_what_is_wrong_is_named(self):
        good = {"protocol": 1, "session": "s", "window": {"steps": 5}}
        for field, change in [
            ("protocol", {"protocol": 2}), ("protocol", {"protocol": True}), ("protocol", {"protocol": None}),
            ("session", {"session": None}), ("session", {"session": "../x"}), ("session", {"session": ".x"}),
            ("session", {"session": "x" * 65}), ("session", {"session": "a\n"}), ("session", {"session": 5}),
            ("prefix", {"prefix": "a/b"}), ("lease_s", {"lease_s": 0}), ("lease_s", {"lease_s": float("nan")}),
            ("lease_s", {"lease_s": float("inf")}), ("record.shapes", {"record": {"shapes": 1}}),
            ("record.shape", {"record": {"shape": True}}), ("activities", {"activities": []}), ("activities", {"activities": ["gpu"]}),
            ("window", {"window": []}), ("window.steps", {"window": {}}), ("window.steps", {"window": {"steps": 0}}),
            ("window.steps", {"window": {"steps": -1}}), ("window.steps", {"window": {"steps": True}}),
            ("window.steps", {"window": {"steps": 1.0}}), ("window.steps", {"window": {"steps": 1, "duration_s": 1}}),
            ("window.steps", {"window": {"steps": 11}, "limits": {"max_steps": 10}}),
            ("window.duration_s", {"window": {"duration_s": 11}, "limits": {"max_seconds": 10}}),
            ("window.threshold", {"window": {"steps": 1, "threshold": 0}}), ("window.phase", {"window": {"steps": 1, "phase": "x"}}),
            ("window.at_most", {"window": {"steps": 1, "threshold": 5, "at_most": 4}}), ("window.all", {"window": {"steps": 1, "all": 1}}),
            ("limits.max_bytes", {"limits": {"max_bytes": "1"}}), ("limits.steps", {"limits": {"steps": 1}}), ("x", {"x": 1}),
        ]:
            with self.subTest(change=change):
                with self.assertRaises(pg.Refused) as caught:
                    pg.parse_arm(dict(good, **change))
                self.assertEqual((caught.exception.status, caught.exception.field), (400, field))

    def test_body_that_is_no_object(self):
        for value in ([], 5, "x"):
            with self.assertRaises(pg.Refused):
                pg.parse_arm(value)


# --- Steps ------------------------------------------------------------------

class Steps(Case):
    def test_counts(self):
        for name, out, counts, phase in [
            ("decode", DECODE, (0, 0, 4, 4), "decode"), ("prefill", PREFILL, (1, 12, 0, 0), "prefill"),
            ("chunk", CHUNK, (1, 7, 0, 0), "prefill"), ("mixed", MIXED, (1, 12, 2, 2), "mixed"), ("idle", IDLE, (0, 0, 0, 0), "idle"),
        ]:
            with self.subTest(name):
                self.assertEqual(pg.split(out, None), counts)
                self.assertEqual(pg.class_of(*pg.phases(out, None, set())), phase)

    def test_counts_that_are_not_sent(self):
        runner = SimpleNamespace(requests={
            "chunk": SimpleNamespace(output_token_ids=[], num_prompt_tokens=10),
            "first": SimpleNamespace(output_token_ids=[], num_prompt_tokens=20),  # computed 20 of 20: the runner lags behind
            "later": SimpleNamespace(output_token_ids=[1], prompt_token_ids=[0] * 50),  # resumed: it has generated
        })
        out = step(context=[("chunk", 7)], generation=["first", "later"], counts_sent=False)
        known = set()
        self.assertEqual(pg.split(out, runner, known), (1, 7, 2, 2))
        self.assertEqual(known, {"first", "later"})
        self.assertEqual(pg.phases(out, runner, known), (True, True))
        self.assertEqual(pg.phases(step(generation=["first"], counts_sent=False), runner, known), (False, True))

    def test_annotation_is_that_of_vllm(self):
        self.assertEqual(pg.annotation((1, 12, 2, 2)), "execute_context_1(12)_generation_2(2)")

    def opening(self, window, outs):
        condition = pg.Condition(pg.parse_arm({"protocol": 1, "session": "s", "window": dict(window, steps=1)})["window"])
        return next((i for i, out in enumerate(outs) if condition.opens(out, None)), None)

    def test_which_step_opens_the_window(self):
        outs = [DECODE, PREFILL, CHUNK, MIXED, DECODE]
        for window, first in [
            ({}, 0), ({"threshold": 5}, 1), ({"threshold": 13}, 3), ({"threshold": 15}, None), ({"at_most": 3}, None),
            ({"threshold": 5, "at_most": 7}, 2), ({"phase": "decode"}, 0), ({"phase": "prefill"}, 1), ({"phase": "mixed"}, 3),
            ({"phase": "prefill", "at_most": 10}, 2), ({"delay": 2}, 2), ({"delay": 4}, 4), ({"delay": 5}, None),
            ({"skip_requests": 1}, 3), ({"skip_requests": 2}, None), ({"skip_requests": 1, "phase": "decode"}, 4),
        ]:
            with self.subTest(window=window):
                self.assertEqual(self.opening(window, outs), first)

    def test_whose_annotation(self):
        def annotate_profile(self):
            return "execute_context_"

        def older(self):
            return "execute_new_"
        torch_profiler = type("TorchProfilerWrapper", (), {})()
        for name, method, profiler, want in [
            ("no profiler", annotate_profile, None, False), ("0.11.1", older, torch_profiler, False),
            ("0.15", annotate_profile, torch_profiler, True), ("0.15 cuda", annotate_profile, type("CudaProfilerWrapper", (), {})(), False),
            ("0.32", annotate_profile, type("TorchProfilerWrapper", (), {"should_annotate": False})(), False),
        ]:
            with self.subTest(name):
                self.assertEqual(pg.annotates(type("W", (), {"annotate_profile": method, "profiler": profiler})()), want)
        self.assertFalse(pg.annotates(Worker()))


# --- Recording --------------------------------------------------------------

class Recordings(Case):
    def classes(self, session):
        return [(s["class"], s["tokens"], s["sampled"]) for s in session.steps]

    def test_n_steps_with_their_sampling(self):
        for later in (True, False):
            with self.subTest(later=later):
                w = Worker(later)
                s = w.arm({"steps": 2, "threshold": 10}, record={"shapes": True}, prefix="p")
                for out in (DECODE, IDLE, PREFILL, IDLE, DECODE, DECODE):
                    w.run(out)
                settled(s)
                self.assertEqual((s.state, s.ended_by, s.error), ("done", "steps", None))
                self.assertEqual(self.classes(s), [("prefill", 12, True), ("decode", 4, True)])
                self.assertEqual([x["pass"] for x in s.steps], [3, 5])
                self.assertEqual(w.ran, 6)
                profile = FakeProfile.made[-1]
                self.assertEqual((profile.options["record_shapes"], profile.options["with_stack"]), (True, False))
                self.assertEqual(profile.metadata["profjob_session"], "s")
                self.assertEqual(profile.spans, ["execute_context_1(12)_generation_0(0)", "execute_context_0(0)_generation_0(0)",
                                                 "execute_context_0(0)_generation_4(4)"])
                self.assertIsNone(w.gate.session)

    def test_the_file(self):
        w = Worker()
        s = w.arm({"steps": 1}, prefix="p")
        w.run(DECODE)
        file, = settled(s).files
        self.assertRegex(file["name"], r"^p_s_dp0_pp0_tp0_rank0\.\d+\.pt\.trace\.json\.gz$")
        self.assertEqual(os.listdir(self.root), [file["name"]])
        with open(os.path.join(self.root, file["name"]), "rb") as f:
            data = f.read()
        self.assertEqual((file["size"], file["sha256"]), (len(data), hashlib.sha256(data).hexdigest()))
        self.assertEqual(json.loads(gzip.decompress(data)), {"spans": ["execute_context_0(0)_generation_4(4)"]})

    def test_the_profiler_stops_after_the_sampling_not_before(self):
        w = Worker()
        s = w.arm({"steps": 1})
        w.run(DECODE, sample=False)
        self.assertEqual(s.state, "recording")
        self.assertTrue(FakeProfile.made[-1].running)
        w.sample()
        self.assertFalse(FakeProfile.made[-1].running)
        self.assertEqual(settled(s).state, "done")

    def test_a_pass_before_the_sampling_ends_the_window(self):
        w = Worker()
        s = w.arm({"steps": 1})
        w.run(DECODE, sample=False)
        w.run(DECODE, sample=False)
        self.assertEqual(self.classes(settled(s)), [("decode", 4, False)])
        self.assertEqual(len(FakeProfile.made[-1].spans), 1)

    def test_begin_is_the_earliest_pass(self):
        w = Worker()
        s = w.arm({"steps": 1})
        s.begin = 3
        for _ in range(4):
            w.run(DECODE)
        self.assertEqual([x["pass"] for x in s.steps], [3])

    def test_all_binds_every_step(self):
        w = Worker()
        s = w.arm({"steps": 3, "phase": "decode", "all": True})
        for out in (DECODE, DECODE, MIXED, IDLE, DECODE, IDLE, DECODE, DECODE):
            w.run(out)
        self.assertEqual((settled(s).discarded, [x["pass"] for x in s.steps], s.state), (1, [5, 7, 8], "done"))
        self.assertEqual(len(os.listdir(self.root)), 1)

    def test_a_duration(self):
        w = Worker()
        s = w.arm({"duration_s": 10})
        w.run(IDLE)
        self.assertEqual(s.state, "armed")
        w.run(DECODE)
        w.run(DECODE)
        s.began -= 11
        w.run(DECODE)
        self.assertEqual((settled(s).state, s.ended_by, len(s.steps)), ("done", "duration", 2))

    def test_hard_limits(self):
        for name, limits, change in [
            ("max_steps", {"max_steps": 2}, lambda s: None),
            ("max_seconds", {"max_seconds": 20}, lambda s: setattr(s, "began", s.began - 21)),
            ("max_bytes", {"max_bytes": 1 << 20}, lambda s: setattr(s, "memory", s.memory - (2 << 20))),
        ]:
            with self.subTest(name):
                w = Worker()
                s = w.arm({"duration_s": 10} if name == "max_steps" else {"steps": 9}, limits=dict({"max_steps": 9}, **limits))
                w.run(DECODE)
                w.run(DECODE)
                change(s)
                w.run(DECODE)
                self.assertEqual((settled(s).state, s.ended_by, len(s.steps), len(s.files)), ("disarmed", name, 2, 1))

    def test_a_trace_beyond_the_limit_is_kept(self):
        w = Worker()
        s = w.arm({"steps": 1}, limits={"max_bytes": 10})
        s.memory = 1 << 50  # as if the process had shrunk
        w.run(DECODE)
        self.assertEqual((settled(s).state, len(s.files)), ("done", 1))
        self.assertEqual(os.listdir(self.root), [s.files[0]["name"]])

    def test_the_lease(self):
        for recording in (False, True):
            with self.subTest(recording=recording):
                w = Worker()
                s = w.arm({"steps": 5, "threshold": 1 if recording else 1000})
                w.run(DECODE)
                s.lease_until = time.monotonic() - 1
                w.run(DECODE)
                self.assertEqual((settled(s).state, s.ended_by, len(s.files)), ("disarmed", "lease", int(recording)))
                self.assertIsNone(w.gate.session)

    def test_another_thread_leaves_the_stop_to_the_next_pass(self):
        w = Worker()
        s = w.arm({"steps": 5})
        w.run(DECODE)
        other = threading.Thread(target=s.end, args=("disarm",))
        other.start()
        other.join()
        self.assertEqual((s.state, s.status()["stopping"]), ("recording", "disarm"))
        w.run(DECODE)
        self.assertEqual((settled(s).state, s.ended_by, len(s.steps)), ("disarmed", "disarm", 1))


class Failures(Case):
    def test_the_pass_goes_on(self):
        for name, change, error in [
            ("start", lambda s: setattr(FakeProfile, "fail_start", RuntimeError("no CUPTI")), "no CUPTI"),
            ("stop", lambda s: setattr(FakeProfile, "fail_stop", RuntimeError("no buffer")), "no buffer"),
            ("condition", lambda s: setattr(s, "condition", None), "AttributeError"),
            ("other profiler", lambda s: setattr(sys.modules["torch"].autograd.profiler, "_is_profiler_enabled", True), "another profiler"),
            ("write", lambda s: os.environ.__setitem__(pg.ROOT_ENV, "/dev/null/x"), "write the trace"),
        ]:
            with self.subTest(name):
                self.setUp()
                w = Worker()
                s = w.arm({"steps": 1})
                change(s)
                for _ in range(3):
                    w.run(DECODE)
                settled(s)
                self.assertEqual((s.state, w.ran), ("failed", 3))
                self.assertIn(error, s.error)
                self.assertIsNone(w.gate.session)

    def test_an_exception_of_the_server_is_its_own(self):
        w = Worker()
        s = w.arm({"steps": 2})

        def broken(out):
            raise KeyError("theirs")
        w.gate.passes += 1
        with self.assertRaises(KeyError):
            w.gate.run(w, DECODE, broken, (DECODE,), {}, True)
        self.assertEqual(s.state, "failed")
        self.assertFalse(FakeProfile.made[-1].running)

    def test_an_answer_is_never_an_exception(self):
        w = Worker()
        for text in ("", "{}", "[]", json.dumps({"body": "{}", "mac": "x"}), pg.sealed(lambda core: {"op": "status"}, 0)):
            self.assertIn("error", json.loads(w.gate.answer(w, text)))

    def test_a_call_without_the_secret(self):
        w = Worker()
        body = json.dumps({"op": "hello"})
        self.assertEqual(json.loads(w.gate.answer(w, json.dumps({"body": body, "mac": "0" * 64})))["error"]["code"], "unauthorized")


# --- Several workers --------------------------------------------------------

class Server:
    """Engine cores with workers each, behind the engine client of an API server."""

    def __init__(self, cores=1, workers=1, single=False):
        self.cores = [[Worker(rank=r, world=workers) for r in range(workers)] for _ in range(cores)]
        self.core_engines = [i.to_bytes(2, "little") for i in range(cores)]
        self.state = SimpleNamespace(engine_client=SimpleNamespace(engine_core=self))
        self.between = lambda op, worker: None  # what happens before a worker gets a call
        self.dead = set()

    async def _call_utility_async(self, method, *args, engine):
        index = int.from_bytes(engine, "little")
        if index in self.dead:
            raise RuntimeError("EngineDeadError")
        assert (method, args[0]) == ("collective_rpc", "profjob_gate")
        answers = []
        for w in self.cores[index]:
            self.between(json.loads(json.loads(args[2][0])["body"])["op"], w)
            answers.append(w.gate.answer(w, args[2][0]))
        return answers

    def all(self):
        return [w for core in self.cores for w in core]

    def arm(self, window, session="s", **more):
        request = pg.parse_arm(dict({"protocol": 1, "session": session, "window": window}, **more))
        return asyncio.run(self.arm_or_abort(request))

    async def arm_or_abort(self, request):
        try:
            return await pg.arm_all(self, request)
        except BaseException:
            await pg.ask(self, {"op": "abort", "session": request["session"]}, 10)
            raise

    def ask(self, **call):
        return asyncio.run(pg.ask(self, call, 10))


class Arming(Case):
    def nothing_armed(self, server):
        for w in server.all():
            self.assertIsNone(w.gate.session)
            self.assertIsNone(w.gate.prepared)

    def test_every_core_answers(self):
        server = Server(cores=2, workers=2)
        workers = server.arm({"steps": 1})
        self.assertEqual([(w["core"], w["rank"], w["state"]) for w in workers],
                         [(0, 0, "armed"), (0, 1, "armed"), (1, 0, "armed"), (1, 1, "armed")])
        self.assertEqual(pg.report("s", workers)["state"], "armed")

    def test_a_warm_up_once_a_set_of_options(self):
        server = Server()
        for session, record, starts in (("a", {}, 1), ("b", {}, 1), ("c", {"stack": True}, 2)):
            server.arm({"steps": 1}, session, record=record)
            server.ask(op="disarm", session=session)
            self.assertEqual(len(FakeProfile.made), starts)

    def test_a_worker_that_refuses_leaves_none_armed(self):
        server = Server(cores=2)
        server.cores[1] = [type("Unhooked", (Worker,), {"execute_model": lambda self, out: None})()]
        with self.assertRaises(pg.Refused) as caught:
            server.arm({"steps": 1})
        self.assertIn("core 1 rank 0", caught.exception.message)
        self.assertEqual(caught.exception.workers[0]["core"], 1)
        self.nothing_armed(server)

    def test_a_core_that_is_dead(self):
        server = Server(cores=2)
        server.dead = {1}
        with self.assertRaises(pg.Refused) as caught:
            server.arm({"steps": 1})
        self.assertEqual((caught.exception.status, caught.exception.workers[0]["core"]), (503, 1))
        self.nothing_armed(server)

    def test_a_core_that_dies_while_it_is_asked(self):
        server = Server(cores=2)
        never = server._call_utility_async

        async def call(method, *args, engine):
            if engine == server.core_engines[1]:
                await asyncio.sleep(0.05)
                server.state.engine_client.errored = True
                await asyncio.sleep(60)
            return await never(method, *args, engine=engine)
        server._call_utility_async = call
        began = time.monotonic()
        first, second = server.ask(op="hello")
        self.assertLess(time.monotonic() - began, 5)
        self.assertNotIn("error", first)
        self.assertEqual((second["core"], second["status"], second["error"]["message"]), (1, 503, "the engine is dead"))

    def test_another_session_is_left_alone(self):
        server = Server(cores=2)
        server.arm({"steps": 1}, "first")
        with self.assertRaises(pg.Refused) as caught:
            server.arm({"steps": 1}, "second")
        self.assertEqual((caught.exception.status, caught.exception.code), (409, "busy"))
        self.assertEqual({w.gate.session.id for w in server.all()}, {"first"})

    def test_a_lease_that_ran_out_is_no_obstacle(self):
        server = Server()
        server.arm({"steps": 1}, "first")
        server.cores[0][0].gate.session.lease_until = time.monotonic() - 1
        self.assertEqual(server.arm({"steps": 1}, "second")[0]["state"], "armed")
        self.assertEqual(server.ask(op="renew", session="first")[0]["ended_by"], "lease")

    def test_a_session_is_used_once(self):
        server = Server()
        server.arm({"steps": 1})
        server.ask(op="disarm", session="s")
        with self.assertRaises(pg.Refused) as caught:
            server.arm({"steps": 1})
        self.assertEqual(caught.exception.field, "session")

    def test_a_threshold_that_no_step_has(self):
        with self.assertRaises(pg.Refused) as caught:
            Server().arm({"steps": 1, "threshold": 2049})
        self.assertEqual((caught.exception.status, caught.exception.field), (400, "window.threshold"))

    def test_workers_that_disagree_begin_later(self):
        server = Server(workers=2)
        passing = {"commit": 1}

        def between(op, worker):
            if passing.get(op) and worker.rank == 1:
                passing[op] -= 1
                worker.run(DECODE)
        server.between = between
        workers = server.arm({"steps": 1})
        self.assertEqual(len({w["begin"] for w in workers}), 1)
        self.assertGreaterEqual(workers[0]["begin"], 8)

    def test_passes_that_overlap_calls_begin_ahead(self):
        for name, ray, pipeline, asynchronous, begin in (
            ("processes", False, 2, True, 4), ("ray, one at a time", True, 1, False, 4),
            ("ray, pipelined", True, 2, False, 11), ("ray, asynchronous", True, 1, True, 11),
        ):
            with self.subTest(name):
                server = Server(workers=2)
                for w in server.all():
                    w.gate.ray, w.gate.passes = ray, 3
                    w.vllm_config.parallel_config.pipeline_parallel_size = pipeline
                    w.vllm_config.scheduler_config.async_scheduling = asynchronous
                self.assertEqual([w["begin"] for w in server.arm({"steps": 1})], [begin, begin])

    def test_workers_that_never_agree(self):
        server = Server(workers=2)

        def between(op, worker):
            if op == "commit" and worker.rank == 1:
                for _ in range(100000 if worker.gate.prepared is None else 1):
                    worker.gate.passes += 20000
        server.between = between
        with self.assertRaises(pg.Refused) as caught:
            server.arm({"steps": 1})
        self.assertIn("could not agree", caught.exception.message)
        self.nothing_armed(server)

    def test_an_arming_that_is_taken_back_leaves_nothing(self):
        server = Server()
        server.arm({"steps": 5})
        server.cores[0][0].run(DECODE)
        self.assertEqual(server.cores[0][0].gate.session.state, "recording")
        server.ask(op="abort", session="s")
        self.nothing_armed(server)
        self.assertEqual((server.ask(op="renew", session="s")[0]["state"], os.listdir(self.root)), (None, []))

    def test_a_failed_worker_stops_the_others(self):
        server = Server(cores=2)
        server.arm({"steps": 5})
        server.cores[0][0].run(DECODE)
        server.cores[1][0].gate.session.fail("its own fault")
        front = pg.Front("x")
        answer = asyncio.run(front.watched(server, "s", {"op": "renew"}))
        self.assertEqual((answer["state"], [w["ended_by"] for w in answer["workers"]]), ("failed", ["another worker failed", "error"]))

    def test_states(self):
        for states, want in [
            (["done", "done"], "done"), (["done", "armed"], "armed"), (["armed", "recording"], "recording"),
            (["done", "writing"], "writing"), (["failed", "recording"], "failed"), (["done", "disarmed"], "disarmed"), (["done", None], "failed"),
        ]:
            self.assertEqual(pg.report("s", [{"state": s} for s in states])["state"], want)
        with self.assertRaises(pg.Refused):
            pg.report("s", [{"state": None}])


class Timer(Case):
    def test_an_idle_server_is_disarmed(self):
        server = Server()
        workers = server.arm({"steps": 1}, lease_s=1)
        server.cores[0][0].gate.session.lease_until = time.monotonic() + 0.05
        workers[0]["due_in_s"] = 0.05
        asyncio.run(asyncio.wait_for(pg.Front("x").tick(server, "s", workers), 10))
        self.assertEqual(server.ask(op="renew", session="s")[0]["ended_by"], "lease")

    def test_a_duration_ends_on_an_idle_server(self):
        server = Server()
        workers = server.arm({"duration_s": 0.05})
        server.cores[0][0].run(DECODE)
        asyncio.run(asyncio.wait_for(pg.Front("x").tick(server, "s", workers), 10))
        self.assertEqual(server.ask(op="renew", session="s")[0]["ended_by"], "duration")


    def test_ranks_of_a_core_end_a_duration_between_the_same_passes(self):
        server = Server(workers=2)
        workers = server.arm({"duration_s": 0.2})
        one, other = server.all()
        one.run(DECODE)
        began = one.gate.session.began
        sys.modules["torch"].autograd.profiler._is_profiler_enabled = False  # the other is a process of its own
        other.run(DECODE)
        one.gate.session.began = other.gate.session.began = began - 0.25
        one.run(DECODE)  # its own clock alone would have ended it
        other.run(DECODE)
        asyncio.run(asyncio.wait_for(pg.Front("x").tick(server, "s", workers), 10))
        self.assertEqual([(w["ended_by"], w["recorded"]) for w in server.ask(op="renew", session="s")], [("duration", 2)] * 2)


# --- Files ------------------------------------------------------------------

class Files(Case):
    def test_only_what_the_session_lists(self):
        server = Server()
        server.arm({"steps": 1})
        w = server.cores[0][0]
        w.run(DECODE)
        settled(w.gate.ended["s"])
        name = server.ask(op="renew", session="s")[0]["files"][0]["name"]
        worker, file = asyncio.run(pg.find_file(server, "s", name))
        self.assertEqual(pg.seen_here(worker, name), os.path.join(self.root, name))
        with open(os.path.join(self.root, "other"), "w") as f:
            f.write("x")
        for session, other in (("s", "other"), ("s", "../" + name), ("s", ""), ("t", name)):
            with self.assertRaises(pg.Refused):
                asyncio.run(pg.find_file(server, session, other))

    def test_a_file_of_another_node(self):
        server = Server(cores=2)
        server.arm({"steps": 1})
        w = server.cores[1][0]
        w.run(DECODE)
        settled(w.gate.ended["s"])
        found = server.ask(op="renew", session="s")[1]
        name, size = found["files"][0]["name"], found["files"][0]["size"]
        with open(os.path.join(self.root, name), "rb") as f:
            data = f.read()
        found["places"][name][2] += 1  # another inode: not the same file
        self.assertIsNone(pg.seen_here(found, name))

        async def fetch(first, last):
            return b"".join([c async for c in pg.remote_chunks(server, "s", found, name, first, last)])
        self.assertEqual(asyncio.run(fetch(0, size - 1)), data)
        self.assertEqual(asyncio.run(fetch(3, 9)), data[3:10])
        chunk, pg.REMOTE_CHUNK = pg.REMOTE_CHUNK, 7
        self.addCleanup(setattr, pg, "REMOTE_CHUNK", chunk)
        self.assertEqual(asyncio.run(fetch(0, size - 1)), data)

    def test_deleted(self):
        server = Server()
        server.arm({"steps": 1})
        w = server.cores[0][0]
        w.run(DECODE)
        name = settled(w.gate.ended["s"]).files[0]["name"]
        self.assertTrue(server.ask(op="delete", session="s", name=name)[0]["deleted"])
        self.assertEqual(os.listdir(self.root), [])

    def test_ranges(self):
        for header, want in [
            (None, (0, 9)), ("", (0, 9)), ("bytes=0-3", (0, 3)), ("bytes=4-", (4, 9)), ("bytes=-3", (7, 9)), ("bytes=-30", (0, 9)),
            ("bytes=0-99", (0, 9)), ("bytes=9-9", (9, 9)), ("bytes=10-", None), ("bytes=5-4", None), ("bytes=-", None), ("bytes=-0", None),
            ("bytes=0-1,3-4", None), ("lines=0-1", None), ("bytes=a-b", None),
        ]:
            with self.subTest(header=header):
                if want is None:
                    self.assertRaises(pg.Refused, pg.byte_range, header, 10)
                else:
                    self.assertEqual(pg.byte_range(header, 10), want)

    def test_the_root(self):
        os.environ[pg.ROOT_ENV] = os.path.join(self.root, "a", "b")
        self.assertEqual(os.stat(pg.open_root()).st_mode & 0o777, 0o700)
        link = os.path.join(self.root, "link")
        os.symlink(self.root, link)
        open_to_all = os.path.join(self.root, "open")
        os.mkdir(open_to_all)
        os.chmod(open_to_all, 0o777)
        for path in ("relative", link, open_to_all, os.path.join(self.root, "link", "..", "file")):
            with self.subTest(path=path):
                if path.endswith("file"):
                    open(os.path.join(self.root, "file"), "w").close()
                    path = os.path.join(self.root, "file")
                os.environ[pg.ROOT_ENV] = path
                self.assertRaises(OSError, pg.open_root)

    def test_the_root_of_someone_else(self):
        euid, os.geteuid = os.geteuid, lambda: 12345
        try:
            self.assertRaises(OSError, pg.open_root)
        finally:
            os.geteuid = euid


# --- Loading ----------------------------------------------------------------

class Loading(Case):
    def python(self, script, **env):
        with open(os.path.join(self.root, "script.py"), "w") as f:
            f.write(textwrap.dedent(script))
        here = os.path.dirname(os.path.abspath(pg.__file__))
        environment = dict({k: v for k, v in os.environ.items() if not k.startswith("PROFJOB_")}, PYTHONDONTWRITEBYTECODE="1",
                           PYTHONPATH=self.root + ":" + here, **env)
        done = subprocess.run([sys.executable, os.path.join(self.root, "script.py")], env=environment, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=60)
        self.assertEqual(done.returncode, 0, done.stdout.decode())

    def module(self, name, text):
        path = self.root
        *packages, last = name.split(".")
        for p in packages:
            path = os.path.join(path, p)
            os.makedirs(path, exist_ok=True)
            open(os.path.join(path, "__init__.py"), "a").close()
        with open(os.path.join(path, last + ".py"), "w") as f:
            f.write(textwrap.dedent(text))

    def test_without_a_secret_nothing_happens(self):
        self.python("""
            import sys, profjob_gate
            before = list(sys.meta_path)
            profjob_gate.register()
            assert sys.meta_path == before and not profjob_gate.loaded
        """)

    def test_modules_are_hooked_as_they_are_imported(self):
        base = """
            class WorkerBase:
                def __init__(self): self.model_runner = None
        """
        worker = """
            from vllm.v1.worker.worker_base import WorkerBase
            class Worker(WorkerBase):
                def execute_model(self, out): "theirs"; return out
                def sample_tokens(self, grammar): return grammar
            class CPUWorker(Worker): pass
            class Other(WorkerBase):
                def execute_model(self, out): return out
        """
        for early in (False, True):
            with self.subTest(early=early):
                self.module("vllm.v1.worker.worker_base", base)
                self.module("vllm.v1.worker.gpu_worker", worker)
                self.python("""
                    import sys, profjob_gate as pg
                    if %r: import vllm.v1.worker.gpu_worker
                    pg.register(); pg.register()
                    assert "torch" not in sys.modules
                    from vllm.v1.worker.gpu_worker import CPUWorker, Other, Worker
                    w, o = CPUWorker(), Other()
                    CPUWorker()
                    assert pg.hooked(w) == ["execute_model", "sample_tokens"] and pg.hooked(o) == ["execute_model"]
                    assert Worker.execute_model.__doc__ == "theirs" and "execute_model" not in CPUWorker.__dict__
                    assert (w.execute_model(5), w.sample_tokens(6), o.execute_model(7), pg.gate.passes) == (5, 6, 7, 2)
                    assert "error" in w.profjob_gate("")
                """ % early, PROFJOB_GATE_SECRET="s")

    def test_a_hook_that_fails_stops_nobody(self):
        self.module("vllm.v1.worker.worker_base", "x = 1")
        self.python("""
            import profjob_gate as pg
            pg.register()
            from vllm.v1.worker import worker_base
            assert worker_base.x == 1
        """, PROFJOB_GATE_SECRET="s")

    def test_ray_passes_the_worker_by(self):
        self.module("vllm.v1.executor.ray_utils", """
            class RayWorkerWrapper:
                worker = None
                def execute_model_ray(self, given): return given
        """)
        self.python("""
            import profjob_gate as pg
            pg.register()
            from vllm.v1.executor.ray_utils import RayWorkerWrapper
            assert RayWorkerWrapper().execute_model_ray((1, 2)) == (1, 2)
            assert pg.gate.passes == 1 and pg.gate.ray
        """, PROFJOB_GATE_SECRET="s")

    def test_a_class_that_ray_made_before_plugins_are_loaded(self):
        self.module("vllm.v1.executor.ray_utils", """
            class RayWorkerWrapper:
                worker = None
                def execute_model_ray(self, given): return given
        """)
        ray = """
            import functools
            def actor(cls):
                class Class(cls): pass
                method = cls.execute_model_ray
                @functools.wraps(method)
                def _resume_span(self, *args): return method(self, *args)
                Class.execute_model_ray = _resume_span
                return Class
        """
        for order in ("early", "late"):
            with self.subTest(order):
                self.python(textwrap.dedent(ray) + textwrap.dedent("""
                    import profjob_gate as pg
                    from vllm.v1.executor.ray_utils import RayWorkerWrapper
                    if "%s" == "early": Actor = actor(RayWorkerWrapper)
                    pg.register()
                    if "%s" == "late": Actor = actor(RayWorkerWrapper)
                    assert pg.gate.ray == ("%s" == "early")
                    a = Actor()
                    assert a.execute_model_ray(5) == 5 and pg.gate.passes == 1, pg.gate.passes
                    pg.hook_ray_wrapper(__import__("vllm.v1.executor.ray_utils", fromlist="x"))
                    assert a.execute_model_ray(5) == 5 and pg.gate.passes == 2, pg.gate.passes
                """ % (order, order, order)), PROFJOB_GATE_SECRET="s")


if __name__ == "__main__":
    unittest.main()
