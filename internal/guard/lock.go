package guard

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

// HeldError is the error of a lock that another run has.
type HeldError struct {
	Endpoint string
	By       Holder // zero where that run has just ended
}

// Error names the run.
func (e *HeldError) Error() string {
	if e.By.PID == 0 {
		return fmt.Sprintf("%s is held by another run of profjob", e.Endpoint)
	}
	return fmt.Sprintf("%s is held by another run of profjob: %s of %s, run %s, process %d, since %s", e.Endpoint,
		e.By.Job, e.By.JobFile, e.By.RunID, e.By.PID, e.By.Since.Local().Format(time.DateTime))
}

// lockPoll is how often a lock is tried again that is waited for.
const lockPoll = 200 * time.Millisecond

// locks are held as long as their files are open: they end with the process.
type locks []*os.File

// acquire takes the locks of all endpoints, in the folder dir, or none of them. It
// tries again until wait is over. The error is a *HeldError where another has one.
func acquire(ctx context.Context, dir string, r lockRequest) (locks, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	names := map[string]string{} // by file
	for _, e := range r.Endpoints {
		names[filepath.Join(dir, lockName(e))] = e
	}
	until := time.Now().Add(time.Duration(r.Wait))
	for {
		got, err := tryAll(names, r.Holder)
		var held *HeldError
		if !errors.As(err, &held) || !time.Now().Before(until) {
			return got, err
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(lockPoll):
		}
	}
}

func tryAll(names map[string]string, who Holder) (got locks, err error) {
	for _, name := range slices.Sorted(maps.Keys(names)) {
		f, err := try(name, names[name], who)
		if err != nil {
			got.release()
			return nil, err
		}
		got = append(got, f)
	}
	return got, nil
}

// try takes one lock and writes down whose it is.
func try(name, endpoint string, who Holder) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", endpoint, err)
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		held := &HeldError{Endpoint: endpoint}
		_ = json.NewDecoder(f).Decode(&held.By) // it may just be written
		return nil, errors.Join(held, f.Close())
	}
	if err == nil {
		err = errors.Join(f.Truncate(0), json.NewEncoder(f).Encode(who))
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", endpoint, err), f.Close())
	}
	return f, nil
}

func (l locks) release() {
	for _, f := range l {
		_ = f.Truncate(0) // who reads it after the lock is gone would be told of a run that is over
		_ = f.Close()
	}
}

// lockName is the file of an endpoint: the same one however the endpoint of this
// machine is written.
func lockName(endpoint string) string {
	name := endpoint
	if u, err := url.Parse(endpoint); err == nil && u.Host != "" {
		host, port := u.Hostname(), u.Port()
		if ip := net.ParseIP(host); host == "localhost" || ip != nil && (ip.IsLoopback() || ip.IsUnspecified()) {
			host = "127.0.0.1"
		}
		if port == "" {
			port = u.Scheme
		}
		name = net.JoinHostPort(host, port)
	}
	sum := sha256.Sum256([]byte(name))
	return hex.EncodeToString(sum[:12]) + ".lock"
}
