package omni

import (
	"encoding/json"
	"strconv"

	"profjob/internal/engine"
)

// Limits are what a server can schedule in one engine step. 0 is not known.
type Limits struct {
	MaxNumSeqs          int // requests
	MaxNumBatchedTokens int // tokens
	SpeculativeTokens   int // draft tokens of a request; 0: none, or not known
}

// mostDecodeTokens is the most tokens of a step that only decodes; 0: not known.
func (l Limits) mostDecodeTokens() int { return l.MaxNumSeqs * (1 + l.SpeculativeTokens) }

// LimitsOf reads what a command says of the server's limits.
func LimitsOf(command []string) Limits {
	var speculative struct {
		Tokens int `json:"num_speculative_tokens"`
	}
	if text, ok := argument(command, "speculative-config"); ok {
		_ = json.Unmarshal([]byte(text), &speculative) // what cannot be read is not known
	}
	return Limits{
		MaxNumSeqs:          number(command, "max-num-seqs"),
		MaxNumBatchedTokens: number(command, "max-num-batched-tokens"),
		SpeculativeTokens:   max(0, speculative.Tokens),
	}
}

func number(command []string, name string) int {
	text, _ := argument(command, name)
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return 0
	}
	return n
}

// LimitsOfInfo reads what a server has told of its limits; most tell nothing.
func LimitsOfInfo(info engine.Info) Limits {
	read := func(name string) int {
		n, err := strconv.Atoi(info.Fingerprint[name])
		if err != nil || n < 0 {
			return 0
		}
		return n
	}
	return Limits{MaxNumSeqs: read("max_num_seqs"), MaxNumBatchedTokens: read("max_num_batched_tokens")}
}
