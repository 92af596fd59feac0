"""The gate's plugin as vLLM loads and runs it, over stand-ins of vLLM, torch and FastAPI.

    python3 standin.py PLUGIN_DIR now|later|ray

prints the port at which it serves, and ends when standard input does. The second
argument is when a pass samples: within execute_model (0.11), in a call of its own
(0.15 on), or in the wrapper of the older Ray executor, whose passes have a thread
of their own.

One thread runs the passes: continuous batching without a limit but the number of
requests. A pass takes a millisecond and computes nothing, but leaves the events
in a recording that a real one does.
"""

import asyncio
import json
import queue
import sys
import threading
import time
import types
import urllib.parse
from types import SimpleNamespace

sys.path.insert(0, sys.argv[1])
MODE = sys.argv[2]
MAX_TOKENS, MAX_REQUESTS = 2048, 16


# --- torch ------------------------------------------------------------------

class Profile:
    """A recording. One at a time, bound to the thread that started it, as torch's are."""

    current = None

    def __init__(self, **options):
        self.options, self.metadata, self.events = options, {}, []

    def start(self):
        assert Profile.current is None, "two recordings"
        Profile.current, self.thread = self, threading.get_ident()
        torch.autograd.profiler._is_profiler_enabled = True

    def stop(self):
        assert threading.get_ident() == self.thread, "stopped in another thread"
        assert Profile.current is self, "not recording"
        Profile.current = None
        torch.autograd.profiler._is_profiler_enabled = False

    def add_metadata_json(self, key, value):
        self.metadata[key] = json.loads(value)

    def export_chrome_trace(self, path):
        keys = {"record_shapes": "record_shapes", "profile_memory": "profile_memory", "with_stack": "with_stack", "with_flops": "with_flops"}
        trace = {"schemaVersion": 1, **{key: 1 for option, key in keys.items() if self.options[option]}, **self.metadata,
                 "traceEvents": self.events}
        with open(path, "w") as f:
            json.dump(trace, f)


class Span:
    """An event of the recording that is on, if one is."""

    def __init__(self, name, category="user_annotation"):
        self.name, self.category = name, category

    def __enter__(self):
        self.profile, self.begin = Profile.current, time.time_ns()

    def __exit__(self, *_):
        if self.profile is not None and self.profile is Profile.current:
            self.profile.events.append({"ph": "X", "cat": self.category, "name": self.name, "pid": 1, "tid": 1,
                                        "ts": self.begin / 1000, "dur": max(time.time_ns() - self.begin, 1) / 1000})


def operator(name):
    with Span(name, "cpu_op"):
        pass


torch = types.ModuleType("torch")
torch.__version__ = "2.0"
torch.profiler = SimpleNamespace(profile=Profile, record_function=Span, ProfilerActivity=SimpleNamespace(CPU="cpu", CUDA="cuda"))
torch.cuda = SimpleNamespace(is_available=lambda: False)
torch.autograd = SimpleNamespace(profiler=SimpleNamespace(_is_profiler_enabled=False))


# --- Modules of vLLM and of the API server ----------------------------------

class WorkerBase:
    def __init__(self):
        self.rank = self.local_rank = 0
        self.profiler = None
        self.model_runner = SimpleNamespace(requests={})
        self.vllm_config = SimpleNamespace(
            parallel_config=SimpleNamespace(world_size=1, data_parallel_rank=0, pipeline_parallel_size=1),
            scheduler_config=SimpleNamespace(max_num_batched_tokens=MAX_TOKENS, max_num_seqs=MAX_REQUESTS))


def forward(tokens):
    if tokens:
        operator("aten::embedding")
        time.sleep(0.001)


class RayWorkerWrapper:
    worker = None

    def execute_model_ray(self, given):
        forward(given[0].total_num_scheduled_tokens)
        operator("aten::argmax")
        return "output"


class FastAPI:
    def __init__(self):
        self.router, self.state = SimpleNamespace(routes=[]), SimpleNamespace()


class Response:
    def __init__(self, chunks, status_code=200, headers=None, media_type="application/json"):
        self.chunks, self.status_code, self.headers, self.media_type = chunks, status_code, headers or {}, media_type


class JSONResponse(Response):
    def __init__(self, content, status_code=200):
        async def chunks():
            yield json.dumps(content, separators=(",", ":"), allow_nan=False).encode()
        super().__init__(chunks(), status_code)


class Route:
    def __init__(self, path, endpoint, methods, include_in_schema):
        self.path, self.endpoint, self.methods = path, endpoint, methods


def module(name, **content):
    """Makes a module that is found when it is imported, so that the plugin's hook of it runs as in vLLM."""
    found = types.ModuleType(name)

    class Loader:
        def create_module(self, spec):
            return found

        def exec_module(self, m):
            m.__dict__.update(content)
    return name, Loader()


MODULES = dict([
    module("vllm.v1.worker.worker_base", WorkerBase=WorkerBase),
    module("vllm.v1.executor.ray_utils", RayWorkerWrapper=RayWorkerWrapper),
    module("fastapi.applications", FastAPI=FastAPI),
    module("starlette.responses", Response=Response, JSONResponse=JSONResponse, StreamingResponse=Response),
    module("starlette.routing", Route=Route),
])


class Finder:
    def find_spec(self, name, path=None, target=None):
        import importlib.machinery
        if name in MODULES:
            return importlib.machinery.ModuleSpec(name, MODULES[name])
        if any(m.startswith(name + ".") for m in MODULES):
            return importlib.machinery.ModuleSpec(name, None, is_package=True)
        return None


# --- The engine core --------------------------------------------------------

class Core:
    """One thread that runs calls and passes in turn; under Ray, calls have a thread of their own."""

    def __init__(self, worker, wrapper):
        self.worker, self.wrapper = worker, wrapper
        self.calls, self.wake = queue.Queue(), threading.Event()
        self.running, self.waiting, self.finished = [], [], False
        self.core_engines = [(0).to_bytes(2, "little")]

    async def _call_utility_async(self, method, name, timeout, args, kwargs, engine):
        assert (method, timeout, kwargs, engine) == ("collective_rpc", None, None, self.core_engines[0])
        loop = asyncio.get_running_loop()
        future = loop.create_future()

        def call():
            answer = getattr(self.worker, name)(*args)
            loop.call_soon_threadsafe(lambda: future.done() or future.set_result([answer]))
        if MODE == "ray":
            threading.Thread(target=call, daemon=True).start()
        else:
            self.calls.put(call)
            self.wake.set()
        return await future

    def add(self, request):
        self.calls.put(lambda: self.waiting.append(request))
        self.wake.set()

    def run(self):
        while True:
            while not self.calls.empty():
                self.calls.get()()
            if self.running or self.waiting or self.finished:
                self.step()
                continue
            self.wake.wait()
            self.wake.clear()

    def step(self):
        self.finished = False
        new, self.waiting = self.waiting, []
        cached = SimpleNamespace(req_ids=[r.id for r in self.running], num_output_tokens=[r.generated for r in self.running],
                                 num_computed_tokens=[r.prompt + r.generated - 1 for r in self.running])
        tokens = {r.id: 1 for r in self.running}
        tokens.update({r.id: r.prompt for r in new})
        if MODE == "now":  # 0.11 does not send the count
            del cached.num_output_tokens
        self.running += new
        self.execute(SimpleNamespace(scheduled_new_reqs=[SimpleNamespace(req_id=r.id) for r in new], scheduled_cached_reqs=cached,
                                     num_scheduled_tokens=tokens, total_num_scheduled_tokens=sum(tokens.values())))
        for r in list(self.running):
            r.generated += 1
            self.worker.model_runner.requests[r.id] = SimpleNamespace(output_token_ids=[1] * r.generated, num_prompt_tokens=r.prompt)
            if r.generated == r.output:
                self.running.remove(r)
                del self.worker.model_runner.requests[r.id]
                self.finished = True
                r.done()

    def execute(self, out):
        if MODE == "ray":
            self.wrapper.execute_model_ray((out, None))
        elif self.worker.execute_model(out) is None:
            self.worker.sample_tokens(None)


# --- The HTTP server --------------------------------------------------------

class Request:
    def __init__(self, app, method, target, headers, body):
        path, _, query = target.partition("?")
        self.app, self.method, self.headers, self.body = app, method, headers, body
        self.url = SimpleNamespace(path=urllib.parse.unquote(path))
        self.query_params = dict(urllib.parse.parse_qsl(query, keep_blank_values=True))

    async def stream(self):
        yield self.body


async def answer(request):
    known = [r for r in request.app.router.routes if r.path == request.url.path]
    for route in known:
        if request.method in route.methods:
            return await route.endpoint(request)
    return JSONResponse({"detail": "Method Not Allowed"} if known else {"detail": "Not Found"}, 405 if known else 404)


async def complete(request, core):
    asked = json.loads(request.body)
    loop = asyncio.get_running_loop()
    done = loop.create_future()
    r = SimpleNamespace(id="r%d" % time.time_ns(), prompt=len(asked["prompt"]), output=asked["max_tokens"], generated=0,
                        done=lambda: loop.call_soon_threadsafe(lambda: done.done() or done.set_result(None)))
    core.add(r)
    await done
    return JSONResponse({})


async def serve(app, core, reader, writer):
    try:
        method, target, _ = (await reader.readline()).decode().split(" ")
        headers = {}
        while True:
            line = (await reader.readline()).decode().strip()
            if not line:
                break
            name, _, value = line.partition(":")
            headers[name.strip().lower()] = value.strip()
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        request = Request(app, method, target, headers, body)
        response = await (complete(request, core) if request.url.path == "/v1/completions" else answer(request))
        body = b"".join([chunk async for chunk in response.chunks])
        head = {"content-type": response.media_type, "content-length": str(len(body)), "connection": "close", **response.headers}
        lines = ["HTTP/1.1 %d x" % response.status_code] + ["%s: %s" % h for h in head.items()]
        writer.write(("\r\n".join(lines) + "\r\n\r\n").encode() + body)
        await writer.drain()
    except (ConnectionError, asyncio.IncompleteReadError, ValueError):
        pass
    finally:
        writer.close()


async def main():
    sys.modules["torch"] = torch
    sys.modules["vllm"] = types.ModuleType("vllm")
    sys.modules["vllm"].__version__, sys.modules["vllm"].__path__ = "0.0.standin", []
    sys.meta_path.insert(0, Finder())
    import profjob_gate
    profjob_gate.register()
    from fastapi.applications import FastAPI
    from vllm.v1.executor.ray_utils import RayWorkerWrapper
    from vllm.v1.worker.worker_base import WorkerBase

    class Worker(WorkerBase):
        def execute_model(self, out):
            forward(out.total_num_scheduled_tokens)
            if MODE == "now" and out.total_num_scheduled_tokens:
                operator("aten::argmax")
            return None if MODE == "later" and out.total_num_scheduled_tokens else "output"

        if MODE == "later":
            def sample_tokens(self, grammar):
                operator("aten::argmax")

    wrapper = RayWorkerWrapper()
    wrapper.worker = Worker()
    core = Core(wrapper.worker, wrapper)
    app = FastAPI()
    app.state.engine_client = SimpleNamespace(engine_core=core)
    threading.Thread(target=core.run, daemon=True).start()
    server = await asyncio.start_server(lambda r, w: serve(app, core, r, w), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


asyncio.run(main())
