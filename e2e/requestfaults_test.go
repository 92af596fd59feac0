//go:build e2e

package e2e

import "time"

// The paths that faults hit.
const (
	pathStart, pathStop, pathMetrics         = "/start_profile", "/stop_profile", "/metrics"
	pathVersion, pathModels, pathCompletions = "/version", "/v1/models", "/v1/completions"
	pathOpenAPI, pathGate                    = "/openapi.json", "/profjob/gate/"
	pathArm, pathDisarm, pathGateFile        = pathGate + "arm", pathGate + "disarm", pathGate + "file"
	pathGateHello, pathGateStatus            = pathGate + "hello", pathGate + "status"
)

// requestFaults hit the requests of one path.
var requestFaults = []fault{
	{path: pathStart, name: "dropped before", times: 1, do: drop, exits: []int{0, 4}},
	{path: pathStart, name: "dropped after", times: 1, do: dropAfter, exits: []int{0, 4}, realFull: true},
	{path: pathStart, name: "500, not started", times: 1, do: answers(500, "Internal Server Error"), exits: []int{0, 4}},
	{path: pathStart, name: "500, started", times: 1, do: answersAfter(500, "Internal Server Error"), exits: []int{0, 4}, realFull: true},
	{path: pathStart, name: "503 of a gateway", times: 1, do: answers(503, "no upstream"), exits: []int{0, 4}},
	{path: pathStart, name: "404", do: answers(404, `{"detail":"Not Found"}`), exits: []int{4}},
	{path: pathStart, name: "401", do: answers(401, `{"error":"Unauthorized"}`), exits: []int{4}},
	{path: pathStart, name: "409, somebody records", do: answers(409, `{"error":{"message":"A profiling session is already active."}}`), exits: []int{4}},
	{path: pathStart, name: "200 and nothing", do: answers(200, ""), exits: []int{5, 6}},
	{path: pathStart, name: "200 and nothing, once", times: 1, do: answers(200, ""), exits: []int{0, 5, 6}},
	{path: pathStart, name: "answered after 3 s", do: slow(3 * time.Second), exits: []int{0}, kept: true},
	{path: pathStart, name: "endless body", times: 1, do: endless, exits: []int{0, 4, 6}},
	{path: pathStart, name: "endless headers", times: 1, do: endlessHeaders, exits: []int{0, 4}, realFull: true},
	{path: pathStart, name: "redirect elsewhere", do: redirect, exits: []int{4}},
	{path: pathStart, name: "no HTTP", times: 1, do: raw("SSH-2.0-OpenSSH_9.6\r\n", "", 0), exits: []int{0, 4}},
	{path: pathStop, name: "dropped before", times: 1, do: drop, exits: []int{0}, kept: true},
	{path: pathStop, name: "dropped after", times: 1, do: dropAfter, exits: []int{0}, kept: true, realFull: true},
	{path: pathStop, name: "500, not stopped", times: 1, do: answers(500, "Internal Server Error"), exits: []int{0}, kept: true},
	{path: pathStop, name: "500, stopped", times: 1, do: answersAfter(500, "Internal Server Error"), exits: []int{0}, kept: true},
	{path: pathStop, name: "503 of a gateway", times: 1, do: answers(503, "no upstream"), exits: []int{0}, kept: true, realFull: true},
	{path: pathStop, name: "503 three times", times: 3, do: answers(503, "no upstream"), exits: []int{0, 4, 6}},
	{path: pathStop, name: "404, not stopped", times: 1, do: answers(404, `{"detail":"Not Found"}`), exits: []int{0}, kept: true},
	{path: pathStop, name: "200, not stopped", times: 1, do: answers(200, ""), exits: []int{0}, kept: true, realFull: true},
	{path: pathStop, name: "answered after 5 s", do: slow(5 * time.Second), exits: []int{0}, kept: true},
	{path: pathStop, name: "endless body", times: 1, do: endless, exits: []int{0}, kept: true},
	{path: pathStop, name: "redirect elsewhere", times: 1, do: redirect, exits: []int{0}, kept: true},
	{path: pathStop, name: "no HTTP", times: 1, do: raw("\x00\x01\x02\r\n\r\n", "", 0), exits: []int{0}, kept: true},
	{path: pathStop, name: "HTTP/1.0 without length", times: 1, do: raw("HTTP/1.0 200 OK\r\n\r\n", "", 0), exits: []int{0}, kept: true},
	{path: pathMetrics, name: "dropped", do: drop, exits: []int{0, 5}, kept: true},
	{path: pathMetrics, name: "404", do: answers(404, "no"), exits: []int{0, 5}, kept: true},
	{path: pathMetrics, name: "500", do: answers(500, "no"), exits: []int{0, 5}, kept: true},
	{path: pathMetrics, name: "endless body", do: endless, exits: []int{0, 5}, kept: true},
	{path: pathMetrics, name: "gzip bomb", do: bomb, exits: []int{0, 5}, kept: true, realFull: true},
	{path: pathMetrics, name: "garbage", do: answers(200, garbage), exits: []int{0, 5}, kept: true},
	{path: pathMetrics, name: "a byte at a time", do: trickle, exits: []int{0, 5}, kept: true, long: true},
	{path: pathMetrics, name: "redirect elsewhere", do: redirect, exits: []int{0, 5}, kept: true},
	{path: pathMetrics, name: "endless headers", do: endlessHeaders, exits: []int{0, 5}, kept: true},
	{path: pathVersion, name: "garbage", do: answers(200, garbage), exits: []int{4}},
	{path: pathVersion, name: "endless body", do: endless, exits: []int{4}},
	{path: pathVersion, name: "500", do: answers(500, ""), exits: []int{0, 4}},
	{path: pathVersion, name: "dropped once", times: 1, do: drop, exits: []int{0}, kept: true},
	{path: pathVersion, name: "redirect elsewhere", do: redirect, exits: []int{4}},
	{path: pathModels, name: "garbage", do: answers(200, garbage), exits: []int{0, 4}},
	{path: pathModels, name: "endless body", do: endless, exits: []int{0, 4}},
	{path: pathOpenAPI, name: "garbage", do: answers(200, garbage), exits: []int{0, 4}},
	{path: pathOpenAPI, name: "gzip bomb", do: bomb, exits: []int{0, 4}},
	{path: pathCompletions, name: "500", do: answers(500, `{"error":"no"}`), exits: []int{4, 5}},
	{path: pathCompletions, name: "dropped", do: drop, exits: []int{4, 5}},
	{path: pathCompletions, name: "endless body", do: endless, exits: []int{0, 4, 5}, long: true},
	{path: pathCompletions, name: "a byte at a time", do: trickle, exits: []int{0, 4, 5}, long: true},
	{path: pathGateHello, job: "gated", name: "404", do: answers(404, `{"detail":"Not Found"}`), exits: []int{4}},
	{path: pathGateHello, job: "gated", name: "garbage", do: answers(200, garbage), exits: []int{4}},
	{path: pathGateHello, job: "gated", name: "endless body", do: endless, exits: []int{4}},
	{path: pathArm, job: "gated", name: "dropped before", times: 1, do: drop, exits: []int{0, 4}},
	{path: pathArm, job: "gated", name: "dropped after", times: 1, do: dropAfter, exits: []int{0, 4}, realFull: true},
	{path: pathArm, job: "gated", name: "500, not armed", times: 1, do: answers(500, "no"), exits: []int{0, 4}},
	{path: pathArm, job: "gated", name: "500, armed", times: 1, do: answersAfter(500, "no"), exits: []int{0, 4}},
	{path: pathArm, job: "gated", name: "200 and nothing", do: answers(200, "{}"), exits: []int{4}},
	{path: pathArm, job: "gated", name: "endless body", times: 1, do: endless, exits: []int{0, 4}},
	{path: pathArm, job: "gated", name: "answered after 3 s", do: slow(3 * time.Second), exits: []int{0}, kept: true},
	{path: pathGateStatus, job: "gated", name: "dropped once", times: 1, do: drop, exits: []int{0}, kept: true},
	{path: pathGateStatus, job: "gated", name: "500", do: answers(500, "no"), exits: []int{0}, kept: true, long: true},
	{path: pathGateStatus, job: "gated", name: "garbage", times: 3, do: answers(200, garbage), exits: []int{0, 4}, kept: true},
	{path: pathDisarm, job: "gated", name: "dropped after", times: 1, do: dropAfter, exits: []int{0}, kept: true},
	{path: pathDisarm, job: "gated", name: "500, not disarmed", times: 1, do: answers(500, "no"), exits: []int{0}, kept: true, realFull: true},
	{path: pathDisarm, job: "gated", name: "503 three times", times: 3, do: answers(503, "no upstream"), exits: []int{0, 4, 6}},
	{path: pathGateFile, job: "gated", name: "dropped once", times: 1, do: drop, exits: []int{0}, kept: true, realFull: true},
	{path: pathGateFile, job: "gated", name: "endless body", times: 1, do: endless, exits: []int{0}, kept: true},
	{path: pathGateFile, job: "gated", name: "garbage", times: 1, do: answers(206, garbage), exits: []int{0}, kept: true},
	{path: pathGateFile, job: "gated", name: "404", do: answers(404, "{}"), exits: []int{6}, left: true},
}
