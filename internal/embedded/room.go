package embedded

import (
	"fmt"

	"profjob/internal/embedded/model"
)

// room is how many tokens an answer may have: what was wanted, or all that fit
// beside a prompt of so many tokens. The refusals and their texts are each
// release's own.
type room func(prompt int, wanted *int) (int, *apiError)

// textRoom is the room of /v1/completions.
func (s *Server) textRoom(prompt int, wanted *int) (int, *apiError) {
	limit := s.config.MaxModelLen
	if s.config.release() == V032 {
		return s.cutRoom(prompt, wanted)
	}
	if s.config.release() == V015 && wanted != nil && *wanted > limit {
		return 0, s.invalidValue("max_tokens", *wanted, fmt.Sprintf(
			"'max_tokens' (%d) cannot be greater than the model's maximum context length (%d).", *wanted, limit))
	}
	// Before 0.32 what was wanted is taken off the length that the refusal
	// names, which may make that negative (0.11.0 and 0.15.1,
	// _build_render_config).
	if wanted != nil && prompt > limit-*wanted {
		return 0, s.tooLong(prompt, limit-*wanted)
	}
	if prompt >= limit {
		return 0, s.tooLong(prompt, limit)
	}
	if wanted != nil {
		return *wanted, nil
	}
	return limit - prompt, nil
}

// chatRoom is the room of /v1/chat/completions.
func (s *Server) chatRoom(prompt int, wanted *int) (int, *apiError) {
	limit := s.config.MaxModelLen
	switch {
	case s.config.release() == V032:
		return s.cutRoom(prompt, wanted)
	case prompt >= limit:
		return 0, s.tooLong(prompt, limit)
	case wanted == nil:
		return limit - prompt, nil
	case *wanted <= limit-prompt:
		return *wanted, nil
	}
	return 0, s.invalidValue("max_tokens", *wanted, fmt.Sprintf(
		"'max_tokens' or 'max_completion_tokens' is too large: %d. This model's maximum context length is %d tokens "+
			"and your request has %d input tokens (%d > %d - %d).", *wanted, limit, prompt, *wanted, limit, prompt))
}

// cutRoom is 0.32's: a wish is cut to what fits, as long as it is not beyond
// the model altogether.
func (s *Server) cutRoom(prompt int, wanted *int) (int, *apiError) {
	limit := s.config.MaxModelLen
	switch {
	case wanted != nil && *wanted > limit:
		return 0, s.invalidValue("max_tokens", *wanted, fmt.Sprintf(
			"max_tokens=%d cannot be greater than max_model_len=%d. Please request fewer output tokens.", *wanted, limit))
	case prompt >= limit:
		return 0, s.invalidValue("input_tokens", prompt, fmt.Sprintf(
			"This model's maximum context length is %d tokens. However, your prompt contains %d input tokens, "+
				"which exceeds this limit even without any output tokens. Please reduce the length of the input prompt.", limit, prompt))
	case wanted == nil:
		return limit - prompt, nil
	}
	return min(*wanted, limit-prompt), nil
}

// tooLong refuses a prompt before 0.32.
func (s *Server) tooLong(prompt, limit int) *apiError {
	return s.invalidValue("input_tokens", prompt, fmt.Sprintf(
		"This model's maximum context length is %d tokens. However, your request has %d input tokens. "+
			"Please reduce the length of the input messages.", limit, prompt))
}

// checkPrompt checks the tokens of a prompt.
func checkPrompt(prompt []int32) *apiError {
	if len(prompt) == 0 {
		return badRequest("prompt", "The decoder prompt cannot be empty")
	}
	for _, token := range prompt {
		if token < 0 || token >= model.Vocabulary {
			return badRequest("", fmt.Sprintf("Token id %d is out of vocabulary", token))
		}
	}
	return nil
}

// invalidValue is vLLM's VLLMValidationError, which says the value again; 0.11
// had a ValueError.
func (s *Server) invalidValue(param string, value int, message string) *apiError {
	if s.config.release() == V011 {
		return badRequest("", message)
	}
	return badRequest(param, fmt.Sprintf("%s (parameter=%s, value=%d)", message, param, value))
}
