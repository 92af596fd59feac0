// Package gate holds the gate, a plugin of one Python module that sees every
// engine step inside a vLLM server, and the client that speaks to it.
//
// Armed over HTTP for one session, the gate records exactly the engine steps
// asked for, with the record options of the request, whatever the server was
// launched with: from before the first pass to the end of the last one's
// sampling, in the thread that runs the steps, as often as wanted. Unarmed it
// counts passes and does nothing else; without PROFJOB_GATE_SECRET in the
// server's environment it does nothing at all.
//
// The package knows vLLM's processes and torch's profiler. It knows no plan, and
// it reads no traces.
//
// # Where it sits
//
// Install writes a folder for PYTHONPATH; vLLM loads the entry point of the
// group vllm.general_plugins into the API servers, the engine cores and the
// workers. Modules are hooked when they are imported, so that no process imports
// one for the gate's sake:
//
//   - vllm.v1.worker.worker_base.WorkerBase.__init__, where every V1 worker
//     begins: the methods execute_model and sample_tokens of its class are
//     wrapped where the class or a base defines them (the CPU worker inherits
//     those of gpu_worker.Worker), and profjob_gate is added for collective_rpc
//   - RayWorkerWrapper.execute_model_ray (vllm.v1.executor.ray_utils, up to 0.11
//     vllm.executor.ray_utils), which passes the worker by: in the class that Ray
//     makes from it for an actor, whose methods are copies
//   - fastapi.FastAPI.__init__, which adds the routes
//
// Sessions live in the workers. API server processes keep nothing but a timer,
// so any of several answers for any session.
//
// # Protocol 1
//
// JSON over HTTP below /profjob/gate, with "Authorization: Bearer SECRET", or
// "X-Profjob-Gate: SECRET" where Authorization is for something before the server,
// compared in constant time. A body has 64 KiB at most. A refusal is
// {"error": {"code", "message", "field", "workers"}}:
//
//	401 unauthorized   the secret
//	400 bad_request    field names what is wrong; unknown fields are refused
//	409 busy           another session is armed, or another profiler records
//	404 not_found      no worker knows the session, or it lists no such file
//	413 too_large      416 range      507 disk
//	500 worker         a worker could not; workers says which and why
//	503, 504 engine    an engine core is dead, or does not answer
//
//	GET    /hello                  versions, workers, what they can do
//	POST   /arm                    see ArmRequest; answers as /status does
//	GET    /status?session=        state of every worker; renews the lease
//	POST   /renew {session, lease_s}
//	POST   /disarm {session}       any number of times
//	GET    /file?session=&name=    a file that the session lists; Range as a
//	                               header or as a parameter, range=bytes=0-99
//	DELETE /file?session=&name=
//
// Arm has two phases. "prepare" asks each worker whether it can, and makes it
// start and stop a throwaway profiler once a set of options, since the first
// start is slow. "commit" opens the gate. Where calls and passes come to a
// worker through one queue (one process, or one process a rank), "from the next
// pass on" is the same pass everywhere, and the workers' answers prove it; else
// the arming is taken back and repeated with a pass ahead of all workers, as it
// is from the start in the older Ray executor where it has several passes under
// way (pipeline parallelism, asynchronous scheduling): calls come to its workers
// in another thread than passes. From the same pass on all workers of a core see
// the same scheduler outputs and decide alike. Each core has its own window.
// Whatever fails in between takes all of it back.
//
// collective_rpc of vLLM's engine client reaches every engine core but answers
// with the first one's result (DPLBAsyncMPClient.call_utility_async in 0.11.0,
// 0.15.1 and 0.32.0). The gate calls each core of client.core_engines by
// _call_utility_async, which all three have; a core is known by its identity,
// the data parallel rank, since the core itself may believe to be rank 0. The
// calls carry an HMAC of the secret: /collective_rpc of the development mode
// would let anyone call.
//
// # What is meant
//
//   - A step is a pass with tokens. Idle passes are neither counted nor the
//     beginning of a window; within one they are recorded and annotated.
//   - A context request has generated no token yet, as in vLLM's own annotation
//     (compute_iteration_details, 0.14 on). So a request that was preempted and
//     is computed again is a generation request with many tokens. 0.11.0 does
//     not send the number of generated tokens; there it is read from the model
//     runner, with the computed tokens beside it, since a pipeline rank that
//     does not sample lags behind.
//   - The recording ends after sample_tokens of the last step where the version
//     has it (0.15.1, 0.32.0), after execute_model where that samples (0.11.0,
//     execute_model_ray) or returns something else than None. If the next pass
//     comes before the sampling, it ends there, and the step says so.
//   - Each pass gets a span execute_context_R(T)_generation_R(T), unless the
//     server puts one: 0.15.1 does into anyone's recording once its own torch
//     profiler is configured; 0.32.0 only while its own records; 0.11.0 never.
//   - A session ends by itself at its lease, which /status and /renew renew, or
//     at its limits. Workers look at each pass, before it runs; a timer in the
//     API process that armed it asks an idle server. A prepared worker is free
//     again after 60 s.
//   - An exception of the gate fails the session and never reaches the step.
//
// # Files
//
// [PREFIX_]SESSION_dpD_ppP_tpT_rankR.NS.pt.trace.json.gz in PROFJOB_GATE_ROOT, or
// /tmp/profjob-gate-UID: made with mode 0700, refused if it is a link, belongs to
// someone else, or can be written by others. NS is the time of the start. A file
// has its name once it is complete. It is read by the API process if that sees
// the very same file (device, inode, size, time), else in pieces through the
// engine core of the worker that wrote it, which interrupts its steps.
//
// # What it costs
//
// plugin/bench.py measures it: 0.3 µs a pass unarmed, 1 to 3.5 µs armed and
// waiting (16 to 256 requests). Stopping the profiler takes the thread of the
// steps, since torch binds it to the thread that started it: 3 to 60 ms for 2 to
// 20 steps of a tiny model, 0.1 to 0.6 s with stacks, more where memory is
// recorded too (an event for every Python call and every allocation). Writing
// has a thread of its own: torch (2.8, 2.10 and 2.13) lets go of the
// interpreter's lock while it saves the JSON, and so does zlib, so the steps run on.
//
// # What it cannot do
//
//   - A recording whose API process has died ends at the next pass after its
//     lease: an idle worker keeps its profiler until then.
//   - In the older Ray executor with pipeline parallelism a disarm may reach the
//     workers at different passes. A window by steps is not touched by that.
//   - In the older Ray executor only a pass can stop the profiler, since it belongs
//     to the thread of the passes: on an idle server a disarm waits for one, and
//     the worker reports Stopping.
//   - Ray workers need PYTHONPATH and the secret in their own environment, that
//     of the raylets: vLLM does not copy them.
//   - While a profiler of the server's own records, arming is refused; while the
//     gate records, a start of the server's own fails inside the server.
//   - torch_npu's profiler is driven as its documentation says, which no test
//     here has run.
package gate
