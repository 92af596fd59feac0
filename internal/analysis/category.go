package analysis

import (
	"strings"

	"profjob/internal/trace"
)

// The categories of kernels and operators. Copies and fills are what the device's copy
// engines did, by the trace's own word; memory is kernels and operators that move data.
const (
	catActivation    = "activation"
	catAllocation    = "allocation" // host only
	catAttention     = "attention"  // state space layers and linear attention, too
	catCache         = "cache"      // writes into the KV cache, and what finds the place
	catCommunication = "communication"
	catCompiler      = "compiler" // host only: what torch.compile puts around a graph
	catCopy          = "copy"
	catElementwise   = "elementwise"
	catEmbedding     = "embedding"
	catFill          = "fill"
	catGEMM          = "gemm"   // convolutions, too
	catLaunch        = "launch" // host only
	catMemory        = "memory"
	catMoE           = "moe" // routing, and the matrix products of experts
	catNormalisation = "normalisation"
	catOther         = "other"
	catQuantisation  = "quantisation"
	catReduction     = "reduction" // scans, too
	catRotary        = "rotary"
	catSampling      = "sampling"
	catSort          = "sort"
	catView          = "view" // host only: no data moves
)

// KernelCategory is what a device's work is for, by its name: gemm, attention,
// communication, …; of a copy or a fill it is "copy" or "fill". A kernel that does
// several things in one counts as the first that has a rule. Callers keep the result
// by name.
func KernelCategory(name string, kind trace.Kind) string {
	switch kind {
	case trace.Copy:
		return catCopy
	case trace.Fill:
		return catFill
	}
	name = folded(name)
	if rest, fallback, ok := inductor(name); ok {
		return categoryIn(inductorRules, rest, fallback)
	}
	return categoryIn(kernelRules, name, catOther)
}

// OperatorCategory is what an operator of the host is for, by its name: the same
// categories, and those of operators that have no kernel: "view", "allocation",
// "compiler", and "launch" for calls of a device's runtime.
func OperatorCategory(name string) string {
	if isRuntimeCall(name) {
		return catLaunch
	}
	name = folded(name)
	if _, rest, ok := strings.Cut(name, "cpp_fused_"); ok {
		return categoryIn(inductorRules, rest, catElementwise)
	}
	if category := categoryIn(operatorRules, name, ""); category != "" {
		return category
	}
	return categoryIn(kernelRules, name, catOther)
}

// KernelType is the coarse kind of work of a category that [KernelCategory] gave:
// "computation", "communication" or "memory", the types that HolisticTraceAnalysis has
// (hta/utils/utils.py: get_kernel_type). As there, kernels that move data are
// computation. Unlike there, collectives other than NCCL's are communication, too.
func KernelType(category string) string {
	switch category {
	case catCommunication:
		return "communication"
	case catCopy, catFill:
		return "memory"
	}
	return "computation"
}

// rule gives names that hold one of the words a category. Words are in lower case. One
// that starts with ^ is at the begin of the name; a blank at a word's begin or end says
// that no letter is next to it.
type rule struct {
	category string
	words    []string
}

// categoryIn is the category of the first rule that a folded name meets.
func categoryIn(rules []rule, name, fallback string) string {
	var in pairs
	in.add(name)
	for _, r := range rules {
		for _, word := range r.words {
			if in.mayHold(word) && holds(name, word) {
				return r.category
			}
		}
	}
	return fallback
}

// pairs are the pairs of neighbouring bytes of a name, by the lower 6 bits of each. With
// them, nearly all words that are not in a name take no search.
type pairs [64]uint64

func (p *pairs) add(name string) {
	for i := 1; i < len(name); i++ {
		p[name[i-1]&63] |= 1 << (name[i] & 63)
	}
}

func (p *pairs) mayHold(word string) bool {
	for i := 1; i < len(word); i++ {
		a, b := word[i-1], word[i]
		if a != '^' && a != ' ' && b != ' ' && p[a&63]&(1<<(b&63)) == 0 {
			return false
		}
	}
	return true
}

// maxTelling is how much of a name is looked at: what a kernel is comes before its
// template's arguments and those of its call.
const maxTelling = 1024

// folded is a name as the rules take it. FBGEMM is no word for a matrix product: what
// traces have of it looks up embeddings.
func folded(name string) string {
	name = strings.ToLower(strings.TrimPrefix(name[:min(len(name), maxTelling)], "void "))
	return strings.ReplaceAll(name, "fbgemm", "fb")
}

func holds(name, word string) bool {
	if word[0] == '^' {
		return strings.HasPrefix(name, word[1:])
	}
	bare := strings.TrimSuffix(word, " ")
	atEnd := len(bare) < len(word)
	bare, atBegin := strings.CutPrefix(bare, " ")
	for from := 0; ; {
		i := strings.Index(name[from:], bare)
		if i < 0 {
			return false
		}
		begin, end := from+i, from+i+len(bare)
		if !(atBegin && begin > 0 && isLetter(name[begin-1])) && !(atEnd && end < len(name) && isLetter(name[end])) {
			return true
		}
		from = begin + 1
	}
}

func isLetter(c byte) bool { return 'a' <= c && c <= 'z' }

// inductor tells a kernel that torch.compile made, the operators that its name lists,
// and what it is where none of those says more. The names are
// triton_{poi,red,per,tem,…}_fused_OPERATORS_N (torch/_inductor/codegen/triton.py):
// pointwise, reduction, persistent reduction, template (a matrix product). They also
// list operators whose inputs or results the kernel only prepares, so the names of
// custom operators in them mean nothing.
func inductor(name string) (operators, fallback string, ok bool) {
	rest, ok := strings.CutPrefix(name, "triton_")
	if !ok || len(rest) < 4 || rest[3] != '_' {
		return "", "", false
	}
	switch rest[:3] {
	case "poi", "for":
		return rest[4:], catElementwise, true
	case "red", "per", "spl":
		return rest[4:], catReduction, true
	case "tem":
		return "template_" + rest[4:], catGEMM, true
	}
	return "", "", false
}

// isRuntimeCall tells the calls of the runtimes and drivers of CUDA, ROCm, XPU
// (Unified Runtime, Level Zero) and CANN.
func isRuntimeCall(name string) bool {
	for _, prefix := range []string{"cuda", "hip", "cu", "aclrt", "acl", "ur", "ze", "AscendCL@", "Runtime@", "Node@", "Model@"} {
		rest, ok := strings.CutPrefix(name, prefix)
		if ok && (strings.HasSuffix(prefix, "@") || rest != "" && 'A' <= rest[0] && rest[0] <= 'Z') {
			return true
		}
	}
	return false
}
