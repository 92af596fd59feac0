package load

import (
	"math/rand/v2"
	"strings"
)

// Random token ids are drawn from [firstTokenID, endTokenID). Every tokenizer has
// them: a byte-level vocabulary has 256 entries and more, and the special tokens
// that some put first are fewer than ten.
const (
	firstTokenID = 10
	endTokenID   = 250
)

// prompt is what a request asks the model to go on from. Exactly one of ids, text
// and messages is set.
type prompt struct {
	ids      []int
	text     string
	messages []byte // a JSON array
	// tokens is the number of tokens that the client knows the prompt has, or that it was meant to have. 0: not known.
	tokens int
	// exact tells that tokens is what the model gets, before any the server adds.
	exact bool
	// outputTokens is how many tokens to ask for. 0: not said.
	outputTokens int
}

// prompts gives the prompt of a request. The same number gives the same prompt.
// Safe for concurrent use.
type prompts interface {
	prompt(seq uint64) prompt
}

// randomTokens makes prompts of token ids, exactly as long as asked. No two
// requests have the same long prefix, so that a server's prefix cache can't help:
// a block of 16 ids, the least that vLLM caches, is shared by two given prompts
// with a probability of 240^-16. Prompts of only a few tokens may repeat.
type randomTokens struct {
	seed   uint64
	length TokenRange
}

func (r randomTokens) prompt(seq uint64) prompt {
	rng := newRand(r.seed, streamPrompts, seq)
	ids := make([]int, r.length.draw(rng))
	for i := range ids {
		ids[i] = firstTokenID + rng.IntN(endTokenID-firstTokenID)
	}
	return prompt{ids: ids, tokens: len(ids), exact: true}
}

// randomWords makes prompts of text for chats: as many common English words as
// tokens are asked for. It is approximate. The vocabularies of trained models have
// nearly all of these words as one token each, and the chat template adds a few
// tokens; a tokenizer without merges makes a token of each letter, about five
// times as many. What the server counted is in the record.
type randomWords struct {
	seed   uint64
	length TokenRange
}

func (r randomWords) prompt(seq uint64) prompt {
	rng := newRand(r.seed, streamPrompts, seq)
	n := r.length.draw(rng)
	return prompt{text: someWords(rng, n), tokens: n}
}

func someWords(rng *rand.Rand, n int) string {
	var text strings.Builder
	text.Grow(6 * n)
	for i := range n {
		if i > 0 {
			text.WriteByte(' ')
		}
		text.WriteString(words[rng.IntN(len(words))])
	}
	return text.String()
}

// words are short and common, so that a trained vocabulary has each of them, with
// a space before it, as one token.
var words = strings.Fields(`
about above after again air all also always and animal another answer any are around ask away back because been
before began being below best better between big black blue book both boy bring build but call came can car carry
change children city close cold come could country course cut dark day did different does door down draw each early
earth east eat end enough even ever every example eye face fact family far farm father feet few field find fire first
fish five follow food foot for form found four from full game gave get girl give good great green ground group grow
had half hand hard has have head hear heart heavy help here high hold home horse hot hour house idea important into
just keep kind king know land large last late learn leave left let letter life light like line list little live long
look made main make man many map mark may mean men might mile mind miss money moon more morning most mother mountain
move much music must name near need never new next night north note nothing notice number off often old once one only
open order other our out over own page paper part pass people person picture piece place plan plant play point power
press problem put question quick rain ran reach read ready real red rest right river road rock room round rule run
said same saw say school sea second see sentence serve set shape she ship short should show side simple since sing
six size sleep slow small snow some song soon sound south space stand star start state stay step still stop story
street strong study such sun sure table take talk teach tell ten than that their them then there these they thing
think this those thought three through time today together told too took top toward town travel tree true try turn
two under unit until use very voice vowel wait walk want war warm was watch water way week well went were west what
when where which white who whole why will wind with wonder wood word work world would write year young your`)
