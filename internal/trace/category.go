package trace

import "bytes"

// What Kineto's categories mean here (libkineto's ActivityType): host events
// carry the time at which the host did something, device events run later.

// onDevice says whether a category is of events that run on a device.
func onDevice(category []byte) bool {
	switch string(category) {
	case "kernel", "gpu_memcpy", "gpu_memset", "gpu_user_annotation", "cuda_sync",
		"concurrent_kernel", "collective_comm", "gpu_pm_counter",
		"mtia_ccp_events", "mtia_insight", "mtia_workloadd", "hpu_op":
		return true
	default:
		return false
	}
}

// isLaunch says whether a category is of calls of a device's runtime or driver
// (cuda_runtime, cuda_driver, hip_runtime, xpu_runtime, privateuse1_runtime …),
// which device events correlate with.
func isLaunch(category []byte) bool {
	return bytes.HasSuffix(category, []byte("_runtime")) || bytes.HasSuffix(category, []byte("_driver"))
}

// isFrame says whether a category is of spans that stand around operators
// rather than being some.
func isFrame(category []byte) bool {
	switch string(category) {
	case "python_function", "user_annotation":
		return true
	default:
		return false
	}
}
