#!/usr/bin/env python3
"""record.py VERSION [OUT]: writes down what a real vLLM answers, as data for tests, into ../recorded/vllm-VERSION.

Starts the server three times through serve.sh (dev mode with the profiler; without either; with all record options and,
where launch knows them, iteration bounds), asks, ends each with SIGTERM, and prints what no file holds: start times and
what SIGTERM did. Takes 3 to 4 minutes. Nothing but the standard library, so that it runs anywhere.

exchanges.json: [{"server", "note", "request": {"method", "path", "body"}, "status", "headers", "body", "ms"}], in the
order they were made. Bodies are the raw text; "body": null in a request means none was sent. "server" is one of
"profiler", "plain" (no profiler, no dev mode) and "options".
"""
import gzip
import http.client
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time

here = pathlib.Path(__file__).resolve().parent


class Server:
    def __init__(self, version, name, scratch, env=(), args=()):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        self.name, self.traces, self.log = name, scratch / name, scratch / (name + ".log")
        began = time.monotonic()
        self.process = subprocess.Popen(
            [here / "serve.sh", version, str(self.port), str(self.traces), *args],
            env={**os.environ, **dict(env)}, stdin=subprocess.DEVNULL, stdout=self.log.open("w"), stderr=subprocess.STDOUT,
            start_new_session=True)
        while True:
            if self.process.poll() is not None or time.monotonic() - began > 300:
                self.kill()
                sys.exit(f"{version} {name}: no server: {self.log.read_text()[-3000:]}")
            try:
                if self.ask("GET", "/health")["status"] == 200:
                    break
            except OSError:
                time.sleep(0.2)
        print(f"{version} {name}: ready after {time.monotonic() - began:.0f} s", flush=True)

    def ask(self, method, path, body=None, timeout=300):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        began = time.monotonic()
        connection.request(method, path, body, {"Content-Type": "application/json"} if body is not None else {})
        response = connection.getresponse()
        text = response.read().decode()
        ms = round((time.monotonic() - began) * 1000)
        connection.close()
        return {"server": self.name, "request": {"method": method, "path": path, "body": body}, "status": response.status,
                "headers": dict(response.getheaders()), "body": text, "ms": ms}

    def complete(self, tokens=4, prompt=(5, 6, 7), **more):
        body = {"model": "tiny", "prompt": list(prompt), "max_tokens": tokens, "ignore_eos": True, **more}
        return self.ask("POST", "/v1/completions", json.dumps(body))

    def load(self, requests=6, tokens=600):
        """Requests that run while the caller does something else: sockets, to drain or to close."""
        sockets = []
        for i in range(requests):
            body = json.dumps({"model": "tiny", "prompt": list(range(5, 15 + i)), "max_tokens": tokens, "ignore_eos": True})
            sockets.append(socket.create_connection(("127.0.0.1", self.port)))
            sockets[-1].sendall(f"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n"
                                f"Content-Length: {len(body)}\r\n\r\n{body}".encode())
        return sockets

    @staticmethod
    def drain(sockets):
        for s in sockets:
            while s.recv(65536):
                pass
            s.close()

    def files(self):
        return sorted(p.relative_to(self.traces).as_posix() for p in self.traces.rglob("*") if p.is_file()) if self.traces.exists() else []

    def terminate(self, when, load=()):
        """SIGTERM to the server's own pid only, as a supervisor sends it. After 10 s the clients hang up, after 30 more
        a second SIGTERM, after 20 more SIGKILL."""
        before, mark, began, code = self.files(), self.log.stat().st_size, time.monotonic(), None
        self.process.terminate()
        for patience, then in (10, "clients hang up"), (30, "second SIGTERM"), (20, "SIGKILL"):
            try:
                code = self.process.wait(patience)
                break
            except subprocess.TimeoutExpired:
                print(f"{self.name}: SIGTERM {when}: still there after {time.monotonic() - began:.0f} s; now: {then}", flush=True)
            if then == "clients hang up":
                for s in load:
                    s.close()
            elif then == "second SIGTERM":
                self.process.terminate()
        took = time.monotonic() - began
        time.sleep(2)  # what children still write
        left = subprocess.run(["ps", "-o", "pid=,args=", "-g", str(self.process.pid)], capture_output=True, text=True).stdout
        print(f"{self.name}: SIGTERM {when}: exit code {code} after {took:.1f} s; new files {[f for f in self.files() if f not in before]}; "
              f"processes left: {left.strip() or 'none'}; log since:", flush=True)
        since = re.sub(r"\x1b\[[0-9;]*m", "", self.log.read_bytes()[mark:].decode(errors="replace"))
        lines = [line for line in since.splitlines() if not re.search(r"  \d|  --|---", line)]  # but for tables of operators
        print("    " + "\n    ".join(line[:240] for line in lines[-30:]), flush=True)
        self.kill()

    def kill(self):
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()


def trace_keys(path):
    with gzip.open(path, "rt") as f:
        trace = json.load(f)
    return {k: v for k, v in trace.items() if not isinstance(v, (list, dict))}, len(trace["traceEvents"])


def main():
    version = sys.argv[1]
    out = pathlib.Path(sys.argv[2] if len(sys.argv) > 2 else here.parent / "recorded" / ("vllm-" + version))
    out.mkdir(parents=True, exist_ok=True)
    scratch = pathlib.Path(tempfile.mkdtemp(prefix=f"vllm-{version}-"))
    per_request = tuple(map(int, version.split("."))) >= (0, 32)
    exchanges, servers = [], []

    def start(name, env=(), args=()):
        servers.append(Server(version, name, scratch, env, args))
        return servers[-1]

    def record(server, note, method, path, body=None, text_into=None):
        got = server.ask(method, path, body)
        if text_into:
            (out / text_into).write_text(got["body"])
            got["body"], got["bodyFile"] = "", text_into
        exchanges.append({"server": server.name, "note": note, **got})
        print(f"  {server.name}: {note}: {method} {path} {body or ''} -> {got['status']} in {got['ms']} ms: {got['body'][:200]!r}", flush=True)
        return got["status"]

    def wait_files(server, known, seconds):
        """Until a file that was not known is there and no file grows."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if len(server.files()) > len(known):
                time.sleep(2)
                break
            time.sleep(0.1)
        return [f for f in server.files() if f not in known]

    try:
        # 1. dev mode, profiler, options off
        s = start("profiler", {"VLLM_SERVER_DEV_MODE": "1"})
        for path, file in (("/version", "version.json"), ("/v1/models", "models.json"), ("/health", "health.txt"), ("/openapi.json", "openapi.json"),
                           ("/server_info?config_format=json", "server_info.json")):
            got = s.ask("GET", path)
            exchanges.append({"note": "dev mode on" if "info" in path else "", **got, "body": "", "bodyFile": file})
            (out / file).write_text(got["body"])
            print(f"  {path} -> {got['status']} in {got['ms']} ms, {len(got['body'])} characters", flush=True)
        record(s, "stop, nothing ever started", "POST", "/stop_profile")
        record(s, "first start, idle server", "POST", "/start_profile")
        record(s, "start while active", "POST", "/start_profile")
        s.complete()
        record(s, "stop after 4 tokens", "POST", "/stop_profile")
        print("  files:", s.files())
        record(s, "stop while not active", "POST", "/stop_profile")
        record(s, "second start", "POST", "/start_profile")
        record(s, "stop without a step in between", "POST", "/stop_profile")
        print("  files:", s.files())
        work = s.load()
        time.sleep(1)
        record(s, "start under load", "POST", "/start_profile", "{}")
        (out / "metrics.txt").write_text(s.ask("GET", "/metrics")["body"])
        time.sleep(0.5)
        record(s, "stop under load", "POST", "/stop_profile")
        s.drain(work)
        known = s.files()
        body = '{"max_iterations":3,"delay_iterations":1,"profile_prefix":"job-1"}'
        record(s, "start with bounds and a prefix" + ("" if per_request else " (ignored)"), "POST", "/start_profile", body)
        s.complete(12)
        new = wait_files(s, known, 6)
        print("  files after bounds were passed, before any stop:", new)
        record(s, "start after the bound was passed", "POST", "/start_profile", body)
        record(s, "stop after the bound was passed", "POST", "/stop_profile")
        record(s, "second stop after the bound was passed", "POST", "/stop_profile")
        print("  files after stop:", [f for f in s.files() if f not in known])
        for bad in ('{"max_iterations":-1}', '{"delay_iterations":-1}', '{"max_iterations":"3"}', '{"max_iterations":2.5}', '{"max_iterations":true}',
                    '{"profile_prefix":"../up"}', '{"profile_prefix":""}', '{"profile_prefix":7}', "[]", '"text"', "null", "not json", "",
                    '{"num_steps":3}', '{"max_iterations":0}'):
            if record(s, "body", "POST", "/start_profile", bad) == 200:
                record(s, "stop after the body before", "POST", "/stop_profile")
        record(s, "wrong method", "GET", "/start_profile")
        record(s, "unknown model", "POST", "/v1/completions", '{"model":"other","prompt":[5,6,7],"max_tokens":2}')
        record(s, "more tokens than the model takes", "POST", "/v1/completions", '{"model":"tiny","prompt":[5,6,7],"max_tokens":4096}')
        record(s, "token id outside the vocabulary", "POST", "/v1/completions", '{"model":"tiny","prompt":[5,600],"max_tokens":2}')
        record(s, "completion", "POST", "/v1/completions", '{"model":"tiny","prompt":[5,6,7],"max_tokens":4,"ignore_eos":true,"temperature":0}')
        stream = '"max_tokens":6,"ignore_eos":true,"temperature":0,"stream":true,"stream_options":{"include_usage":true}}'
        record(s, "stream", "POST", "/v1/completions", '{"model":"tiny","prompt":[5,6,7],' + stream, "completion-stream.txt")
        record(s, "stream", "POST", "/v1/chat/completions", '{"model":"tiny","messages":[{"role":"user","content":"hi"}],' + stream, "chat-stream.txt")
        (out / "files.txt").write_text("".join(f + "\n" for f in s.files()))
        work = s.load(tokens=1900)
        time.sleep(0.5)
        record(s, "start before SIGTERM", "POST", "/start_profile")
        time.sleep(0.3)
        s.terminate("while recording under load", work)

        # 2. nothing configured
        s = start("plain", {"NO_PROFILER": "1", "VLLM_SERVER_DEV_MODE": "0"})
        record(s, "no profiler configured", "POST", "/start_profile")
        record(s, "no profiler configured", "POST", "/stop_profile")
        record(s, "dev mode off", "GET", "/server_info?config_format=json")
        (out / "openapi-noprofiler.json").write_text(s.ask("GET", "/openapi.json")["body"])
        work = s.load(tokens=1900)
        time.sleep(2)
        s.terminate("under load, no profiler", work)

        # 3. every record option, with bounds: 1 and 3, at launch where launch knows them and a request does not.
        # With stacks an idle engine of 0.32.0 records some 300,000 events a second: no waiting without a bound.
        env = {"SHAPES": "1", "MEMORY": "1", "STACK": "1", "FLOPS": "1", "VLLM_SERVER_DEV_MODE": "1"}
        at_launch = not per_request and tuple(map(int, version.split("."))) >= (0, 12)
        if at_launch:
            env.update(VLLM_PROFILER_DELAY_ITERS="1", VLLM_PROFILER_MAX_ITERS="3")
        s = start("options", env)
        got = s.ask("GET", "/server_info?config_format=json")
        print("  server_info:", got["status"], find(json.loads(got["body"]), re.compile("profil", re.I)) if got["status"] == 200 else got["body"][:200])
        record(s, "first start, all record options" + (", bounds 1 and 3 at launch" if at_launch else ""), "POST", "/start_profile",
               '{"max_iterations":3,"delay_iterations":1}' if per_request else None)
        s.complete(12)
        if at_launch or per_request:
            new = wait_files(s, [], 6)
            print("  files before any stop:", new)
        if at_launch:
            record(s, "start after the bound was passed", "POST", "/start_profile")
            s.complete(12)
            print("  new files before any stop:", wait_files(s, new, 6))
        record(s, "stop", "POST", "/stop_profile")
        record(s, "second stop", "POST", "/stop_profile")
        print("  files after stop:", s.files())
        for f in s.files():
            if f.endswith(".gz"):
                print("  ", f, *trace_keys(s.traces / f))
        record(s, "start before SIGTERM", "POST", "/start_profile")
        s.complete(2)
        s.terminate("while recording, idle, all options")
    finally:
        for s in servers:
            s.kill()
    (out / "exchanges.json").write_text(json.dumps(exchanges, indent=1, ensure_ascii=False) + "\n")
    print(f"logs and traces: {scratch}")


def find(value, pattern, path="$"):
    """Paths of keys that match, with their values."""
    found = {}
    if isinstance(value, dict):
        for k, v in value.items():
            if pattern.search(k):
                found[f"{path}.{k}"] = v
            else:
                found.update(find(v, pattern, f"{path}.{k}"))
    return found


if __name__ == "__main__":
    main()
