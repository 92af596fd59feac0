package proc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// EndGroup ends a process group that this process has not started, as End ends one
// that it has.
func EndGroup(ctx context.Context, pgid int, grace time.Duration) error {
	return endGroup(ctx, pgid, grace, func() bool { return !groupLives(pgid) })
}

// endGroup sends SIGTERM, waits up to the grace or the end of ctx, then SIGKILL.
// gone tells whether the group is.
func endGroup(ctx context.Context, pgid int, grace time.Duration, gone func() bool) error {
	if gone() {
		return nil
	}
	if err := signal(pgid, syscall.SIGTERM); err != nil {
		return err
	}
	if wait(ctx, grace, gone) {
		return nil
	}
	if err := signal(pgid, syscall.SIGKILL); err != nil {
		return err
	}
	if !wait(context.WithoutCancel(ctx), killWait, gone) {
		return fmt.Errorf("end process group %d: it is still there %s after SIGKILL", pgid, killWait)
	}
	return nil
}

func signal(pgid int, sig syscall.Signal) error {
	err := syscall.Kill(-pgid, sig)
	if err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("end process group %d: send %s: %w", pgid, sig, err)
	}
	return nil
}

// wait waits until the group is gone; false once the time is up or ctx has ended.
func wait(ctx context.Context, most time.Duration, gone func() bool) bool {
	deadline := time.NewTimer(most)
	defer deadline.Stop()
	tick := time.NewTicker(groupPoll)
	defer tick.Stop()
	for !gone() {
		select {
		case <-tick.C:
		case <-deadline.C:
			return gone()
		case <-ctx.Done():
			return gone()
		}
	}
	return true
}

// Lives tells whether a process of that number runs. A zombie does not.
func Lives(pid int) bool {
	if pid <= 0 || errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
		return false
	}
	data, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return true // not Linux: what kill says has to do
	}
	state, _, ok := parseStat(data)
	return !ok || state != 'Z' && state != 'X'
}

// groupLives tells whether any process of a group still runs. Zombies do not
// count: in a container whose first process reaps nobody, those that lost their
// parent stay so for good, and kill(2) still finds them.
func groupLives(pgid int) bool {
	if err := syscall.Kill(-pgid, 0); errors.Is(err, syscall.ESRCH) {
		return false
	}
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil || len(stats) == 0 {
		return true // not Linux: what kill says has to do
	}
	for _, name := range stats {
		data, err := os.ReadFile(name)
		if err != nil {
			continue // it has just ended
		}
		if state, group, ok := parseStat(data); ok && group == pgid && state != 'Z' && state != 'X' {
			return true
		}
	}
	return false
}

// parseStat gives state and process group of a /proc/PID/stat, as proc_pid_stat(5)
// has it: "pid (name) state ppid pgrp …", where the name may hold anything.
func parseStat(data []byte) (state byte, pgid int, ok bool) {
	i := bytes.LastIndexByte(data, ')')
	if i < 0 {
		return 0, 0, false
	}
	fields := bytes.Fields(data[i+1:])
	if len(fields) < 3 || len(fields[0]) != 1 {
		return 0, 0, false
	}
	pgid, err := strconv.Atoi(string(fields[2]))
	return fields[0][0], pgid, err == nil
}
