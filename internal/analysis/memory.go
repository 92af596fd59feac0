package analysis

import (
	"fmt"
	"slices"

	"profjob/internal/trace"
)

// memory finds the peak of each device, the largest first, and sets the peak of each
// step on the device that comes first.
func memory(c *trace.Columns, steps []Step) []MemoryPeak {
	devices := allocators(c)
	peaks := make([]MemoryPeak, 0, len(devices))
	for _, d := range devices {
		peaks = append(peaks, d.peak(c, steps))
	}
	if len(devices) > 0 {
		devices[0].peaksOf(c, steps)
	}
	return peaks
}

// device is a device as torch numbers them.
type device struct{ kind, id int32 }

// allocator is what one device's allocator did.
type allocator struct {
	device
	points []usage
	peaked MemoryPeak
}

// usage is how much was allocated from a moment on.
type usage struct{ at, bytes int64 }

// allocators gives the devices that memory was recorded of, the one with the largest
// peak first; the host only where there is no other, or after them.
func allocators(c *trace.Columns) []*allocator {
	counted := map[device]bool{} // by the profiler
	for i := range c.Memory {
		m := &c.Memory[i]
		if m.Allocated > 0 {
			counted[device{m.DeviceType, m.DeviceID}] = true
		}
	}
	by := map[device]*allocator{}
	for i := range c.Memory {
		m := &c.Memory[i]
		d := device{m.DeviceType, m.DeviceID}
		a := by[d]
		if a == nil {
			a = &allocator{device: d}
			by[d] = a
		}
		a.add(m, counted[d])
	}
	all := make([]*allocator, 0, len(by))
	for _, a := range by {
		all = append(all, a)
	}
	slices.SortFunc(all, func(a, b *allocator) int { return a.compare(b) })
	return all
}

// add takes over an allocation. Where the profiler did not count, the sum of all since
// the begin of the trace stands in for what is allocated.
func (a *allocator) add(m *trace.MemoryPoint, counted bool) {
	now := m.Allocated
	if !counted {
		now = m.Bytes
		if n := len(a.points); n > 0 {
			now += a.points[n-1].bytes
		}
	}
	if len(a.points) == 0 || now > a.peaked.Peak {
		a.peaked.Peak, a.peaked.At = now, m.At
	}
	a.peaked.Reserved = max(a.peaked.Reserved, m.Reserved)
	if m.Bytes > 0 {
		a.peaked.Allocations++
		a.peaked.Allocated += m.Bytes
	}
	a.points = append(a.points, usage{m.At, now})
}

func (a *allocator) compare(b *allocator) int {
	onHost := func(a *allocator) int {
		if a.kind == 0 {
			return 1
		}
		return 0
	}
	switch {
	case onHost(a) != onHost(b):
		return onHost(a) - onHost(b)
	case a.peaked.Peak != b.peaked.Peak:
		if a.peaked.Peak > b.peaked.Peak {
			return -1
		}
		return 1
	case a.kind != b.kind:
		return int(a.kind) - int(b.kind)
	}
	return int(a.id) - int(b.id)
}

func (a *allocator) peak(c *trace.Columns, steps []Step) MemoryPeak {
	p := a.peaked
	p.Device, p.At, p.Step = a.device.String(), p.At+c.Base, -1
	for i := range steps {
		if s := &steps[i]; p.At >= s.Start && p.At < s.Start+s.Duration {
			p.Step = s.Index
		}
	}
	return p
}

// peaksOf sets each step's peak: what was allocated as it began, or the most since.
func (a *allocator) peaksOf(c *trace.Columns, steps []Step) {
	next := 0
	var now int64
	for i := range steps {
		s := &steps[i]
		start, end := s.Start-c.Base, s.Start+s.Duration-c.Base
		for ; next < len(a.points) && a.points[next].at < start; next++ {
			now = a.points[next].bytes
		}
		s.MemoryPeak = max(now, 0)
		for ; next < len(a.points) && a.points[next].at < end; next++ {
			now = a.points[next].bytes
			s.MemoryPeak = max(s.MemoryPeak, now)
		}
	}
}

// deviceTypes are torch's (c10/core/DeviceType.h).
var deviceTypes = map[int32]string{0: "cpu", 1: "cuda", 6: "hip", 9: "xla", 12: "xpu", 13: "mps", 15: "hpu", 20: "privateuse"}

// String is the device as torch writes it: "cuda:0"; the host is "cpu".
func (d device) String() string {
	name := deviceTypes[d.kind]
	if name == "" {
		name = fmt.Sprintf("device type %d", d.kind)
	}
	if d.id < 0 {
		return name
	}
	return fmt.Sprintf("%s:%d", name, d.id)
}
