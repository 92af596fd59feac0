// Package load makes traffic against servers that speak OpenAI's completions or
// chat API, and measures each answer.
//
// A closed loop keeps a number of requests in flight; an open loop sends them at
// random times whatever the server does. Prompts are random tokens or come from
// a dataset. Every request gives one [Record]; [Summarize] makes the numbers of
// load.json from them.
//
// The package knows HTTP and the wire format of the two APIs. It must not know
// engines, plans or runs: which model is served, which endpoints there are and
// where records go is told to it.
//
// # Definitions
//
// Times are those of vLLM's own benchmark (vllm bench serve, vLLM 0.11 to 0.32:
// vllm/benchmarks/serve.py and vllm/benchmarks/lib/endpoint_request_func.py), so
// that numbers can be put side by side. A token chunk is an event of the answer
// that carries at least one output token, whatever its text: the text of a token
// may be empty. One token chunk carries several tokens with stream intervals, with
// speculative decoding, and when vLLM's frontend lags behind its engine and puts
// tokens of a request together.
//
//   - TTFT, time to first token: from just before the request is sent
//     (connecting included) to the arrival of the first token chunk.
//   - ITL, inter-token latency: between the arrivals of one token chunk and the
//     next. An answer of n token chunks has n−1 of them.
//   - E2E, end to end: from just before the request is sent to the arrival of the
//     last token chunk. So TTFT plus all ITLs is E2E. The usage chunk and [DONE]
//     come later and are not part of it.
//   - TPOT, time per output token: (E2E − TTFT) / (output tokens − 1), only for
//     answers of two tokens or more.
//
// Two events that vLLM's benchmark counts as tokens are not token chunks here,
// because no token comes with them: the first event of a chat answer, which says
// the role and has no content (vLLM and SGLang), and an event of a chat answer
// that says the finish reason and has no content (SGLang).
//
// A chunk arrives when the read from the connection that completed its event
// returned; chunks that come in one read arrive together.
package load
