package analysis

import (
	"cmp"
	"slices"

	"profjob/internal/trace"
)

// origin is an operator that device work without a launch says it comes from.
type origin struct {
	external uint32
	step     int32
	owner    uint32 // NameID+1 of the operator, 0 where the trace has none
}

// origins are in the order of their external id.
type origins []origin

// originsOf finds the operators of device work whose launch is not in the trace.
func originsOf(c *trace.Columns, l *launches, w windows) origins {
	var o origins
	for _, lane := range c.Lanes {
		if !lane.Device {
			continue
		}
		for i := range lane.Len() {
			s := lane.At(i)
			if !s.Kind.OnDevice() || s.External == 0 || len(o) > 0 && o[len(o)-1].external == s.External {
				continue
			}
			if e := l.find(s.Correlation); e == nil || !e.isCalled() {
				o = append(o, origin{external: s.External, step: nowhere})
			}
		}
	}
	slices.SortFunc(o, func(a, b origin) int { return cmp.Compare(a.external, b.external) })
	o = slices.CompactFunc(o, func(a, b origin) bool { return a.external == b.external })
	if len(o) > 0 {
		o.learn(c, w)
	}
	return o
}

func (o origins) learn(c *trace.Columns, w windows) {
	for _, lane := range c.Lanes {
		steps := cursor{windows: w}
		for i := range lane.Len() {
			s := lane.At(i)
			if s.Kind != trace.Operator || s.External == 0 {
				continue
			}
			if at := o.find(s.External); at != nil && at.owner == 0 {
				at.step, at.owner = steps.at(s.Start), uint32(s.Name)+1
			}
		}
	}
}

// find gives the operator with an external id, nil where no device work asks for it.
func (o origins) find(external uint32) *origin {
	i, ok := slices.BinarySearchFunc(o, external, func(e origin, id uint32) int { return cmp.Compare(e.external, id) })
	if !ok {
		return nil
	}
	return &o[i]
}
