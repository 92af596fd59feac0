package analysis

import (
	"strings"

	"profjob/internal/trace"
)

// The categories that the program itself looks for; the others stand in the tables.
const (
	communication = "communication"
	copies        = "copy" // a device's own copies and fills, which are no kernels
	other         = "other"
)

// categoryRule gives a category to the names that hold one of the parts. Parts are lower
// case, and the first rule that holds counts.
type categoryRule struct {
	category string
	parts    []string
}

// kernelRules tell kernels by the parts of their names, as these libraries write them:
// NCCL, RCCL, HCCL and the servers' own all-reduces; FlashAttention, FlashInfer, fmha of
// TensorRT-LLM, ck_tile and aiter of ROCm, Triton's unified attention of vLLM; cuBLAS
// (nvjet, xmma, sgemm), CUTLASS, Tensile (Cijk_), Marlin, triton_kernels (_matmul_ogs);
// vLLM's and SGLang's own (csrc/, sgl-kernel/); ATen's; what torch.compile fuses
// (triton_poi_fused_…); Ascend's operator types.
var kernelRules = []categoryRule{
	{communication, []string{"nccl", "rccl", "hccl", "hcom_", "all_reduce", "allreduce", "all_gather", "allgather",
		"reduce_scatter", "reducescatter", "all_to_all", "alltoall", "cross_device_reduce", "sendrecv", "nvshmem", "deep_ep", "broadcast_kernel"}},
	{"kv cache", []string{"reshape_and_cache", "kvcache", "kv_cache", "concat_and_cache", "copy_blocks", "swap_blocks", "set_kv_buffer", "scatterpakvcache"}},
	{"attention", []string{"attention", "attn", "flash_fwd", "flash_bwd", "flashfwd", "fmha", "fwd_mla", "flashmla", "decodewithpaged",
		"prefillwithpaged", "prefillwithragged", "batchprefill", "batchdecode", "reduce_segments", "mergestates", "merge_state"}},
	{"rotary", []string{"rotary", "rope", "mrope"}},
	{"moe", []string{"moe_align", "moe_sum", "moe_permute", "moe_unpermute", "moe::", "moegating", "moeinit", "moefinalize", "routing", "topk_softmax", "topkgating", "topk_gating",
		"grouped_topk", "_topk_forward", "_sum_bitmatrix", "_finalize_matmul_scatter", "expert", "fused_constant_pad_nd_moe", "shuffle_rows"}},
	{"normalisation", []string{"rms_norm", "rmsnorm", "layer_norm", "layernorm", "batch_norm", "batchnorm", "bn_fw", "bn_bw", "group_norm", "groupnorm", "rowwisemoments", "gammabeta"}},
	{"gemm", []string{"gemm", "gemv", "cijk_", "nvjet", "matmul", "cutlass::kernel", "cutlass_", "cublas", "xmma", "bmm_", "marlin", "awq", "gptq",
		"splitkreduce", "fused_moe", "wgrad", "dgrad", "implicit_convolve", "conv2d", "conv3d", "convolution", "machete", "linear_kernel", "dot_kernel", "wvsplitk"}},
	{"quantisation", []string{"quant", "scaled_fp8", "fp8_scale", "block_scale", "cvt_fp"}},
	{"sampling", []string{"argmax", "multinomial", "sampling", "sampler", "top_k", "top_p", "topk", "topp", "penalt", "gumbel", "exponential", "random", "uniform_kernel", "distribution_elementwise"}},
	{"softmax", []string{"softmax"}},
	{"embedding", []string{"embedding", "pooled_embs", "bounds_check_indices", "fbgemm"}},
	{"activation", []string{"silu", "gelu", "swiglu", "act_and_mul", "relu", "sigmoid", "tanh", "threshold_kernel", "mish"}},
	{"optimizer", []string{"multi_tensor_apply", "adam", "adagrad", "sgd"}},
	{"sort", []string{"sort", "radix"}},
	{"memory", []string{"copy", "catarray", "concat", "fillfunctor", "memset", "memcpy", "gather", "scatter", "index", "transpose", "permute", "pad_nd", "constant_pad", "slice", "arange", "tril", "triu", "masked_fill", "flip", "roll_"}},
	{"reduction", []string{"reduce", "triton_red_", "triton_per_", "cumsum", "scan", "welford", "segment_reduce"}},
	{"elementwise", []string{"elementwise", "triton_poi_", "pointwise", "functor", "where_kernel", "lerp", "clamp", "compare"}},
	{"rng", []string{"philox", "dropout"}},
}

// operatorRules tell operators of the host by the parts of their names: torch's aten,
// c10d and autograd, the servers' custom operators (vllm::, _C::, sgl_kernel::, aiter::,
// npu::), what torch.compile runs.
var operatorRules = []categoryRule{
	{communication, []string{"c10d::", "nccl:", "gloo:", "hccl:", "shm_all", "all_reduce", "allreduce", "all_gather", "allgather", "reduce_scatter",
		"all_to_all", "alltoall", "all2all", "record_param_comms", "broadcast_"}},
	{"kv cache", []string{"reshape_and_cache", "kv_cache_update", "kv_cache", "kvcache", "concat_and_cache", "set_kv_buffer"}},
	{"attention", []string{"attention", "attn", "mha", "fmha", "mla_", "flash_"}},
	{"rotary", []string{"rotary", "rope"}},
	{"moe", []string{"moe", "expert", "routing", "topk_softmax", "grouped_topk"}},
	{"normalisation", []string{"rms_norm", "rmsnorm", "layer_norm", "layernorm", "batch_norm", "group_norm"}},
	{"gemm", []string{"::mm", "addmm", "::bmm", "baddbmm", "matmul", "::linear", "linearbackward", "mmbackward", "packed_linear", "gemm", "convolution", "conv2d", "marlin", "scaled_mm", "::dot", "::mv", "einsum"}},
	{"quantisation", []string{"quant", "scaled_fp8"}},
	{"sampling", []string{"argmax", "multinomial", "sampling", "sample", "top_k", "top_p", "topk", "exponential_", "penalt", "gumbel"}},
	{"softmax", []string{"softmax"}},
	{"embedding", []string{"embedding", "lookup"}},
	{"activation", []string{"silu", "gelu", "relu", "sigmoid", "tanh", "swiglu", "act_and_mul"}},
	{"optimizer", []string{"optimizer", "adam", "adagrad", "accumulategrad"}},
	{"sort", []string{"sort"}},
	{"sync", []string{"local_scalar_dense", "::item", "synchronize", "::nonzero", "is_nonzero"}},
	{"memory", []string{"copy", "::to", "::cat", "clone", "contiguous", "fill", "zero_", "::zeros", "::ones", "::full", "::empty", "new_empty", "new_zeros", "index", "gather", "scatter",
		"slot_mapping", "arange", "::pad", "constant_pad", "repeat", "::stack", "masked", "record_stream", "pin_memory", "::tril", "::triu", "::where"}},
	{"shape", []string{"::view", "reshape", "::slice", "select", "as_strided", "::t", "transpose", "permute", "::split", "::chunk", "squeeze", "::narrow", "flatten", "expand",
		"::detach", "::alias", "unbind", "movedim", "resolve_", "result_type", "::unfold", "lift_fresh"}},
	{"compiled", []string{"torch-compiled region", "compiledf", "compiledfx", "inductor", "triton_", "## call"}},
	{"reduction", []string{"::sum", "::mean", "::max", "::min", "::amax", "::amin", "::norm", "cumsum", "::prod", "::any", "::all", "::var", "::std"}},
	{"elementwise", []string{"::add", "::sub", "::mul", "::div", "::pow", "::rsqrt", "::sqrt", "::exp", "::log", "::neg", "::abs", "::clamp", "::eq", "::ne", "::lt", "::le", "::gt", "::ge",
		"::sin", "::cos", "bitwise", "logical", "::floor", "::ceil", "::round", "remainder", "nan_to_num", "mulbackward", "::rsub", "::reciprocal", "::isin"}},
	{"autograd", []string{"autograd", "backward"}},
}

// KernelCategory is what a kernel is for: "gemm", "attention", "communication", … or
// "other"; of a device's own copies and fills, "copy".
func KernelCategory(name string, kind trace.Kind) string {
	if kind == trace.Copy || kind == trace.Fill {
		return copies
	}
	return categoryOf(kernelRules, name)
}

// OperatorCategory is what an operator of the host is for.
func OperatorCategory(name string) string { return categoryOf(operatorRules, name) }

// longestName is how much of a name is looked at: kernels' names are types, and can be
// as long as one likes.
const longestName = 2048

func categoryOf(rules []categoryRule, name string) string {
	lower := strings.ToLower(name[:min(len(name), longestName)])
	for _, r := range rules {
		for _, part := range r.parts {
			if strings.Contains(lower, part) {
				return r.category
			}
		}
	}
	return other
}
