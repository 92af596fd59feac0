"""The gate: a vLLM plugin that sees every engine step and records a window of them.

It does nothing at all unless PROFJOB_GATE_SECRET is set in the server's
environment. With it, three places of vLLM are hooked as they are imported:
every V1 worker's execute_model and sample_tokens, the Ray wrapper's
execute_model_ray (older Ray executors call the model runner past the worker),
and FastAPI applications, which get the routes under /profjob/gate.

State lives in the workers: any API server process can answer for any session.
A session is armed in two phases. "prepare" asks every worker whether it can and
how many passes it has seen; "commit" opens the gate. Workers of one engine core
see the same scheduler outputs, so from the same pass on they decide alike.

The protocol is described in the Go package beside this file.
"""

import asyncio
import base64
import functools
import gzip
import hashlib
import hmac
import importlib.abc
import importlib.util
import json
import logging
import os
import platform
import re
import shutil
import socket
import stat
import sys
import threading
import time

VERSION = "1.0.0"
PROTOCOL = 1

SECRET_ENV = "PROFJOB_GATE_SECRET"
ROOT_ENV = "PROFJOB_GATE_ROOT"
PREFIX = "/profjob/gate"

# What no request can go beyond.
HARD_STEPS = 10000
HARD_SECONDS = 3600.0
HARD_BYTES = 64 << 30
MAX_LEASE = 3600.0
# What holds where a request says nothing.
DEFAULT_STEPS = 1000
DEFAULT_SECONDS = 300.0
DEFAULT_BYTES = 8 << 30
DEFAULT_LEASE = 30.0

PREPARED_FOR = 60.0  # seconds between the phases, after which a worker is free again
MIN_FREE = 256 << 20  # bytes on the disk of the root, to be armed at all
KEPT_SESSIONS = 64  # ended ones that a worker remembers, and so serves files of
MAX_BODY = 64 << 10  # of a request, bytes
CHUNK = 1 << 20  # of a local file, bytes
REMOTE_CHUNK = 4 << 20  # of a file that comes through an engine core, bytes
DEATH_SEEN = 0.5  # seconds within which a call notices that its engine has died
GZIP_LEVEL = 3  # ten times as fast as 9 on traces, the file a third larger

log = logging.getLogger("vllm.profjob_gate")


# --- Requests ---------------------------------------------------------------

class Refused(Exception):
    """What the caller is told: an HTTP status, a code, a text, perhaps a field."""

    def __init__(self, status, code, message, field=None, workers=None):
        super().__init__(message)
        self.status, self.code, self.message, self.field, self.workers = status, code, message, field, workers

    def answer(self):
        error = {"code": self.code, "message": self.message}
        if self.field:
            error["field"] = self.field
        if self.workers:
            error["workers"] = self.workers
        return {"error": error}


def bad(field, message):
    return Refused(400, "bad_request", "%s: %s" % (field, message), field)


NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")
PHASES = ("any", "decode", "prefill", "mixed")


class Fields:
    """A JSON object that is read field by field; what is left at the end is an error."""

    def __init__(self, value, path=""):
        if value is None:
            value = {}
        if not isinstance(value, dict):
            raise bad(path or "body", "want a JSON object")
        self.value, self.path = dict(value), path

    def name(self, key):
        return self.path + "." + key if self.path else key

    def take(self, key, default=None):
        value = self.value.pop(key, None)
        return default if value is None else value

    def number(self, key, default, low, high, kinds=(int,)):
        value = self.take(key, default)
        if value is default:
            return default
        if isinstance(value, bool) or not isinstance(value, kinds) or value != value:
            raise bad(self.name(key), "want a whole number" if kinds == (int,) else "want a number")
        if not low <= value <= high:
            raise bad(self.name(key), "want %s to %s, not %s" % (low, high, value))
        return value

    def seconds(self, key, default, low, high):
        value = self.number(key, default, low, high, (int, float))
        return value if value is None else float(value)

    def flag(self, key):
        value = self.take(key, False)
        if not isinstance(value, bool):
            raise bad(self.name(key), "want true or false")
        return value

    def text(self, key, default=None, pattern=NAME):
        value = self.take(key, default)
        if value is default:
            return default
        if not isinstance(value, str) or not pattern.match(value):
            raise bad(self.name(key), "want 1 to 64 letters, digits, '.', '_' or '-', the first a letter or digit")
        return value

    def object(self, key):
        return Fields(self.take(key), self.name(key))

    def end(self):
        for key in self.value:
            raise bad(self.name(str(key)[:64]), "not known to protocol %d" % PROTOCOL)


def parse_arm(body):
    """Checks an arm request and fills in what it leaves open."""
    f = Fields(body)
    protocol = f.take("protocol")
    if protocol != PROTOCOL or isinstance(protocol, bool):
        raise bad("protocol", "this gate speaks protocol %d, not %r" % (PROTOCOL, protocol))
    session = f.text("session")
    if session is None:
        raise bad("session", "missing")
    limits = f.object("limits")
    request = {
        "session": session,
        "prefix": f.text("prefix", ""),
        "lease_s": f.seconds("lease_s", DEFAULT_LEASE, 1, MAX_LEASE),
        "limits": {
            "max_steps": limits.number("max_steps", DEFAULT_STEPS, 1, HARD_STEPS),
            "max_seconds": limits.seconds("max_seconds", DEFAULT_SECONDS, 0.001, HARD_SECONDS),
            "max_bytes": limits.number("max_bytes", DEFAULT_BYTES, 1, HARD_BYTES),
        },
        "window": parse_window(f.object("window")),
        "record": parse_record(f.object("record")),
        "activities": parse_activities(f.take("activities")),
    }
    limits.end()
    f.end()
    steps = request["window"]["steps"]
    if steps and steps > request["limits"]["max_steps"]:
        raise bad("window.steps", "%d is more than limits.max_steps, %d" % (steps, request["limits"]["max_steps"]))
    duration = request["window"]["duration_s"]
    if duration and duration > request["limits"]["max_seconds"]:
        raise bad("window.duration_s", "%g is more than limits.max_seconds, %g" % (duration, request["limits"]["max_seconds"]))
    return request


def parse_window(f):
    window = {
        "steps": f.number("steps", None, 1, HARD_STEPS),
        "duration_s": f.seconds("duration_s", None, 0.001, HARD_SECONDS),
        "threshold": f.number("threshold", 1, 1, 1 << 40),
        "at_most": f.number("at_most", None, 1, 1 << 40),
        "phase": f.take("phase", "any"),
        "all": f.flag("all"),
        "skip_requests": f.number("skip_requests", 0, 0, 1 << 40),
        "delay": f.number("delay", 0, 0, 1 << 40),
    }
    f.end()
    if window["phase"] not in PHASES:
        raise bad("window.phase", "want one of " + ", ".join(PHASES))
    if (window["steps"] is None) == (window["duration_s"] is None):
        raise bad("window.steps", "want either steps or duration_s")
    if window["at_most"] is not None and window["at_most"] < window["threshold"]:
        raise bad("window.at_most", "%d is less than threshold, %d" % (window["at_most"], window["threshold"]))
    return window


def parse_record(f):
    record = {key: f.flag(key) for key in ("shapes", "memory", "stack", "flops")}
    f.end()
    return record


def parse_activities(value):
    if value is None:
        return None
    if not isinstance(value, list) or not value or any(a not in ("cpu", "device") for a in value):
        raise bad("activities", 'want a list of "cpu" and "device"')
    return sorted(set(value))


# --- Steps ------------------------------------------------------------------

def split(out, runner, known=None):
    """Counts of one scheduler output: context requests and tokens, generation requests and tokens.

    The definition is that of vLLM's own annotation (compute_iteration_details,
    0.14 on): a context request has generated no token yet, an extended chunk
    of a chunked prefill included.
    """
    context = {new.req_id for new in out.scheduled_new_reqs}
    cached = out.scheduled_cached_reqs
    outputs = getattr(cached, "num_output_tokens", None)
    if outputs is not None:
        context.update(rid for rid, n in zip(cached.req_ids, outputs) if n == 0)
    else:
        context.update(unfinished_prompts(cached, runner, known))
    requests = tokens = 0
    scheduled = out.num_scheduled_tokens
    for rid in context:
        n = scheduled.get(rid)
        if n is not None:
            requests, tokens = requests + 1, tokens + n
    return requests, tokens, len(scheduled) - requests, out.total_num_scheduled_tokens - tokens


def unfinished_prompts(cached, runner, known):
    """Requests that have generated nothing yet, on versions (0.11) that do not send the count.

    The runner's state is from before this pass. On a pipeline rank that does
    not sample it lags one token behind, so what was computed counts too.
    known remembers requests that are past their prompt; it may be None.
    """
    if known is not None and known.issuperset(cached.req_ids):
        return []
    found = []
    states = runner.requests
    for rid, computed in zip(cached.req_ids, cached.num_computed_tokens):
        state = states.get(rid)
        if state is None or state.output_token_ids or computed >= prompt_length(state):
            if known is not None:
                known.add(rid)
        else:
            found.append(rid)
    return found


def prompt_length(state):
    n = getattr(state, "num_prompt_tokens", None)
    return len(state.prompt_token_ids) if n is None else n


def phases(out, runner, known):
    """Whether a scheduler output has context and generation requests, in as little time as can be."""
    context = bool(out.scheduled_new_reqs)
    cached = out.scheduled_cached_reqs
    outputs = getattr(cached, "num_output_tokens", None)
    if outputs is not None:
        return context or not all(outputs), any(outputs)
    unfinished = len(unfinished_prompts(cached, runner, known)) if cached.req_ids else 0
    return context or unfinished > 0, len(cached.req_ids) > unfinished


def class_of(context, generation):
    if context:
        return "mixed" if generation else "prefill"
    return "decode" if generation else "idle"


def annotation(counts):
    return "execute_context_%d(%d)_generation_%d(%d)" % counts


class Condition:
    """Which step opens a window, told of each step (never of idle passes) in turn."""

    def __init__(self, window):
        self.threshold, self.at_most, self.phase = window["threshold"], window["at_most"], window["phase"]
        self.delay, self.skip = window["delay"], window["skip_requests"]
        self.requests = 0  # newly scheduled ones so far
        self.known = set()

    def fits(self, out, runner):
        tokens = out.total_num_scheduled_tokens
        if tokens < self.threshold or (self.at_most is not None and tokens > self.at_most):
            return False
        if self.phase == "any":
            return True
        context, generation = phases(out, runner, self.known)
        return class_of(context, generation) == self.phase

    def opens(self, out, runner):
        if self.skip:
            self.requests += len(out.scheduled_new_reqs)
        if self.delay > 0:
            self.delay -= 1
            return False
        if self.skip and self.requests <= self.skip:
            return False
        if len(self.known) > 100000:
            self.known.clear()
        return self.fits(out, runner)


# --- Files ------------------------------------------------------------------

def default_root():
    return "/tmp/profjob-gate-%d" % os.geteuid()


def open_root():
    """The folder that files are written to: of this user, no link, closed to others."""
    path = os.environ.get(ROOT_ENV) or default_root()
    if not os.path.isabs(path):
        raise OSError("%s: %s is not an absolute path" % (ROOT_ENV, path))
    try:
        os.makedirs(path, mode=0o700)
    except FileExistsError:
        pass
    info = os.lstat(path)
    if not stat.S_ISDIR(info.st_mode):
        raise OSError("%s is a link or no folder" % path)
    if info.st_uid != os.geteuid():
        raise OSError("%s belongs to user %d, not to this server's %d" % (path, info.st_uid, os.geteuid()))
    if info.st_mode & 0o022:
        raise OSError("%s can be written by others (mode %o)" % (path, info.st_mode & 0o777))
    return path


class Hashing:
    """A file that is written, with its size and SHA-256."""

    def __init__(self, file):
        self.file, self.size, self.sum = file, 0, hashlib.sha256()

    def write(self, data):
        self.file.write(data)
        self.size += len(data)
        self.sum.update(data)
        return len(data)

    def flush(self):
        self.file.flush()


def remove(path):
    try:
        os.remove(path)
    except OSError:
        pass


def resident():
    """The resident set of this process in bytes; 0 where the system does not tell."""
    try:
        with open("/proc/self/statm", "rb") as f:
            return int(f.read(256).split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0


# --- Profilers --------------------------------------------------------------

def devices(torch):
    """The kinds of activity that a torch profiler here can record, beside the CPU."""
    activity = torch.profiler.ProfilerActivity
    found = []
    if torch.cuda.is_available():
        found.append(activity.CUDA)
    if hasattr(torch, "xpu") and hasattr(activity, "XPU") and torch.xpu.is_available():
        found.append(activity.XPU)
    return found


class TorchProfiler:
    """One recording by torch's own profiler. start and stop belong to one thread."""

    suffix = ".pt.trace.json.gz"

    def __init__(self, record, activities):
        torch = sys.modules["torch"]
        wanted = []
        if activities is None or "cpu" in activities:
            wanted.append(torch.profiler.ProfilerActivity.CPU)
        found = devices(torch)
        if activities is not None and "device" in activities and not found:
            raise bad("activities", "this server has no device that torch's profiler knows")
        if activities is None or "device" in activities:
            wanted.extend(found)
        self.torch, self.wanted, self.record = torch, wanted, record
        self.profile = None

    def start(self, metadata):
        self.profile = self.torch.profiler.profile(
            activities=self.wanted,
            record_shapes=self.record["shapes"],
            profile_memory=self.record["memory"],
            with_stack=self.record["stack"],
            with_flops=self.record["flops"],
        )
        self.profile.start()
        for key, value in metadata.items():
            self.profile.add_metadata_json(key, json.dumps(value))

    def stop(self):
        self.profile.stop()

    def write(self, root, name):
        """Writes the trace and gives the files made. It may run in another thread than stop."""
        plain = os.path.join(root, "." + name + ".json")
        part = os.path.join(root, "." + name + ".part")
        try:
            self.profile.export_chrome_trace(plain)
            self.profile = None
            with open(plain, "rb") as src, open(part, "xb") as dst:
                out = Hashing(dst)
                with gzip.GzipFile(filename="", mode="wb", compresslevel=GZIP_LEVEL, fileobj=out, mtime=0) as packed:
                    shutil.copyfileobj(src, packed, CHUNK)
                dst.flush()
                os.fsync(dst.fileno())
            os.rename(part, os.path.join(root, name))
        finally:
            self.profile = None
            remove(plain)
            remove(part)
        return [{"name": name, "size": out.size, "sha256": out.sum.hexdigest()}]


class NPUProfiler:
    """A recording by torch_npu's profiler, whose result is a folder, not a file."""

    suffix = ".ascend"

    def __init__(self, record, activities):
        npu = sys.modules["torch_npu"]
        kinds = {"cpu": npu.profiler.ProfilerActivity.CPU, "device": npu.profiler.ProfilerActivity.NPU}
        self.npu, self.record = npu, record
        self.wanted = [kinds[a] for a in activities or ("cpu", "device")]
        self.folder = None

    def start(self, metadata):
        self.folder = os.path.join(open_root(), "." + metadata["profjob_file"])
        self.profile = self.npu.profiler.profile(
            activities=self.wanted,
            record_shapes=self.record["shapes"],
            profile_memory=self.record["memory"],
            with_stack=self.record["stack"],
            with_flops=self.record["flops"],
            on_trace_ready=self.npu.profiler.tensorboard_trace_handler(self.folder, analyse_flag=False),
        )
        self.profile.start()

    def stop(self):
        self.profile.stop()

    def write(self, root, name):
        self.profile = None
        folder = os.path.join(root, name)
        os.rename(self.folder, folder)
        files = []
        for at, _, names in os.walk(folder):
            for each in sorted(names):
                path = os.path.join(at, each)
                digest = hashlib.sha256()
                with open(path, "rb") as f:
                    for chunk in iter(lambda: f.read(CHUNK), b""):
                        digest.update(chunk)
                files.append({"name": os.path.relpath(path, root), "size": os.path.getsize(path), "sha256": digest.hexdigest()})
        return files


def make_profiler(record, activities):
    kind = NPUProfiler if "torch_npu" in sys.modules else TorchProfiler
    return kind(record, activities)


def profiler_runs():
    """Whether someone's torch profiler is recording in this process."""
    return bool(getattr(sys.modules["torch"].autograd.profiler, "_is_profiler_enabled", False))


# --- A session in a worker --------------------------------------------------

ARMED, RECORDING, WRITING = "armed", "recording", "writing"
DONE, FAILED, DISARMED = "done", "failed", "disarmed"
ENDED = (DONE, FAILED, DISARMED)
ABORT = "abort"  # the reason of an arming that is taken back: no file, no trace of the session


class Session:
    """One window of one worker, from armed to its end.

    before, after and sampled are called in the thread that runs the steps,
    everything else from any thread under the gate's lock.
    """

    def __init__(self, request, begin, who, now):
        self.request, self.begin, self.who = request, begin, who
        self.id = request["session"]
        self.window, self.limits = request["window"], request["limits"]
        self.lease_s = request["lease_s"]
        self.lease_until = now + self.lease_s
        self.condition = Condition(self.window)
        self.state = ARMED
        self.ended_by = None
        self.error = None
        self.counted = 0  # steps seen while armed
        self.discarded = 0  # recordings thrown away since a step did not fit
        self.steps = []
        self.files = []
        self.stop_asked = None  # a reason, for the thread that records
        self.profiler = None
        self.thread = None
        self.pending = False  # the last step still has to sample
        self.began = self.memory = 0
        # Clocks of ranks of one core would end a duration at different passes: the
        # API process ends it with one call, which meets all between the same two.
        self.grace = 0.5 if who.get("world_size", 1) > 1 else 0.0
        self.cost = {}  # seconds that the gate took of the thread of the steps, and beside it
        self.writer = None

    # In the thread of the steps.

    def before(self, index, worker, out):
        """Called as a pass begins; gives the annotation to put around it, or None."""
        now = time.monotonic()
        if self.state == RECORDING:
            self.before_next(now, worker, out)
        if self.state == ARMED:
            if self.stop_asked or now >= self.lease_until:
                self.end(self.stop_asked or "lease")
                return None
            if index < self.begin or not out.total_num_scheduled_tokens:
                return None
            self.counted += 1
            if not self.condition.opens(out, worker.model_runner):
                return None
            self.start()
        if self.state != RECORDING:
            return None
        counts = split(out, getattr(worker, "model_runner", None))
        if out.total_num_scheduled_tokens:
            self.steps.append({
                "pass": index,
                "class": class_of(counts[0], counts[2]),
                "requests": counts[0] + counts[2],
                "tokens": counts[1] + counts[3],
                "context_requests": counts[0],
                "context_tokens": counts[1],
                "generation_requests": counts[2],
                "generation_tokens": counts[3],
                "start_ns": time.time_ns(),
                "end_ns": 0,
                "sampled": False,
            })
            self.pending = True
        return None if annotates(worker) else annotation(counts)

    def before_next(self, now, worker, out):
        """Ends the recording before this pass if it is over, or throws it away if the pass does not fit."""
        if self.pending:  # its sampling never came
            self.finish_step(False)
        reason = self.stop_asked or self.due(now)
        if reason == ABORT:
            self.discard()
            self.state, self.ended_by = DISARMED, ABORT
            return
        if reason is None and resident() - self.memory > self.limits["max_bytes"]:
            reason = "max_bytes"
        if reason is not None:
            self.stop(reason)
        elif self.window["steps"] and len(self.steps) >= self.window["steps"]:
            self.stop("steps")
        elif len(self.steps) >= self.limits["max_steps"]:
            self.stop("max_steps")
        elif self.window["all"] and out.total_num_scheduled_tokens and not self.condition.fits(out, worker.model_runner):
            self.discard()

    def after(self, result, samples_later):
        """Called as a pass ends."""
        if self.state == RECORDING and self.pending and not (samples_later and result is None):
            self.finish_step(True)
            self.stop_if_full()

    def sampled(self):
        """Called as the sampling of a pass ends."""
        if self.state == RECORDING and self.pending:
            self.finish_step(True)
            self.stop_if_full()

    def finish_step(self, sampled):
        self.pending = False
        step = self.steps[-1]
        step["end_ns"], step["sampled"] = time.time_ns(), sampled

    def stop_if_full(self):
        if self.window["steps"] and len(self.steps) >= self.window["steps"]:
            self.stop("steps")

    def start(self):
        if profiler_runs():
            raise RuntimeError("another profiler is recording in this worker")
        began = time.perf_counter()
        self.name = file_name(self.request, self.who)
        self.profiler = make_profiler(self.request["record"], self.request["activities"])
        self.name += self.profiler.suffix
        self.memory = resident()
        self.thread = threading.get_ident()
        self.profiler.start({"profjob_gate": VERSION, "profjob_session": self.id, "profjob_core": self.who.get("core"),
                             "profjob_rank": self.who.get("rank"), "profjob_file": self.name})
        self.began = time.monotonic()
        self.state = RECORDING
        self.cost["start_s"] = time.perf_counter() - began

    def discard(self):
        self.profiler.stop()
        self.profiler = None
        self.steps, self.pending = [], False
        self.discarded += 1
        self.state = ARMED

    def stop(self, reason):
        """Stops the profiler and leaves the writing to a thread. In the thread that started it only."""
        began = time.perf_counter()
        profiler, self.profiler = self.profiler, None
        self.state, self.ended_by = WRITING, reason
        if self.pending:
            self.finish_step(False)
        try:
            profiler.stop()
        except Exception as e:  # noqa: BLE001
            self.fail("stop the profiler: %s" % describe(e))
            return
        self.cost["stop_s"] = time.perf_counter() - began
        self.writer = threading.Thread(target=self.write, args=(profiler,), name="profjob-gate-write", daemon=True)
        self.writer.start()

    def write(self, profiler):
        began = time.perf_counter()
        try:
            self.files = profiler.write(open_root(), self.name)
        except Exception as e:  # noqa: BLE001
            self.fail("write the trace: %s" % describe(e))
            return
        self.cost["write_s"] = time.perf_counter() - began
        self.state = DONE if self.ended_by in ("steps", "duration") else DISARMED

    # In any thread.

    def due(self, now):
        """Why a recording has to end now, or None."""
        if now >= self.lease_until:
            return "lease"
        elapsed = now - self.began
        if self.window["duration_s"] and elapsed >= self.window["duration_s"] + self.grace:
            return "duration"
        if elapsed >= self.limits["max_seconds"]:
            return "max_seconds"
        return None

    def due_in(self, now):
        """Seconds until something may have to end."""
        left = self.lease_until - now
        if self.state == RECORDING:
            for limit in (self.window["duration_s"], self.limits["max_seconds"]):
                if limit:
                    left = min(left, self.began + limit - now)
        elif self.window["duration_s"]:
            left = min(left, 0.25)  # it begins with a pass, whenever that is
        return max(left, 0.0)

    def over(self, now):
        """Whether the duration asked for has passed."""
        return bool(self.state == RECORDING and self.window["duration_s"] and now - self.began >= self.window["duration_s"])

    def check(self, now):
        """Ends what is due, as far as this thread can."""
        if self.state == ARMED and now >= self.lease_until:
            self.end("lease")
        elif self.state == RECORDING:
            reason = self.due(now)
            if reason is not None:
                self.end(reason)

    def end(self, reason):
        """Ends the session: at once if it can be, else the thread that records does at its next pass."""
        if self.state == ARMED:
            self.state, self.ended_by = DISARMED, reason
        elif self.state == RECORDING:
            if threading.get_ident() != self.thread:
                self.stop_asked = reason
            elif reason == ABORT:
                self.discard()
                self.state, self.ended_by = DISARMED, ABORT
            else:
                self.stop(reason)

    def fail(self, error):
        """Ends the session with an error; a profiler that runs is stopped, its recording lost."""
        profiler, self.profiler = self.profiler, None
        self.state, self.ended_by, self.error = FAILED, "error", error
        log.warning("profjob gate: session %s: %s", self.id, error)
        if profiler is not None:
            try:
                profiler.stop()
            except Exception as e:  # noqa: BLE001
                self.error += "; then stop the profiler: %s" % describe(e)

    def status(self):
        steps = self.steps if self.state in ENDED or self.state == WRITING else []
        return {
            "session": self.id,
            "state": self.state,
            "ended_by": self.ended_by,
            "error": self.error,
            "begin": self.begin,
            "counted": self.counted,
            "discarded": self.discarded,
            "recorded": len(self.steps),
            "stopping": self.stop_asked if self.state == RECORDING else None,
            "steps": steps,
            "files": self.files if self.state in ENDED else [],
            "cost": self.cost,
            "lease_left_s": max(self.lease_until - time.monotonic(), 0.0) if self.state in (ARMED, RECORDING) else 0.0,
        }


def describe(error):
    if isinstance(error, Refused):
        return error.message
    return "%s: %s" % (type(error).__name__, str(error)[:500])


def file_name(request, who):
    """Without the suffix. The number is the time of the start, ns."""
    prefix = request["prefix"] + "_" if request["prefix"] else ""
    return "%s%s_dp%s_pp%s_tp%s_rank%s.%d" % (
        prefix, request["session"], who.get("core", 0), who.get("pp_rank", 0), who.get("tp_rank", 0),
        who.get("rank", 0), time.time_ns())


def annotates(worker):
    """Whether this worker's execute_model puts a span with tokens into a recording that is not its own profiler's.

    0.14 to 0.25: as soon as a torch profiler is configured. From 0.26 its
    profiler says so (should_annotate): only while it records itself, which
    excludes a recording of ours.
    """
    profiler = getattr(worker, "profiler", None)
    if not profiler or not _annotates_tokens(type(worker)):
        return False
    should = getattr(profiler, "should_annotate", None)
    if should is not None:
        return bool(should)
    return "Torch" in type(profiler).__name__


@functools.lru_cache(maxsize=None)
def _annotates_tokens(cls):
    code = getattr(getattr(cls, "annotate_profile", None), "__code__", None)
    return code is not None and any(isinstance(c, str) and c.startswith("execute_context_") for c in code.co_consts)


# --- A worker ---------------------------------------------------------------

class Gate:
    """What one worker process knows: its count of passes, the session that is on, and those that were."""

    def __init__(self):
        self.passes = 0
        self.session = None  # armed or recording; None costs a pass next to nothing
        self.prepared = None  # (request, until)
        self.ended = {}  # by id, the oldest first
        self.warm = set()
        self.ray = False  # passes come through execute_model_ray, in a thread of its own
        self.lock = threading.RLock()

    # Passes.

    def run(self, worker, out, call, args, kwargs, samples_later):
        """One pass while a session is on. Whatever goes wrong in here stays in here."""
        span = None
        with self.lock:
            session = self.session
            if session is not None:
                try:
                    name = session.before(self.passes, worker, out)
                    if name is not None:
                        span = sys.modules["torch"].profiler.record_function(name)
                        span.__enter__()
                except Exception as e:  # noqa: BLE001
                    span = None
                    session.fail(describe(e))
                self.settle()
        try:
            result = call(*args, **kwargs)
        except BaseException:
            self.broken(session, span)
            raise
        self.leave(session, span, result, samples_later)
        return result

    def leave(self, session, span, result, samples_later):
        if span is not None:
            try:
                span.__exit__(None, None, None)
            except Exception as e:  # noqa: BLE001
                session.fail(describe(e))
        if session is not None and session.state == RECORDING:
            self.guarded(session, lambda: session.after(result, samples_later))

    def sample(self, call, args, kwargs):
        result = call(*args, **kwargs)
        session = self.session
        if session is not None and session.state == RECORDING:
            self.guarded(session, session.sampled)
        return result

    def guarded(self, session, what):
        with self.lock:
            try:
                what()
            except Exception as e:  # noqa: BLE001
                session.fail(describe(e))
            self.settle()

    def broken(self, session, span):
        """The server's own pass raised."""
        if span is not None:
            try:
                span.__exit__(None, None, None)
            except Exception:  # noqa: BLE001
                pass
        if session is not None and session.state == RECORDING:
            self.guarded(session, lambda: session.fail("the server's pass raised an exception"))

    def settle(self):
        """Moves a session that is over out of the way of the passes."""
        session = self.session
        if session is not None and session.state not in (ARMED, RECORDING):
            self.session = None
            if session.ended_by == ABORT:
                return
            self.ended[session.id] = session
            while len(self.ended) > KEPT_SESSIONS:
                self.ended.pop(next(iter(self.ended)))

    # Calls from the API server.

    def answer(self, worker, text):
        """One call; never raises."""
        try:
            envelope = json.loads(text)
            if not hmac.compare_digest(envelope["mac"], mac(envelope["body"])):
                raise Refused(401, "unauthorized", "the call does not come from this server's gate")
            call = json.loads(envelope["body"])
            with self.lock:
                who = self.who(worker, call.get("core"))
                return json.dumps(dict(who, **self.operate(worker, who, call)))
        except Refused as e:
            return json.dumps(dict(self.who(worker, None), status=e.status, **e.answer()))
        except Exception as e:  # noqa: BLE001
            return json.dumps(dict(self.who(worker, None), status=500, error={"code": "worker", "message": describe(e)}))

    def who(self, worker, core):
        who = {"core": core or 0, "rank": getattr(worker, "rank", 0)}
        try:
            who.update(local_rank=worker.local_rank, world_size=worker.vllm_config.parallel_config.world_size)
            state = sys.modules["vllm.distributed.parallel_state"]
            who.update(tp_rank=state.get_tp_group().rank_in_group, pp_rank=state.get_pp_group().rank_in_group)
        except Exception:  # noqa: BLE001  what is not known yet is left out
            pass
        return dict(who, host=socket.gethostname(), pid=os.getpid(), passes=self.passes, version=VERSION)

    def operate(self, worker, who, call):
        now = time.monotonic()
        if self.session is not None:
            self.session.check(now)
            self.settle()
        if self.prepared is not None and now >= self.prepared[1]:
            self.prepared = None
        op = call["op"]
        if op == "hello":
            return self.hello(worker)
        if op == "prepare":
            return self.prepare(worker, call["request"], now)
        if op == "commit":
            return self.commit(call, who, now)
        if op == "abort":
            return self.abort(call["session"])
        session = self.find(call["session"])
        if session is None:
            return {"state": None}
        if op == "disarm":
            session.end(call.get("reason") or "disarm")
            self.settle()
        elif op == "renew":
            self.renew(session, now, call.get("lease_s"))
        elif op == "read":
            return self.read(session, call)
        elif op == "delete":
            return self.delete(session, call["name"])
        return dict(session.status(), due_in_s=session.due_in(now), over=session.over(now), places=self.places(session))

    def find(self, session):
        if self.session is not None and self.session.id == session:
            return self.session
        return self.ended.get(session)

    def renew(self, session, now, lease_s):
        if session.state in (ARMED, RECORDING):
            if lease_s is not None:
                session.lease_s = lease_s
            session.lease_until = max(session.lease_until, now + session.lease_s) if lease_s is None else now + lease_s

    def hello(self, worker):
        torch = sys.modules["torch"]
        scheduler = worker.vllm_config.scheduler_config
        return {
            "torch": torch.__version__,
            "profiler": "torch_npu" if "torch_npu" in sys.modules else "torch",
            "activities": ["cpu"] + (["device"] if "torch_npu" in sys.modules or devices(torch) else []),
            "max_num_batched_tokens": scheduler.max_num_batched_tokens,
            "max_num_seqs": scheduler.max_num_seqs,
            "hooks": hooked(worker),
            "busy": self.session.id if self.session is not None else None,
            "root": open_root(),
        }

    def prepare(self, worker, request, now):
        holder = self.session.id if self.session is not None else self.prepared[0]["session"] if self.prepared else None
        if holder is not None:
            raise Refused(409, "busy", "session %s is armed" % holder)
        if request["session"] in self.ended:
            raise bad("session", "%s was used already" % request["session"])
        if not hooked(worker):
            raise Refused(500, "worker", "the gate found no execute_model to hook in %s" % type(worker).__name__)
        if profiler_runs():
            raise Refused(409, "busy", "the server's own profiler, or another, is recording in this worker")
        most = worker.vllm_config.scheduler_config.max_num_batched_tokens
        if most and request["window"]["threshold"] > most:
            raise bad("window.threshold", "%d is more than this server's max_num_batched_tokens, %d: no step has so many" % (
                request["window"]["threshold"], most))
        root = open_root()
        free = shutil.disk_usage(root).free
        if free < MIN_FREE:
            raise Refused(507, "disk", "%s has %d bytes left, less than %d" % (root, free, MIN_FREE))
        spent = self.warm_up(request)
        self.prepared = (request, now + PREPARED_FOR)
        return {"overlaps": self.overlaps(worker), "warm_up_s": spent}

    def overlaps(self, worker):
        """Whether passes may begin while a call is on its way.

        Calls and passes of the older Ray executor come through two channels.
        There the engine core has one pass under way at most and makes no call
        meanwhile, unless pipelining or asynchronous scheduling allows more
        (max_concurrent_batches, 0.11 to 0.32).
        """
        config = worker.vllm_config
        return self.ray and (config.parallel_config.pipeline_parallel_size > 1
                             or bool(getattr(config.scheduler_config, "async_scheduling", False)))

    def warm_up(self, request):
        """The first start of a profiler is slow: a throwaway one takes that cost, once a set of options."""
        record, activities = request["record"], request["activities"]
        key = json.dumps([record, activities], sort_keys=True)
        if key in self.warm or "torch_npu" in sys.modules:
            make_profiler(record, activities)  # says what it cannot do
            return 0.0
        began = time.perf_counter()
        profiler = make_profiler(record, activities)
        profiler.start({})
        profiler.stop()
        self.warm.add(key)
        return time.perf_counter() - began

    def commit(self, call, who, now):
        if self.prepared is None or self.prepared[0]["session"] != call["session"]:
            raise Refused(409, "busy", "session %s is not prepared here" % call["session"])
        begin = call.get("begin")
        if begin is None:
            begin = self.passes + 1
        elif begin <= self.passes:
            return {"late": True, "begin": begin}
        request, self.prepared = self.prepared[0], None
        self.session = Session(request, begin, who, now)
        return dict(self.session.status(), due_in_s=self.session.due_in(now))

    def abort(self, session):
        """Undoes prepare and commit, as if they had not been."""
        if self.prepared is not None and self.prepared[0]["session"] == session:
            self.prepared = None
        if self.session is not None and self.session.id == session:
            self.session.end(ABORT)
            self.settle()
        return {"idle": self.session is None or self.session.id != session}

    # Files.

    def places(self, session):
        """Where the files are, so that an API server can tell whether it sees the same ones."""
        if session.state not in ENDED:
            return {}
        found = {}
        for file in session.files:
            try:
                path = os.path.join(open_root(), file["name"])
                info = os.stat(path)
                found[file["name"]] = [path, info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns]
            except OSError:
                pass
        return found

    def listed(self, session, name):
        for file in session.files if session.state in ENDED else ():
            if file["name"] == name:
                return file
        return None

    def read(self, session, call):
        file = self.listed(session, call["name"])
        if file is None:
            return {"state": session.state}
        with open(os.path.join(open_root(), file["name"]), "rb") as f:
            f.seek(call["offset"])
            data = f.read(min(call["length"], REMOTE_CHUNK))
        return {"state": session.state, "data": base64.b64encode(data).decode("ascii")}

    def delete(self, session, name):
        file = self.listed(session, name)
        if file is None:
            return {"state": session.state}
        remove(os.path.join(open_root(), file["name"]))
        session.files = [f for f in session.files if f is not file]
        return {"state": session.state, "deleted": True}


gate = Gate()


def mac(body):
    """Proof that a call comes from an API process of this server: /collective_rpc of the development mode asks nobody."""
    return hmac.new(os.environ.get(SECRET_ENV, "").encode(), body.encode(), hashlib.sha256).hexdigest()


# --- Hooks of a worker ------------------------------------------------------

# The functions that are hooks. An attribute would not tell: functools.wraps copies
# it to whatever others wrap around them, and Ray sends those to other processes.
HOOKED = set()


def hook_execute(call, samples_later):
    @functools.wraps(call)
    def execute_model(self, scheduler_output, *args, **kwargs):
        gate.passes += 1
        if gate.session is None:
            return call(self, scheduler_output, *args, **kwargs)
        return gate.run(self, scheduler_output, call, (self, scheduler_output) + args, kwargs, samples_later)
    HOOKED.add(execute_model)
    return execute_model


def hook_sample(call):
    @functools.wraps(call)
    def sample_tokens(self, *args, **kwargs):
        if gate.session is None:
            return call(self, *args, **kwargs)
        return gate.sample(call, (self,) + args, kwargs)
    HOOKED.add(sample_tokens)
    return sample_tokens


def hook_ray(call):
    """The old Ray executor's step: model runner and sampling in one, past the worker."""
    @functools.wraps(call)
    def execute_model_ray(self, given, *args, **kwargs):
        gate.passes += 1
        gate.ray = True
        if gate.session is None:
            return call(self, given, *args, **kwargs)
        out = given[0] if isinstance(given, tuple) else given
        return gate.run(self.worker, out, call, (self, given) + args, kwargs, False)
    HOOKED.add(execute_model_ray)
    return execute_model_ray


def replace(cls, name, wrap):
    """Wraps the method where the class or one of its bases defines it, once."""
    for owner in cls.__mro__:
        method = owner.__dict__.get(name)
        if method is not None:
            if method not in HOOKED:
                setattr(owner, name, wrap(method))
            return True
    return False


def hook_worker(cls):
    samples_later = hasattr(cls, "sample_tokens")
    if samples_later:
        replace(cls, "sample_tokens", hook_sample)
    replace(cls, "execute_model", lambda call: hook_execute(call, samples_later))


def hooked(worker):
    names = ("execute_model", "sample_tokens")
    return [n for n in names if getattr(type(worker), n, None) in HOOKED]


def profjob_gate(self, text):
    return gate.answer(self, text)


def hook_worker_base(module):
    """Every V1 worker, of whatever platform, begins in WorkerBase.__init__."""
    base = module.WorkerBase
    base.profjob_gate = profjob_gate
    begin = base.__init__
    if begin in HOOKED:
        return

    @functools.wraps(begin)
    def init(self, *args, **kwargs):
        begin(self, *args, **kwargs)
        try:
            hook_worker(type(self))
        except Exception:  # noqa: BLE001
            log.exception("profjob gate: cannot hook %s", type(self).__name__)
    HOOKED.add(init)
    base.__init__ = init


def hook_ray_wrapper(module):
    wrapper = getattr(module, "RayWorkerWrapper", None)  # None: Ray is not installed
    if not hasattr(wrapper, "execute_model_ray") or wrapper.execute_model_ray in HOOKED:
        return
    for cls in leaves(wrapper):
        gate.ray = gate.ray or cls is not wrapper  # this process is an actor of it
        if cls.execute_model_ray not in HOOKED:
            cls.execute_model_ray = hook_ray(cls.execute_model_ray)


def leaves(cls):
    """The classes that have no further ones below them.

    Ray makes an actor's class from the one that it is given, with a copy of each
    method that calls the original as it was when the class came to the process
    (_inject_tracing_into_class, 2.49 to 2.60), which is before plugins are
    loaded: what is hooked in the original alone is never called.
    """
    below = [leaf for each in cls.__subclasses__() for leaf in leaves(each)]
    return below or [cls]


# --- The API server ---------------------------------------------------------

class Front:
    """The routes of one API server process. It keeps no state of a session but a timer for those that it armed."""

    def __init__(self, secret):
        self.secret = secret.encode()
        self.watchers = set()
        self.arming = None  # a lock, made in the loop that it belongs to

    def routes(self):
        from starlette.routing import Route
        table = (
            ("GET", "hello", self.hello), ("POST", "arm", self.arm), ("GET", "status", self.status),
            ("POST", "renew", self.renew), ("POST", "disarm", self.disarm),
            ("GET", "file", self.file), ("DELETE", "file", self.delete),
        )
        return [Route(PREFIX + "/" + name, self.guarded(handler), methods=[method], include_in_schema=False)
                for method, name, handler in table]

    def guarded(self, handler):
        from starlette.responses import JSONResponse, Response

        async def route(request):
            try:
                self.check(request)
                answer = await handler(request)
                return answer if isinstance(answer, Response) else JSONResponse(answer)
            except Refused as e:
                return JSONResponse(e.answer(), status_code=e.status)
            except Exception as e:  # noqa: BLE001
                log.exception("profjob gate: %s", request.url.path)
                return JSONResponse(Refused(500, "gate", describe(e)).answer(), status_code=500)
        return route

    def check(self, request):
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        own = request.headers.get("x-profjob-gate")
        if own:  # Authorization is for something before the server
            kind, token = "bearer", own
        if kind.lower() != "bearer" or not hmac.compare_digest(token.strip().encode(), self.secret):
            raise Refused(401, "unauthorized", "the gate's secret is missing or wrong")

    # Routes.

    async def hello(self, request):
        cores = await ask(request.app, {"op": "hello"}, 60)
        vllm = sys.modules.get("vllm")
        torch = sys.modules.get("torch")
        return {
            "gate": VERSION,
            "protocol": PROTOCOL,
            "vllm": getattr(vllm, "__version__", ""),
            "python": platform.python_version(),
            "torch": getattr(torch, "__version__", ""),
            "api_pid": os.getpid(),
            "limits": {"max_steps": HARD_STEPS, "max_seconds": HARD_SECONDS, "max_bytes": HARD_BYTES, "max_lease_s": MAX_LEASE},
            "can": ["steps", "duration", "threshold", "at_most", "phase", "all", "skip_requests", "delay", "ranges", "delete"],
            "workers": cores,
        }

    async def arm(self, request):
        wanted = parse_arm(await body(request))
        if self.arming is None:
            self.arming = asyncio.Lock()
        async with self.arming:
            try:
                workers = await arm_all(request.app, wanted)
            except BaseException:
                await ask(request.app, {"op": "abort", "session": wanted["session"]}, 60)
                raise
        self.watch(request.app, wanted["session"], workers)
        return report(wanted["session"], workers)

    async def status(self, request):
        return await self.watched(request.app, session_of(request), {"op": "renew"})

    async def renew(self, request):
        f = Fields(await body(request))
        session, lease_s = f.text("session"), f.seconds("lease_s", None, 1, MAX_LEASE)
        f.end()
        if session is None:
            raise bad("session", "missing")
        return await self.watched(request.app, session, {"op": "renew", "lease_s": lease_s})

    async def disarm(self, request):
        f = Fields(await body(request))
        session = f.text("session")
        f.end()
        if session is None:
            raise bad("session", "missing")
        return await self.watched(request.app, session, {"op": "disarm"})

    async def watched(self, app, session, call):
        """Asks all workers for a session; where one has failed, the others are stopped."""
        workers = await ask(app, dict(call, session=session), 60)
        if failed(workers) and any(w.get("state") in (ARMED, RECORDING) for w in workers):
            workers = await ask(app, {"op": "disarm", "session": session, "reason": "another worker failed"}, 60)
        return report(session, workers)

    async def file(self, request):
        from starlette.responses import StreamingResponse
        name = request.query_params.get("name", "")
        app, session = request.app, session_of(request)
        worker, file = await find_file(app, session, name)
        asked = request.headers.get("range") or request.query_params.get("range")
        first, last = byte_range(asked, file["size"])
        headers = {"accept-ranges": "bytes", "content-length": str(last - first + 1), "cache-control": "no-store",
                   "etag": '"%s"' % file["sha256"]}
        if asked:
            headers["content-range"] = "bytes %d-%d/%d" % (first, last, file["size"])
        path = seen_here(worker, name)
        chunks = local_chunks(path, first, last) if path else remote_chunks(app, session, worker, name, first, last)
        return StreamingResponse(chunks, status_code=206 if asked else 200, headers=headers, media_type="application/octet-stream")

    async def delete(self, request):
        name = request.query_params.get("name", "")
        session = session_of(request)
        await find_file(request.app, session, name)
        workers = await ask(request.app, {"op": "delete", "session": session, "name": name}, 60)
        return {"session": session, "name": name, "deleted": any(w.get("deleted") for w in workers)}

    # The timer: an idle worker sees no pass and would never look at its lease.

    def watch(self, app, session, workers):
        task = asyncio.ensure_future(self.tick(app, session, workers))
        self.watchers.add(task)
        task.add_done_callback(self.watchers.discard)

    async def tick(self, app, session, workers):
        while True:
            left = [w["due_in_s"] for w in workers if w.get("state") in (ARMED, RECORDING) and not w.get("stopping")]
            if not left:
                return
            await asyncio.sleep(max(min(left), 0.02))
            try:
                workers = await ask(app, {"op": "tick", "session": session}, 60)
                over = {w["core"] for w in workers if w.get("over")}
                if over:
                    workers = await ask(app, lambda core: {"op": "disarm" if core in over else "tick", "session": session,
                                                           "reason": "duration"}, 60)
                if failed(workers):
                    workers = await ask(app, {"op": "disarm", "session": session, "reason": "another worker failed"}, 60)
            except Refused as e:
                log.warning("profjob gate: session %s: %s", session, e.message)
                await asyncio.sleep(1)


async def body(request):
    data = b""
    async for chunk in request.stream():
        data += chunk
        if len(data) > MAX_BODY:
            raise Refused(413, "too_large", "the body has more than %d bytes" % MAX_BODY)
    try:
        return json.loads(data or b"{}")
    except (ValueError, RecursionError):
        raise bad("body", "not JSON")


def session_of(request):
    session = request.query_params.get("session", "")
    if not NAME.match(session):
        raise bad("session", "missing or malformed")
    return session


async def arm_all(app, wanted):
    """Both phases. Afterwards every worker of a core counts from the same pass, or nothing is armed."""
    session = wanted["session"]
    workers = await ask(app, {"op": "prepare", "request": wanted}, 300)
    raise_first(workers)
    # Where no pass begins while a call is on its way, "from the next pass on" is
    # the same pass everywhere. Elsewhere a pass ahead of all of them is named.
    margin = 8 if any(w.get("overlaps") for w in workers) else 0
    for _ in range(6):
        begin = {}
        if margin:
            for w in workers:
                begin[w["core"]] = max(begin.get(w["core"], 0), w["passes"] + margin)
        workers = await ask(app, lambda core: {"op": "commit", "session": session, "begin": begin.get(core)}, 60)
        raise_first(workers)
        if not any(w.get("late") for w in workers) and agree(workers):
            return workers
        margin = max(8, 4 * margin)
        workers = await again(app, session, wanted)
    raise Refused(500, "worker", "the workers of one engine core could not agree on a pass to begin at", workers=brief(workers))


async def again(app, session, wanted):
    for _ in range(50):
        if all(w.get("idle") for w in await ask(app, {"op": "abort", "session": session}, 60)):
            break
        await asyncio.sleep(0.1)
    workers = await ask(app, {"op": "prepare", "request": wanted}, 300)
    raise_first(workers)
    return workers


def agree(workers):
    begin = {}
    return all(begin.setdefault(w["core"], w["begin"]) == w["begin"] for w in workers)


def failed(workers):
    return any(w.get("error") or w.get("state") == FAILED for w in workers)


def raise_first(workers):
    """Tells of the first worker that refused, and names all that did."""
    refusing = [w for w in workers if isinstance(w.get("error"), dict)]
    if refusing:
        w = refusing[0]
        e = w["error"]
        message = e["message"]
        if e["code"] != "bad_request":
            message = "core %s rank %s: %s" % (w.get("core"), w.get("rank"), message)
        raise Refused(w.get("status", 500), e["code"], message, e.get("field"), brief(refusing))


def brief(workers):
    keys = ("core", "rank", "tp_rank", "pp_rank", "host", "pid", "passes", "begin")
    found = []
    for w in workers:
        one = {k: w[k] for k in keys if k in w}
        if w.get("error"):
            one["error"] = w["error"]["message"] if isinstance(w["error"], dict) else w["error"]
        found.append(one)
    return found


INTERNAL = ("places", "due_in_s", "over", "lease_left_s")
ORDER = (FAILED, RECORDING, ARMED, WRITING, DISARMED, DONE)


def report(session, workers):
    """What a caller is told of a session: the state of the least advanced worker, a failure above all."""
    workers = [{k: v for k, v in w.items() if k not in INTERNAL} for w in workers]
    for w in workers:
        if isinstance(w.get("error"), dict):
            w["error"], w["state"] = w["error"]["message"], FAILED
    known = [w for w in workers if w.get("state")]
    if not known:
        raise Refused(404, "not_found", "no worker knows the session %s" % session)
    for w in workers:
        if not w.get("state"):
            w["state"], w["error"] = FAILED, "this worker does not know the session"
    state = next((s for s in ORDER if any(w["state"] == s for w in workers)), FAILED)
    return {"protocol": PROTOCOL, "session": session, "state": state, "workers": workers}


async def ask(app, call, timeout):
    """Asks every worker of every engine core; one entry a worker, with its error where it has one.

    collective_rpc of the engine client reaches every core but hands back only
    the first one's answers (DPLBAsyncMPClient.call_utility_async, 0.11 to
    0.32), so each core is asked by itself. A call that is given up is not
    cancelled: its answer would meet a future that is gone.

    vLLM leaves the calls of an engine that dies without an answer, and its API
    server ends only once the requests in it have: it is not waited for.
    """
    engine = getattr(app.state, "engine_client", None)
    if engine is None:
        raise Refused(503, "engine", "this application has no engine")
    make = call if callable(call) else lambda core: call
    client = getattr(engine, "engine_core", None)
    utility = getattr(client, "_call_utility_async", None)
    cores = list(getattr(client, "core_engines", None) or [])
    if utility is not None and cores:
        calls = [(core_number(c, i), utility("collective_rpc", "profjob_gate", None, (sealed(make, core_number(c, i)),), None, engine=c))
                 for i, c in enumerate(cores)]
    else:
        calls = [(0, engine.collective_rpc("profjob_gate", args=(sealed(make, 0),)))]
    tasks = [asyncio.ensure_future(c) for _, c in calls]
    for task in tasks:
        task.add_done_callback(lambda t: t.cancelled() or t.exception())
    until, pending = time.monotonic() + timeout, tasks
    while pending and time.monotonic() < until and not dead(engine):
        _, pending = await asyncio.wait(pending, timeout=min(DEATH_SEEN, max(until - time.monotonic(), 0)))
    workers = []
    for (core, _), task in zip(calls, tasks):
        workers.extend(answers(core, task, timeout, engine))
    return workers


def dead(engine):
    """Whether vLLM itself holds that its engine is beyond help (AsyncLLM.errored, 0.11 to 0.32)."""
    return bool(getattr(engine, "errored", False))


def answers(core, task, timeout, engine):
    if not task.done() and dead(engine):
        return [{"core": core, "status": 503, "error": {"code": "engine", "message": "the engine is dead"}}]
    if not task.done():
        return [{"core": core, "status": 504, "error": {"code": "engine", "message": "no answer within %d s" % timeout}}]
    if task.cancelled() or task.exception():
        why = "cancelled" if task.cancelled() else describe(task.exception())
        return [{"core": core, "status": 503, "error": {"code": "engine", "message": why}}]
    return [dict(json.loads(text), core=core) for text in task.result()]


def core_number(identity, index):
    """vLLM names an engine core by its data parallel rank, two bytes, the lower one first."""
    return int.from_bytes(identity, "little") if isinstance(identity, bytes) and len(identity) == 2 else index


def sealed(make, core):
    text = json.dumps(dict(make(core), core=core))
    return json.dumps({"body": text, "mac": mac(text)})


# --- Files, in the API server -----------------------------------------------

async def find_file(app, session, name):
    """The worker that wrote a file that the session lists, and what it says of it."""
    workers = await ask(app, {"op": "renew", "session": session}, 60)
    for w in workers:
        for file in w.get("files") or ():
            if file["name"] == name:
                return w, file
    raise Refused(404, "not_found", "the session %s lists no such file" % session)


def seen_here(worker, name):
    """The path, if this process sees the very file that the worker wrote; else None."""
    place = (worker.get("places") or {}).get(name)
    if place is None:
        return None
    try:
        info = os.stat(place[0])
    except OSError:
        return None
    return place[0] if [info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns] == place[1:] else None


def byte_range(header, size):
    """First and last byte of a Range header with one range; the whole without one."""
    if not header:
        return 0, size - 1
    match = re.match(r"bytes=(\d*)-(\d*)\Z", header.strip())
    if not match or match.groups() == ("", ""):
        raise Refused(416, "range", "want a range like bytes=0-99")
    first, last = match.groups()
    if first == "":
        first, last = max(size - int(last), 0), size - 1
    else:
        first, last = int(first), min(int(last), size - 1) if last else size - 1
    if first > last or first >= size:
        raise Refused(416, "range", "the file has %d bytes" % size)
    return first, last


async def local_chunks(path, first, last):
    loop = asyncio.get_running_loop()
    with open(path, "rb") as f:
        f.seek(first)
        left = last - first + 1
        while left > 0:
            data = await loop.run_in_executor(None, f.read, min(CHUNK, left))
            if not data:
                raise OSError("%s became shorter while it was read" % path)
            left -= len(data)
            yield data


async def remote_chunks(app, session, worker, name, first, last):
    """A file on another node comes through the engine core of the worker that wrote it."""
    at = first
    while at <= last:
        call = {"op": "read", "session": session, "name": name, "offset": at, "length": min(REMOTE_CHUNK, last - at + 1)}
        data = b""
        for w in await ask(app, call, 120):
            if w.get("core") == worker.get("core") and w.get("rank") == worker.get("rank") and w.get("data"):
                data = base64.b64decode(w["data"])
        if not data:
            raise OSError("worker rank %s does not give %s any more" % (worker.get("rank"), name))
        at += len(data)
        yield data


def hook_fastapi(module):
    cls = module.FastAPI
    begin = cls.__init__
    if begin in HOOKED:
        return

    @functools.wraps(begin)
    def init(self, *args, **kwargs):
        begin(self, *args, **kwargs)
        try:
            self.router.routes.extend(Front(os.environ[SECRET_ENV]).routes())
        except Exception:  # noqa: BLE001
            log.exception("profjob gate: cannot add the routes")
    HOOKED.add(init)
    cls.__init__ = init


# --- Loading ----------------------------------------------------------------

HOOKS = {
    "vllm.v1.worker.worker_base": hook_worker_base,
    "vllm.v1.executor.ray_utils": hook_ray_wrapper,
    "vllm.executor.ray_utils": hook_ray_wrapper,  # up to 0.11
    "fastapi.applications": hook_fastapi,
}


class Finder(importlib.abc.MetaPathFinder):
    """Hooks a module when it is imported, so that no process imports one for the gate's sake."""

    def __init__(self):
        self.within = set()

    def find_spec(self, name, path=None, target=None):
        if name not in HOOKS or name in self.within:
            return None
        self.within.add(name)
        try:
            spec = importlib.util.find_spec(name)
        finally:
            self.within.discard(name)
        if spec is not None and spec.loader is not None:
            spec.loader = Loader(spec.loader, HOOKS[name])
        return spec


class Loader(importlib.abc.Loader):
    def __init__(self, loader, hook):
        self.loader, self.hook = loader, hook

    def create_module(self, spec):
        return self.loader.create_module(spec)

    def exec_module(self, module):
        self.loader.exec_module(module)
        apply(self.hook, module)

    def __getattr__(self, name):  # get_source and the like
        return getattr(self.loader, name)


def apply(hook, module):
    try:
        hook(module)
    except Exception:  # noqa: BLE001
        log.exception("profjob gate: cannot hook %s", module.__name__)


loaded = False


def register():
    """The entry point. vLLM calls it in each of its processes, perhaps several times."""
    global loaded
    if loaded or not os.environ.get(SECRET_ENV):
        return
    loaded = True
    sys.meta_path.insert(0, Finder())
    for name, hook in HOOKS.items():
        if name in sys.modules:
            apply(hook, sys.modules[name])
