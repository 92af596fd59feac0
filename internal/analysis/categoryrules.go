package analysis

// kernelRules are read from top to bottom. What the names stem from:
//
//   - communication: NCCL, RCCL, HCCL, oneCCL; vLLM's and SGLang's own all-reduces
//     (csrc/custom_all_reduce.cuh, quick_all_reduce), TensorRT-LLM's, PyTorch's
//     symmetric memory, MSCCL++, NVSHMEM, DeepEP
//   - cache: vLLM's csrc/cache_kernels.cu, SGLang's memory pool and allocator, FlashInfer's
//     page.cuh, CANN's ReshapeAndCache
//   - attention: FlashAttention, FlashInfer, FlashMLA, TensorRT-LLM's fmha, CUTLASS's, ck_tile
//     and aiter (fmha, paged_attention, mla), Triton's in vLLM and SGLang, CANN's;
//     Mamba, gated delta rule
//   - moe: vLLM's csrc/moe, TensorRT-LLM's moe::dev, batched products that the routing
//     sizes (bmm_…_dynBatch), triton_kernels' matmul_ogs, aiter, CANN's
//   - gemm: cuBLAS (sm90_xmma_, ampere_sgemm_, nvjet_, gemv), CUTLASS, Tensile (Cijk_, under
//     rocBLAS and hipBLASLt), DeepGEMM, Marlin, Machete, vLLM's wvSplitK, LoRA's, CANN's
//   - the rest: at::native (PyTorch, ATen/native/cuda), CUB and rocPRIM, FBGEMM, vLLM's
//     csrc, sgl-kernel, CANN's operators by their type
var kernelRules = []rule{
	{catCommunication, []string{
		"nccl", "rccl", "hccl", "oneccl", "^ccl_", "hcom_", "allreduce", "all_reduce", "cross_device_reduce", "quickreduce",
		"allgather", "all_gather", "reducescatter", "reduce_scatter", "alltoall", "all_to_all", "all2all", "sendrecv",
		"multimem_", "symm_mem", "nvshmem", "mscclpp", "deep_ep", "internode::", "intranode::", "internode_ll", "moedistribute",
		"shm_gather", "shm_send", "shm_recv",
	}},
	{catCache, []string{
		"and_cache", "andcache", "store_kv", "storekv", "store_cache", "set_kv_buffer", "set_mla_kv", "append_paged", "appendpaged",
		"kv_cache_update", "gather_cache", "gather_and_maybe_dequant_cache", "quant_cache", "scatterpakv", "ropecache",
		"copy_blocks", "swap_blocks", "copyblock", "slot_mapping", "req_to_token", "alloc_extend_kernel", "alloc_decode_kernel",
		"page_indices", "page_table", "block_table", "transfer_kernel_impl", "kv_indices", "cp_gather_indexer",
	}},
	{catAttention, []string{
		"attention", "attn", "flash_fwd", "flash_bwd", "flash::", "flashmla", "flash_mla", "fmha", " mha", " mqa", " mla", "sdpa",
		"batchprefill", "batchdecode", "singleprefill", "singledecode", "mergestate", "merge_state", "reduce_segments",
		"^_fwd_kernel", "^_fwd_grouped_kernel", "varlen_num_blocks", "scheduler_metadata", "num_kv_splits",
		"_safe_softmax", "mamba", "selective_scan", "causal_conv1d", "ssd_", "chunk_scan", "chunk_state", "state_passing",
		"gated_delta", "fused_recurrent", "linear_attn",
	}},
	{catMoE, []string{
		" moe", "_moe", "moe_", "fusedmoe", "moesort", "topk_softmax", "topk_sigmoid", "topkgating", "topk_gating", "grouped_topk", "group_topk",
		"expert", "routing", "matmul_ogs", "finalize_matmul_scatter", "bitmatrix", "^_topk_forward", "dynbatch", "expandinputrows",
		"grouped_gemm", "groupedgemm", "group_gemm", "groupgemm", "grouped_mm", "groupproblemshape", "groupedmatmul", "groupedproblem",
		"ep_scatter", "ep_gather", "src2dst", "gatingtopk", "permute_unpermute", "shuffle_rows",
	}},
	{catNormalisation, []string{
		"rmsnorm", "rms_norm", "layernorm", "layer_norm", "batchnorm", "batch_norm", "groupnorm", "group_norm", "l2norm", "l2_norm",
		"gammabeta", "rowwisemoments", "qk_norm", "qknorm", "fused_add_norm", "addnorm", "gemma_norm",
	}},
	{catGEMM, []string{
		"gemm", "gemv", "matmul", "nvjet", "cijk_", "xmma", " mm ", " bmm", "scaled_mm", "int8mm", "splitkreduce", "splitk_reduce",
		"cublas", "tensorop_", "cutlass::kernel", "cutlass::device_kernel", "marlin", "machete", "wvsplitk", "llmm1", "exllama", "gptq",
		"awq_gemm", "bitblas", "epilogue::impl::", " dot_kernel", "lora_", " sgmv", " bgmv", "convolve", "convolution", "conv2d", "conv3d",
		"winograd", "miopen", "fprop", "dgrad", "wgrad", " linear ",
	}},
	{catActivation, []string{
		"act_and_mul", "silu", "gelu", "swiglu", "relu", "sigmoid", "tanh", " glu ", "mish", "softplus", "threshold_kernel", "threshold_backward",
	}},
	{catQuantisation, []string{"quant", "fp16_to_fp4", "to_fp8", "to_fp4", "per_token_cast", "scale_ub"}},
	{catRotary, []string{"rotary", " rope ", "applyrope", "mrope", "interleaverope"}},
	{catEmbedding, []string{
		"embedding", "pooled_embs", "bounds_check_indices", "linearize_index", "permute_indices_weights", "splitlookupfunction", "fb_gpu::", "fb::", " embed",
	}},
	{catSampling, []string{
		"sampl", "argmax", "topk", "top_k", "topp", "top_p", "min_p", "softmax", "logits", "logprob", "log_prob", "penalt", "multinomial",
		"exponential", "gumbel", "rejection", "bitmask", "verify_tree", "tree_greedy", "verifytree", "compute_new_prob",
	}},
	{catSort, []string{"sort", "radix"}},
	{catMemory, []string{
		"copy_kernel", "copyfunctor", "_copy_async", "_to_copy", "copy_device", "memcpy", "memset", "fill", "catarray", "concat", " cat ", "gather",
		"scatter", "indexselect", "index_select", "index_elementwise", "index_kernel", "index_put", "index_copy", "index_add",
		"indexput", "indexaicore", "indexfunc", "transpose", "transdata", "tensormove", "viewcopy", "inplacecopy", "arange", " cast ", " slice ",
		"stridedslice", " pad ", "padv", "constant_pad", "broadcastto", "zeroslike", "oneslike", "maskedfill", "masked_select",
		"nonzero", "resolve_future_token", "memoryformat", " flip", " roll ", " tril", " triu", "repeat_interleave", "compute_position",
	}},
	{catReduction, []string{
		"reduce", "reduction", "scan", "cumsum", " sum", " mean", "segment", " norm ", "::max ", "::min ", "::amax ", "::all ", "::any ",
	}},
	{catElementwise, []string{
		"elementwise", "pointwise", "multi_tensor_apply", "distribution", "functor", "foreach", " add", " sub", " rsub", " mul", " div", "realdiv",
		" neg", " pow", "sqrt", " exp", " log", " cos", " sin", " abs", " where", "select", " equal", " less", " greater", " eq ", " ne ",
		" lt ", " le ", " gt ", " ge ", "logical", "bitwise", "__and__", "__or__", "clamp", "clip", "isnan", "isneginf", "nan_to_num", "binary", "unary", "loss",
	}},
}

// inductorRules are for the operators that a fused kernel lists.
var inductorRules = []rule{
	{catAttention, []string{"template_fused_flex_attention", "template_flex_attention", "flex_decoding"}},
	{catGEMM, []string{"template_"}},
	{catNormalisation, []string{"rms_norm", "layer_norm", "batch_norm", "group_norm", "mean_mul_pow", "mean_pow", "pow_rsqrt", "mean_rsqrt", "rsqrt"}},
	{catSampling, []string{"argmax", "softmax", "exponential", "topk"}},
	{catActivation, []string{"silu", "gelu", "relu", "sigmoid", "tanh"}},
	{catEmbedding, []string{"embedding"}},
	{catReduction, []string{"sum", "mean", "amax", "max_", "min_", "cumsum", "prod"}},
	{catElementwise, []string{
		"add", "sub", "mul", "div", "neg", "pow", "exp", "log", "cos", "sin", "abs", "where", "eq_", "ne_", "lt_", "le_", "gt_", "ge_", "clamp",
		"bitwise", "logical", "sqrt", "maximum", "minimum", "remainder", "floor",
	}},
	{catMemory, []string{
		"copy", "clone", "cat", "index", "gather", "scatter", "pad", "permute", "transpose", "slice", "select", "stack", "split", "view", "fill", "zeros",
		"ones", "full", "arange", "empty", "repeat",
	}},
}

// operatorRules are for the operators that kernelRules have no or the wrong word for:
// those of ATen by their schema's names, c10d's and the backends' (nccl:, gloo:), and
// what autograd and torch.compile put around operators.
var operatorRules = []rule{
	{catCompiler, []string{"^torch-compiled region", "compiledfunction", "^torchdynamo", "^aotdispatcher", "^pregraph", "^## call compiledfxgraph", "^inductor"}},
	{catCommunication, []string{"c10d", "^gloo:", "^xccl:", "^ucc:", "^mpi:", "record_param_comms", "shm_all", "custom_ar"}},
	{catAttention, []string{"scaled_dot_product", "_flash_attention", "_efficient_attention"}},
	{catGEMM, []string{" addmm", " baddbmm", " addbmm", " addmv", " mv ", " dot ", " einsum", " mmbackward", " bmmbackward", "linearbackward", "_linear_pointwise", "_mkl_linear"}},
	{catAllocation, []string{"::empty", "::new_empty", "::resize_", "pin_memory", "is_pinned", "::set_"}},
	{catMemory, []string{
		"::copy_", "::to ", "::_to_copy", "::clone", "::contiguous", "::cat ", "::stack", "::index", "::_index", "::take", "::zero", "::ones", "::full", "::fill_",
		"::scalar_tensor", "::item", "_local_scalar_dense", "is_nonzero", "::tril", "::triu", "::pad ", "::constant_pad", "foreach_copy", "clonebackward", "catbackward",
		"::new_zeros", "::new_ones", "::new_full", "::repeat", "::masked_fill", "::eye", "::lift ",
	}},
	{catView, []string{
		"aten::view", "aten::as_strided", "aten::slice", "aten::select", "aten::transpose", "aten::permute", "aten::t ", "aten::numpy_t", "aten::unsqueeze", "aten::squeeze", "aten::expand", "aten::reshape",
		"_reshape_alias", "_unsafe_view", "aten::narrow", "aten::split", "aten::chunk", "aten::unbind", "aten::flatten", "aten::movedim", "aten::detach", "^detach", "aten::alias", "aten::lift_fresh",
		"resolve_conj", "resolve_neg", "result_type", "record_stream", "broadcast_tensors", "aten::unfold", "aten::diagonal", "aten::real ", "viewbackward",
		" tbackward", "permutebackward", "squeezebackward", "aliasbackward", "slicebackward", "splitwithsizesbackward", "splitbackward", "accumulategrad",
	}},
}
