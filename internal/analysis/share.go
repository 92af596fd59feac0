package analysis

import (
	"cmp"
	"slices"
	"strings"
)

// deviceParts are where a step's duration went, by what its device did.
type deviceParts struct {
	compute, communication, copies, idle, host int64
}

// partsOf shares out a step's duration. The device's span counts as it is, and what the
// step took beyond it is the host's. Where the device takes longer than the step, as it
// does when the host runs ahead of it, the device is what limits: then nothing is the
// host's, and the duration is shared out as the device's span is.
func partsOf(duration int64, d *DeviceTime) deviceParts {
	if d == nil {
		return deviceParts{host: duration}
	}
	p := deviceParts{
		compute:       d.Compute,
		communication: d.Exposed,
		copies:        d.Busy - d.Compute - d.Exposed,
		idle:          d.Idle,
		host:          duration - d.Span,
	}
	if p.host >= 0 {
		return p
	}
	scale := float64(duration) / float64(d.Span)
	p.compute = int64(float64(p.compute) * scale)
	p.communication = int64(float64(p.communication) * scale)
	p.copies = int64(float64(p.copies) * scale)
	p.host = 0
	if p.idle > 0 {
		p.idle = duration - p.compute - p.communication - p.copies
	} else {
		p.compute = duration - p.communication - p.copies // what rounding left
	}
	return p
}

func (p *deviceParts) add(o deviceParts) {
	p.compute += o.compute
	p.communication += o.communication
	p.copies += o.copies
	p.idle += o.idle
	p.host += o.host
}

func (p *deviceParts) list() []Part {
	return largestFirst([]Part{{"compute", p.compute}, {"communication", p.communication},
		{"copies", p.copies}, {"device idle", p.idle}, {"host", p.host}})
}

// largestFirst leaves out parts that are nothing.
func largestFirst(parts []Part) []Part {
	parts = slices.DeleteFunc(parts, func(p Part) bool { return p.Time == 0 })
	slices.SortFunc(parts, func(a, b Part) int { return cmp.Or(cmp.Compare(b.Time, a.Time), strings.Compare(a.Name, b.Name)) })
	return parts
}
