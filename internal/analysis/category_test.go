package analysis

import (
	"testing"

	"profjob/internal/trace"
)

func TestKernelCategory(t *testing.T) {
	for name, want := range map[string]string{
		"ncclDevKernel_AllReduce_Sum_bf16_RING_LL(ncclDevKernelArgsStorage<4096ul>)":  "communication",
		"void vllm::cross_device_reduce_1stage<__nv_bfloat16, 8>(vllm::RankData*, …)": "communication",
		"hcom_allReduce__123_0_1": "communication",
		"void vllm::reshape_and_cache_flash_kernel<__nv_bfloat16, unsigned char>(…)":                                     "kv cache",
		"void flash_fwd_splitkv_kernel<Flash_fwd_kernel_traits<128, 64, 128, 4, false, false, cutlass::bfloat16_t> >(…)": "attention",
		"kernel_unified_attention_3d":   "attention",
		"FlashAttentionScore":           "attention",
		"fmhaSm100aKernel_QkvE4m3OBf16": "attention",
		"void vllm::rotary_embedding_kernel<c10::BFloat16, true>(long const*)": "rotary",
		"void moe::dev::routing::routingIndicesHistogramKernel<…>":             "moe",
		"void vllm::moe::moe_align_block_size_kernel<int>(…)":                  "moe",
		"_matmul_ogs_NNT_bf16xbf16xmxfp4_16x128x256x1_swiglu":                  "gemm",
		"fused_moe_kernel":                  "gemm",
		"nvjet_tst_64x8_64x16_4x1_v_bz_TNT": "gemm",
		"Cijk_Alik_Bljk_BBS_BH_MT256x32x64": "gemm",
		"void cutlass::Kernel2<cutlass_80_simt_sgemm_128x32_8x5_nn_align1>(…)": "gemm",
		"MatMulV2": "gemm",
		"_ZN5aiter24add_rmsnorm_quant_kernelIDF16bDF16bLi256E":                                                                 "normalisation",
		"void tensorrt_llm::kernels::quantize_with_block_size<…>":                                                              "quantisation",
		"void at::native::reduce_kernel<512, 1, at::native::ReduceOp<float, at::native::ArgMaxOps<float>, unsigned int, long>": "sampling",
		"void (anonymous namespace)::softmax_warp_forward<float, float, float, 5, true>":                                       "softmax",
		"void sgl_hip::activation::act_and_mul_kernel<…>":                                                                      "activation",
		"void at::native::(anonymous namespace)::CatArrayBatchedCopy<…>":                                                       "memory",
		"triton_red_fused_add_mean_0":                                                                                          "reduction",
		"triton_poi_fused_add_0":                                                                                               "elementwise",
		"void at::native::vectorized_elementwise_kernel<4, at::native::CUDAFunctor_add<float> >":                               "elementwise",
		"something nobody knows":                                                                                               "other",
	} {
		if got := KernelCategory(name, trace.Kernel); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	if got := KernelCategory("Memcpy DtoD (Device -> Device)", trace.Copy); got != "copy" {
		t.Error(got)
	}
}

func TestOperatorCategory(t *testing.T) {
	for name, want := range map[string]string{
		"aten::mm": "gemm", "_C::weight_packed_linear": "gemm", "aten::linear": "gemm", "aten::addmm": "gemm",
		"vllm::unified_attention_with_output": "attention", "_C::shm_allreduce": "communication", "c10d::broadcast_": "communication",
		"_C::rms_norm": "normalisation", "_C::fused_add_rms_norm": "normalisation", "_C::cpu_attn_reshape_and_cache": "kv cache",
		"_C::rotary_embedding": "rotary", "aten::copy_": "memory", "aten::view": "shape", "aten::t": "shape", "aten::to": "memory",
		"aten::argmax": "sampling", "_C::greedy_argmax": "sampling", "aten::item": "sync", "aten::add": "elementwise", "aten::sum": "reduction",
		"aten::embedding": "embedding", "vllm::moe_forward": "moe", "aten::silu": "activation", "AddmmBackward0": "gemm", "detach": "other",
	} {
		if got := OperatorCategory(name); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

// TestCategoriesCover: what real devices did is in a category, by time.
func TestCategoriesCover(t *testing.T) {
	eachShared(t, func(t *testing.T, path string) {
		r, err := Read(t.Context(), Input{Path: path}, trace.ScanOptions{})
		if err != nil {
			t.Fatal(err)
		}
		var sum, unknown int64
		for _, c := range r.Trace.Total.Categories {
			sum += c.Time
			if c.Name == other {
				unknown += c.Time
			}
		}
		if unknown*20 > sum {
			for _, k := range r.Trace.Total.Kernels {
				if k.Category == other {
					t.Logf("%d ns: %s", k.Time, k.Name)
				}
			}
			t.Errorf("%d of %d ns are in no category", unknown, sum)
		}
	})
}
