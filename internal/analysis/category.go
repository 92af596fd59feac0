package analysis

import (
	"strings"

	"profjob/internal/trace"
)

// KernelCategory is what a kernel is for.
func KernelCategory(name string, kind trace.Kind) string {
	switch {
	case kind != trace.Kernel:
		return "memory"
	case strings.Contains(name, "nccl"):
		return "communication"
	}
	return "other"
}

// OperatorCategory is what an operator is for.
func OperatorCategory(name string) string {
	if strings.Contains(name, "c10d::") || strings.Contains(name, "shm_all") {
		return "communication"
	}
	return "other"
}
