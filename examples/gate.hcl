# Exact windows of every kind on a vLLM server that has profjob's gate: by tokens,
# of one class of engine steps, with the record options of each job, as often as
# wanted, without a restart, and without its disk being visible from here.
#
#   profjob gate install /opt/profjob-gate            where the server runs
#   eval "$(profjob gate env /opt/profjob-gate)"      in the server's environment; prints the secret
#   PROFJOB_VAR_gate_secret=… profjob run examples/gate.hcl --var endpoint=http://10.0.0.7:8000

variable "endpoint" {
  type        = string
  default     = "http://127.0.0.1:8000"
  description = "API server to profile"
}

variable "gate_secret" {
  type        = string
  default     = "not-set"
  sensitive   = true
  description = "What the server's environment has as PROFJOB_GATE_SECRET"
}

locals {
  # from so many tokens on, a window of so many engine steps of each class
  windows = {
    decode  = { threshold = 3, steps = 5 }
    mixed   = { threshold = 32, steps = 3 }
    prefill = { threshold = 16, steps = 2 }
  }
}

target "vllm" "server" {
  endpoints = [var.endpoint]

  files {
    from = "gate"
  }

  gate {
    secret = var.gate_secret
  }
}

load "steady" {
  concurrency  = 4
  input_tokens = 48
  output_tokens = {
    min = 16
    max = 64
  }
}

# Requests of one token each: every engine step is a prefill.
load "prompts" {
  concurrency   = 1
  input_tokens  = 48
  output_tokens = 1
}

job "phase" {
  for_each = local.windows
  targets  = [target.vllm.server]
  load     = each.key == "prefill" ? load.prompts : load.steady

  window {
    tokens {
      threshold = each.value.threshold
      steps     = each.value.steps
      phase     = each.key
    }
    timeout = "2m"
  }

  record {
    shapes = each.key == "mixed"
  }

  collect {
    delete_remote = true
  }
}
