package load

import (
	"crypto/tls"
	"net"
	"net/http"
	"time"
)

// idleTime is how long a connection is kept without a request. It is shorter than
// the 5 s after which vLLM closes one (VLLM_HTTP_TIMEOUT_KEEP_ALIVE, and uvicorn's
// own default, which SGLang has): a request sent just when the server closes fails.
const idleTime = 4 * time.Second

// newTransport makes connections for a load: one for each request in flight, kept
// for the next. HTTP/2 would put all requests of an endpoint on one connection, and
// a compressed stream arrives in blocks, not in chunks.
func newTransport(inFlight int, secure *tls.Config) *http.Transport {
	dialer := &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            dialer.DialContext,
		TLSClientConfig:        secure,
		TLSHandshakeTimeout:    10 * time.Second,
		MaxIdleConns:           inFlight,
		MaxIdleConnsPerHost:    inFlight,
		IdleConnTimeout:        idleTime,
		DisableCompression:     true,
		Protocols:              protocols,
		MaxResponseHeaderBytes: 64 << 10,
	}
}
