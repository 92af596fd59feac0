package analysis

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"profjob/internal/trace"
)

// maxMemoryDevices is how many devices' memory is looked at; a host has 16 or so.
const maxMemoryDevices = 256

// memory finds the peak of each device that allocations were recorded of, the host
// first, and sets the peak within each step: of the device with the largest, of the
// host where there is no other.
func memory(c *trace.Columns, steps []Step) []MemoryPeak {
	byDevice := allocations(c)
	if len(byDevice) == 0 {
		return nil
	}
	order := inTime(steps)
	peaks := make([]MemoryPeak, len(byDevice))
	largest := 0
	for i, d := range byDevice {
		peaks[i] = d.peak(c.Base)
		peaks[i].Step = stepAt(steps, order, peaks[i].At)
		if onHost, was := d.kind == 0, byDevice[largest].kind == 0; was && !onHost || was == onHost && peaks[i].Peak > peaks[largest].Peak {
			largest = i
		}
	}
	byDevice[largest].peakOfSteps(c.Base, steps, order)
	return peaks
}

// allocated is a device's allocations and releases in the order of time.
type allocated struct {
	kind, id int32
	points   []trace.MemoryPoint
	// levels are the bytes in use after each of them.
	levels []int64
	before int64 // the bytes in use before the first
}

// allocations gives those of each device.
func allocations(c *trace.Columns) []*allocated {
	type device struct{ kind, id int32 }
	byDevice := map[device]*allocated{}
	var all []*allocated
	for _, p := range c.Memory {
		key := device{p.DeviceType, p.DeviceID}
		if key.kind == 0 {
			key.id = 0
		}
		d := byDevice[key]
		if d == nil {
			if len(all) == maxMemoryDevices {
				continue
			}
			d = &allocated{kind: key.kind, id: key.id}
			byDevice[key], all = d, append(all, d)
		}
		d.points = append(d.points, p)
	}
	for _, d := range all {
		d.fill()
	}
	slices.SortFunc(all, func(a, b *allocated) int { return cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(a.id, b.id)) })
	return all
}

// fill finds the levels: the allocator's own, and where it keeps none (allocators of
// the host before torch 2 give 0) the sum of what was allocated and released. That sum
// starts so that it is never below 0: what is released was allocated before.
func (d *allocated) fill() {
	d.levels = make([]int64, len(d.points))
	kept := slices.ContainsFunc(d.points, func(p trace.MemoryPoint) bool { return p.Allocated != 0 })
	if kept {
		for i, p := range d.points {
			d.levels[i] = max(p.Allocated, 0)
		}
		d.before = max(plus(d.points[0].Allocated, minus(d.points[0].Bytes)), 0)
		return
	}
	var level, lowest int64
	for i, p := range d.points {
		level = plus(level, p.Bytes)
		d.levels[i] = level
		lowest = min(lowest, level)
	}
	d.before = minus(lowest)
	for i := range d.levels {
		d.levels[i] = max(plus(d.levels[i], d.before), 0)
	}
}

func (d *allocated) peak(base int64) MemoryPeak {
	m := MemoryPeak{Device: deviceName(d.kind, d.id), Peak: d.before, At: plus(base, d.points[0].At)}
	for i, p := range d.points {
		if d.levels[i] > m.Peak {
			m.Peak, m.At = d.levels[i], plus(base, p.At)
		}
		m.Reserved = max(m.Reserved, p.Reserved)
		if p.Bytes > 0 {
			m.Allocations++
			m.Allocated = plus(m.Allocated, p.Bytes)
		}
	}
	return m
}

// peakOfSteps sets each step's peak: of what was in use when it began and what came to
// be in it.
func (d *allocated) peakOfSteps(base int64, steps []Step, order []int) {
	level, next := d.before, 0
	for _, i := range order {
		s := &steps[i]
		for next < len(d.points) && plus(base, d.points[next].At) < s.Start {
			level = d.levels[next]
			next++
		}
		s.MemoryPeak = level
		for at := next; at < len(d.points) && plus(base, d.points[at].At) < plus(s.Start, s.Duration); at++ {
			s.MemoryPeak = max(s.MemoryPeak, d.levels[at])
			level, next = d.levels[at], at+1
		}
	}
}

// inTime are the steps' places in the order of their start.
func inTime(steps []Step) []int {
	order := make([]int, len(steps))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(steps[a].Start, steps[b].Start) })
	return order
}

// stepAt is the index of the step that was on at a time, -1 for none.
func stepAt(steps []Step, order []int, at int64) int {
	n, found := slices.BinarySearchFunc(order, at, func(i int, at int64) int { return cmp.Compare(steps[i].Start, at) })
	if !found {
		n--
	}
	if n < 0 || plus(steps[order[n]].Start, steps[order[n]].Duration) <= at {
		return -1
	}
	return steps[order[n]].Index
}

// deviceName is what torch calls a device, from its type (c10/core/DeviceType.h) and
// number. ROCm's builds of torch say cuda in programs and 6, hip, in traces.
func deviceName(kind, id int32) string {
	names := []string{"cpu", "cuda", "mkldnn", "opengl", "opencl", "ideep", "hip", "fpga", "maia", "xla", "vulkan", "metal", "xpu", "mps", "meta", "hpu", "ve", "lazy", "ipu", "mtia", "npu"}
	switch {
	case kind == 0:
		return names[0]
	case kind < 0 || int(kind) >= len(names):
		return fmt.Sprintf("device type %d:%d", kind, id)
	}
	return fmt.Sprintf("%s:%d", names[kind], id)
}

// plus is a sum that stays at the largest or smallest number where it would wrap.
func plus(a, b int64) int64 {
	sum := a + b
	switch {
	case a > 0 && b > 0 && sum < 0:
		return math.MaxInt64
	case a < 0 && b < 0 && sum >= 0:
		return math.MinInt64
	}
	return sum
}

// minus is a number's negative in the same way.
func minus(a int64) int64 {
	if a == math.MinInt64 {
		return math.MaxInt64
	}
	return -a
}
