package trace

// Kind is what an event of a trace stands for, from Kineto's category.
type Kind uint8

const (
	// Operator is an operator of the framework on the host (cpu_op).
	Operator Kind = iota
	// Launch is a call of a device's runtime or driver (cuda_runtime, hip_runtime, …).
	Launch
	// HostAnnotation is a span that the program put around its work (user_annotation).
	HostAnnotation
	// Kernel is a kernel on a device.
	Kernel
	// Copy is a copy of memory on a device (gpu_memcpy).
	Copy
	// Fill is a fill of memory on a device (gpu_memset).
	Fill
	// DeviceAnnotation is a host's annotation as the device saw it (gpu_user_annotation).
	DeviceAnnotation
)

// OnDevice says whether it is work that a device did: a kernel, a copy, a fill.
func (k Kind) OnDevice() bool { return k == Kernel || k == Copy || k == Fill }

// NameID is the number of a name in [Columns.Names].
type NameID uint32

// Span is one event of a lane. Times are ns after [Columns.Base].
type Span struct {
	Start, Dur int64
	Name       NameID
	Kind       Kind
	// Correlation ties a device's work to the [Launch] with the same number; the
	// kernels of a replayed graph all have the graph launch's. 0 where there is none.
	Correlation uint32
	// External ties work to the operator that it was launched by; 0 where there is none.
	External uint32
	// FLOPs are an operator's floating point operations, where the trace tells: by an
	// argument of that name, or by the shapes of a matrix product. 0 where not.
	FLOPs int64
}

// End is when it ended, ns after [Columns.Base].
func (s *Span) End() int64 { return s.Start + s.Dur }

// record is a Span in 24 bytes.
type record struct {
	start    int64
	dur      uint32 // ns, or with longBit an index into the lane's long durations
	name     uint32 // 24 bits, and the kind above them
	link     uint32 // correlation; of an operator, an index into the columns' FLOPs, 0 is none
	external uint32
}

const (
	longBit       = 1 << 31
	nameBits      = 24
	nameMask      = 1<<nameBits - 1
	spanShift     = 12
	spansPerBlock = 1 << spanShift
)
