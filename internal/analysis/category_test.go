package analysis

import (
	"fmt"
	"strings"
	"testing"

	"profjob/internal/trace"
)

// TestKernelCategory takes names as kernel libraries make them.
func TestKernelCategory(t *testing.T) {
	for category, names := range map[string][]string{
		catCommunication: {
			"ncclDevKernel_AllReduce_Sum_bf16_RING_LL(ncclDevKernelArgsStorage<4096ul>)",
			"ncclKernel_SendRecv_RING_SIMPLE_Sum_int8_t(ncclWorkElem)",
			"ncclSymkDevKernel_AllReduce_RSxLDMC_AGxSTMC_sum_bf16(ncclSymkDevWorkArgs4K)",
			"void vllm::cross_device_reduce_1stage<__nv_bfloat16, 2>(vllm::RankData*, vllm::RankSignals, vllm::Signal*, __nv_bfloat16*, int, int)",
			"void flashinfer::trtllm_allreduce_fusion::allreduce_fusion_kernel_oneshot_lamport<(AllReduceFusionPattern)1, __nv_bfloat16, 8>(AllReduceFusionParams)",
			"void (anonymous namespace)::multimem_all_reduce_kernel<c10::BFloat16, 16>(c10::BFloat16*, unsigned long)",
			"void deep_ep::internode_ll::dispatch<true, false, 7168>(void*, void*, int*)",
			"hcom_allReduce__751_0_1",
		},
		catCache: {
			"void vllm::reshape_and_cache_flash_kernel<__nv_bfloat16, __nv_bfloat16, (vllm::Fp8KVCacheDataType)0>(__nv_bfloat16 const*)",
			"void vllm::concat_and_cache_mla_kernel<__nv_bfloat16, unsigned char>(__nv_bfloat16 const*)",
			"void (anonymous namespace)::store_kvcache<2048l, 4, false, long>(StoreKVCacheParams)",
			"void flashinfer::AppendPagedKVCacheKernel<128u, 8u>(paged_kv_t)",
			"_compute_slot_mapping_kernel", "create_flashinfer_kv_indices_triton", "ReshapeAndCacheNdKernel", "KvRmsNormRopeCache",
		},
		catAttention: {
			"void flash::flash_fwd_splitkv_kernel<Flash_fwd_kernel_traits<128, 64, 128, 4, false, false, cutlass::bfloat16_t>>(flash::Flash_fwd_params)",
			"void cutlass::device_kernel<flash::enable_sm90_or_later<flash::FlashAttnFwdSm90<flash::CollectiveMainloopFwdSm90<2>>>>(Params)",
			"void flashinfer::BatchPrefillWithPagedKVCacheKernel<flashinfer::KernelTraits<1>>(Params)",
			"void flashinfer::BatchDecodeWithPagedKVCacheKernel<(flashinfer::PosEncodingMode)0>(Params)",
			"void flashinfer::PersistentVariableLengthMergeStatesKernel<8u>(float*)",
			"fmhaSm100aKernel_QkvBfloat16OBfloat16H128PagedKvCausalP16VarSeqQ128Kv128PersistentContext",
			"_ZN7ck_tile6kentryILi2ENS_13FmhaFwdKernelINS_24BlockFmhaPipelineQRKSVSAsync",
			"void paged_attention_ll4mi_reduce_kernel<__hip_bfloat16, 128>(__hip_bfloat16*)",
			"kernel_unified_attention_2d", "reduce_segments", "_fwd_kernel", "_fwd_grouped_kernel_stage1", "attn_fwd",
			"mla_a16w16_qh16_m16x4_n16x1_coex0_mask1_ps", "void flash_fwd_splitkv_mla_kernel<Flash_fwd_kernel_traits_mla<576>>(Params)",
			"FlashAttentionScore", "FusedInferAttentionScore", "_selective_scan_update_kernel", "_chunk_scan_fwd_kernel",
			"fused_recurrent_gated_delta_rule_fwd_kernel",
		},
		catMoE: {
			"fused_moe_kernel", "_matmul_ogs_NNT_bf16xbf16xmxfp4_16x128x256x1_swiglu",
			"void vllm::moe::topkGating<8, 128, 4, 16, 32, int, __nv_bfloat16>(__nv_bfloat16 const*)",
			"void vllm::moe::moe_align_block_size_kernel<int>(int const*)",
			"bmm_Bfloat16_MxE2m1MxE4m3_Fp32_t128x16x256u2_s3_et128x16_m128x16x32_rM_TN_transOut_dynBatch_sm100f",
			"void moe::dev::finalize::finalizeKernelVecLoad<KernelParams>(KernelParams)",
			"_ZN5aiter50fmoe_bf16_blockscaleFp8_g1u1_vs_silu_1tg_ps_32x256E_moe", "GroupedMatmul", "MoeGatingTopK",
		},
		catNormalisation: {
			"void vllm::fused_add_rms_norm_kernel<c10::BFloat16, 8>(c10::BFloat16*)",
			"std::enable_if<(((8)>(0)))&&vllm::_typeConvert<c10::BFloat16>::exists, void>::type vllm::fused_add_rms_norm_kernel<c10::BFloat16, 8>(c10::BFloat16*)",
			"void vllm::rms_norm_static_fp8_quant_kernel<c10::BFloat16, c10::Float8_e4m3fn>(c10::Float8_e4m3fn*)",
			"_ZN5aiter24add_rmsnorm_quant_kernelIDF16bDF16bLi256ELi16ELb1ELb0ELb1ELi1EEEvPT0_PT_PfS4_",
			"void flashinfer::norm::FusedAddRMSNormKernel<8u, __nv_bfloat16>(__nv_bfloat16*)",
			"void at::native::(anonymous namespace)::vectorized_layer_norm_kernel<float, float>(int, float)",
			"triton_red_fused__to_copy_add_mean_mul_pow_rsqrt_2", "AddRmsNorm", "LayerNormV4",
		},
		catGEMM: {
			"nvjet_tst_64x64_64x16_2x1_2cta_v_bz_bias_TNT", "ampere_bf16_s16816gemm_bf16_128x64_ldg8_f2f_stages_64x4_tn",
			"sm90_xmma_gemm_bf16bf16_bf16f32_f32_tn_n_tilesize128x128x64_warpgroupsize1x1x1_execute_segment_k_off_kernel__5x_cublas",
			"void cutlass::Kernel2<cutlass_80_wmma_tensorop_bf16_s161616gemm_bf16_16x16_128x2_tn_align8>(Params)",
			"void cutlass::device_kernel<vllm::cutlass_3x_gemm_fp8_blockwise>(Params)",
			"Cijk_Alik_Bljk_BBS_BH_Bias_HA_S_SAV_UserArgs_MT256x32x64_MI16x16x1_SN", "void gemv2T_kernel_val<int, int, float>(int)",
			"void splitKreduce_kernel<32, 16, int, float, __nv_bfloat16>(cublasSplitKParams<float>)",
			"void deep_gemm::sm90_fp8_gemm_1d2d_impl<0u, 2112u, 7168u>(float*)", "void marlin::Marlin<__nv_bfloat16, 256, 4, 16, 4, 4, true>(int4 const*)",
			"void wvSplitK_hf_sml_<__hip_bfloat16, 64, 2, 16, 8, 2, 4>(int)", "_lora_expand_kernel", "triton_tem_fused_mm_3", "MatMulV2",
			"QuantBatchMatmulV3", "void at::cuda::detail::cublas_dot_kernel<float>()", "gemm",
		},
		catActivation: {
			"void vllm::act_and_mul_kernel<c10::BFloat16, &vllm::silu_kernel<c10::BFloat16>, true>(c10::BFloat16*)",
			"void at::native::vectorized_elementwise_kernel<8, at::native::(anonymous namespace)::silu_kernel(at::TensorIteratorBase&)::{lambda()#1}>(int)",
			"triton_poi_fused_mul_silu_1", "SwiGlu", "DequantSwigluQuant",
		},
		catQuantisation: {
			"void vllm::scaled_fp8_quant_kernel_strided<c10::BFloat16, c10::Float8_e4m3fn>(c10::Float8_e4m3fn*)",
			"void per_token_group_quant_8bit_kernel<c10::BFloat16, c10::Float8_e4m3fn, false>(void const*)", "DynamicQuant", "AscendQuantV2",
			"void vllm::cvt_fp16_to_fp4<__nv_bfloat16, false>(int)",
		},
		catRotary:    {"void vllm::rotary_embedding_kernel<c10::BFloat16, true>(long const*)", "_triton_mrope_forward", "void flashinfer::BatchQKApplyRotaryPosIdsCosSinCacheKernel<true>(int)"},
		catEmbedding: {"void fbgemm_gpu::permute_indices_weights_kernel<false, int, decltype(nullptr)>(int)", "void split_embedding_codegen_forward_unweighted_kernel<float, float>(int)", "triton_poi_fused_embedding_0"},
		catSampling: {
			"void at::native::reduce_kernel<512, 1, at::native::ReduceOp<float, at::native::ArgMaxOps<float>, unsigned int, long, 4, 4> >(int)",
			"void at::native::(anonymous namespace)::cunn_SoftMaxForward<8, float, float, float>(float*)",
			"void flashinfer::sampling::TopKTopPSamplingFromProbKernel<1024u>(float*)",
			"void at::native::(anonymous namespace)::distribution_elementwise_grid_stride_kernel<float, 4, at::native::templates::cuda::exponential_kernel>(int)",
			"_topk_topp_kernel", "rejection_greedy_sample_kernel", "_penalties_kernel", "ArgMaxV2", "apply_token_bitmask_inplace_kernel",
		},
		catSort: {"void cub::DeviceRadixSortOnesweepKernel<cub::DeviceRadixSortPolicy<long, int, int>::Policy800, false>(int*)"},
		catMemory: {
			"void at::native::elementwise_kernel<128, 4, at::native::gpu_kernel_impl_nocast<at::native::direct_copy_kernel_cuda(at::TensorIteratorBase&)::{lambda()#3}>>(int)",
			"void at::native::(anonymous namespace)::CatArrayBatchedCopy<at::native::(anonymous namespace)::OpaqueType<2u>, unsigned int, 4, 64, 64>(int)",
			"void at::native::vectorized_elementwise_kernel<8, at::native::FillFunctor<c10::BFloat16>, std::array<char*, 1ul> >(int)",
			"void at::native::vectorized_gather_kernel<16, long>(char*, char*, long*, int)",
			"void at::native::index_elementwise_kernel<128, 4, at::native::gpu_index_kernel<at::native::index_kernel_impl>>(long)",
			"void at::native::(anonymous namespace)::indexSelectLargeIndex<c10::BFloat16, long, unsigned int, 2, 2, -2, true>(int)",
			"triton_poi_fused__to_copy_1", "triton_poi_fused_constant_pad_nd_moe_forward_0", "Cast", "Slice", "TransData", "aclnnInplaceCopy_TensorMoveAiCore_TensorMove",
		},
		catReduction: {
			"void at::native::reduce_kernel<512, 1, at::native::ReduceOp<float, at::native::MeanOps<float, float, float, float>, unsigned int, float, 4, 4> >(int)",
			"void cub::DeviceScanKernel<cub::AgentScanPolicy<128, 15, int>>(int)", "triton_per_fused_sum_0", "ReduceSum",
		},
		catElementwise: {
			"void at::native::vectorized_elementwise_kernel<4, at::native::CUDAFunctor_add<float>, std::array<char*, 3ul> >(int)",
			"void multi_tensor_apply_kernel<TensorListMetadata<4>, AdamFunctor<float>, float>(int)", "triton_poi_fused_0", "triton_poi_fused_add_all_reduce_1",
			"Mul", "aclnnAdd_AddAiCore_Add", "RealDiv",
		},
		catOther: {"", "void at::to_dense_representation_kernel<float>(long)", "property_of_nothing", "\xff\xfe"},
	} {
		for _, name := range names {
			if got := KernelCategory(name, trace.Kernel); got != category {
				t.Errorf("%s is %s, want %s", name, got, category)
			}
		}
	}
}

// TestKernelType holds the three types of HolisticTraceAnalysis.
func TestKernelType(t *testing.T) {
	for _, c := range []struct {
		name string
		kind trace.Kind
		want string
	}{
		{"Memcpy HtoD (Pinned -> Device)", trace.Copy, "memory"},
		{"Memset (Device)", trace.Fill, "memory"},
		{"ncclDevKernel_AllGather_RING_LL(ncclDevKernelArgsStorage<4096ul>)", trace.Kernel, "communication"},
		{"ncclKernel_AllReduce_RING_LL_Sum_float(ncclWorkElem)", trace.Kernel, "communication"},
		{"void at::native::(anonymous namespace)::CatArrayBatchedCopy<float, unsigned int, 2, 128, 1>(float*)", trace.Kernel, "computation"},
		{"ampere_sgemm_128x64_nn", trace.Kernel, "computation"},
		{"unheard_of", trace.Kernel, "computation"},
	} {
		if got := KernelType(KernelCategory(c.name, c.kind)); got != c.want {
			t.Errorf("%s is %s, want %s", c.name, got, c.want)
		}
	}
}

func TestOperatorCategory(t *testing.T) {
	for category, names := range map[string][]string{
		catLaunch:        {"cudaLaunchKernel", "cudaGraphLaunch", "hipModuleLaunchKernel", "cuLaunchKernelEx", "hipMemcpyWithStream", "aclrtMemcpyAsync", "urEnqueueKernelLaunch", "AscendCL@aclrtLaunchKernel"},
		catGEMM:          {"aten::mm", "aten::addmm", "aten::bmm", "aten::linear", "aten::matmul", "_C::weight_packed_linear", "_C::onednn_mm", "aten::_scaled_mm", "aiter::gemm_a16w16", "vllm::rocm_unquantized_gemm", "autograd::engine::evaluate_function: AddmmBackward0"},
		catAttention:     {"vllm::unified_attention_with_output", "_C::cpu_attention_with_kv_cache", "aten::scaled_dot_product_attention", "aten::_scaled_dot_product_flash_attention_for_cpu", "aten::_safe_softmax", "sgl_kernel::decode_attention_cpu", "torch_ipex::single_query_cached_kv_attention", "sglang_profiler::mha__mha_batch_prefill_167", "npu::npu_fused_infer_attention_score", "_C::get_scheduler_metadata"},
		catCache:         {"vllm::unified_kv_cache_update", "_C::cpu_attn_reshape_and_cache", "_C_cache_ops::reshape_and_cache_flash", "sglang::store_cache", "_C::compute_slot_mapping_kernel_impl"},
		catNormalisation: {"_C::rms_norm", "_C::fused_add_rms_norm", "aten::native_layer_norm", "aiter::add_rmsnorm", "npu::npu_add_rms_norm"},
		catCommunication: {"c10d::allreduce_", "c10d::broadcast_", "c10d::_allgather_base_", "nccl:all_reduce", "gloo:broadcast", "_C::shm_allreduce", "_C::shm_all_gather", "vllm::all_reduce", "symm_mem::multimem_all_reduce_", "_c10d_functional::all_reduce", "record_param_comms"},
		catMemory:        {"aten::copy_", "aten::to", "aten::_to_copy", "aten::cat", "aten::index", "aten::index_select", "aten::gather", "aten::zeros", "aten::fill_", "aten::item", "aten::contiguous", "aten::clone"},
		catView:          {"aten::view", "aten::as_strided", "aten::slice", "aten::t", "aten::transpose", "aten::reshape", "aten::detach_", "aten::split_with_sizes"},
		catAllocation:    {"aten::empty", "aten::empty_strided", "aten::empty_like", "aten::resize_", "aten::new_empty"},
		catSampling:      {"aten::argmax", "aten::multinomial", "aten::topk", "aten::softmax", "aten::log_softmax", "_C::greedy_argmax", "aten::exponential_"},
		catEmbedding:     {"aten::embedding", "fbgemm::split_embedding_codegen_lookup_rowwise_adagrad_function"},
		catRotary:        {"_C::rotary_embedding", "sgl_kernel::rotary_embedding"},
		catActivation:    {"aten::silu", "_C::silu_and_mul", "aten::gelu", "sgl_kernel::silu_and_mul"},
		catQuantisation:  {"_C::static_scaled_fp8_quant", "_C::dynamic_per_token_scaled_fp8_quant", "npu::npu_dynamic_quant"},
		catMoE:           {"vllm::moe_forward", "_moe_C::topk_softmax", "sgl_kernel::fused_experts_cpu"},
		catSort:          {"aten::sort", "aten::argsort"},
		catReduction:     {"aten::sum", "aten::mean", "aten::max", "aten::cumsum"},
		catElementwise:   {"aten::add", "aten::mul", "aten::sub_", "aten::div_", "aten::pow", "aten::rsqrt", "aten::where", "aten::bitwise_and", "graph_0_cpp_fused_add_mul_0"},
		catCompiler:      {"Torch-Compiled Region: 0/0", "CompiledFunction", "TorchDynamo Cache Lookup", "AOTDispatcher Runtime Wrapper Prologue", "Pregraph bytecode"},
		catOther:         {"", "current", "hippo", "zebra"},
	} {
		for _, name := range names {
			if got := OperatorCategory(name); got != category {
				t.Errorf("%s is %s, want %s", name, got, category)
			}
		}
	}
}

// TestRulesCanMatch holds the form of the words, which a typing error would break unseen.
func TestRulesCanMatch(t *testing.T) {
	for _, rules := range [][]rule{kernelRules, inductorRules, operatorRules} {
		seen := map[string]string{}
		for _, r := range rules {
			for _, word := range r.words {
				if bare := strings.Trim(word, "^ "); bare == "" || strings.ToLower(word) != word {
					t.Errorf("%s: the word %q matches no folded name", r.category, word)
				}
				for before, category := range seen {
					if bare := strings.Trim(word, "^ "); strings.Contains(bare, before) {
						t.Errorf("%s: %q is never reached: %q of %s is before it", r.category, word, before, category)
					}
				}
			}
			for _, word := range r.words {
				if word[0] != '^' && strings.Trim(word, " ") == word {
					seen[word] = r.category
				}
			}
		}
	}
}

// TestCategoriesCover: nearly all of the time of real traces has a category.
func TestCategoriesCover(t *testing.T) {
	eachShared(t, func(t *testing.T, path string) {
		c := columns(t, path)
		var all, known [2]int64
		unknown := map[string]int64{}
		for _, l := range c.Lanes {
			for s := range l.Spans() {
				name, side := c.Name(s.Name), 0
				var category string
				switch {
				case s.Kind.OnDevice():
					category = KernelCategory(name, s.Kind)
				case s.Kind == trace.Operator:
					category, side = OperatorCategory(name), 1
				default:
					continue
				}
				all[side] += s.Dur
				if category != catOther {
					known[side] += s.Dur
				} else {
					unknown[name] += s.Dur
				}
			}
		}
		for side, what := range []string{"devices", "operators"} {
			if all[side] == 0 {
				continue
			}
			share := float64(known[side]) / float64(all[side])
			t.Logf("%s: %.2f %% of %d ns", what, share*100, all[side])
			if share < 0.95 {
				t.Errorf("%.1f %% of the time of %s has a category, want 95 %%; without: %s", share*100, what, fmt.Sprint(unknown))
			}
		}
	})
}

// TestPairs: what they rule out is in no name.
func TestPairs(t *testing.T) {
	for _, rules := range [][]rule{kernelRules, inductorRules, operatorRules} {
		for _, r := range rules {
			for _, word := range r.words {
				name := "1" + strings.Trim(word, "^ ") + "2"
				if word[0] == '^' {
					name = name[1:]
				}
				var in pairs
				in.add(name)
				if !in.mayHold(word) || !holds(name, word) {
					t.Errorf("%q is not found in %q", word, name)
				}
			}
		}
	}
}

func BenchmarkKernelCategory(b *testing.B) {
	name := "void at::native::vectorized_elementwise_kernel<4, at::native::CUDAFunctor_add<float>, std::array<char*, 3ul> >" + strings.Repeat("(int, std::array<char*, 3ul>)", 12)
	for b.Loop() {
		KernelCategory(name, trace.Kernel)
	}
}
