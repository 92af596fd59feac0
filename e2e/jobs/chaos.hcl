# Runs to be killed: each kind of window, on a server that runs already and on one
# that the run launches.

variable "endpoint" {
  type = string
}

variable "trace_dir" {
  type = string
}

variable "secret" {
  type      = string
  sensitive = true
}

target "vllm" "server" {
  endpoints = [var.endpoint]
  trace_dir = var.trace_dir
}

target "vllm" "gated" {
  endpoints = [var.endpoint]

  gate {
    secret = var.secret
  }
}

target "embedded" "own" {
  step_floor = "2ms"
}

load "steady" {
  concurrency   = 3
  input_tokens  = 16
  output_tokens = 32
}

job "steps" {
  targets = [target.vllm.server]
  load    = load.steady
  repeat  = 2

  window {
    steps {
      count = 5
    }
  }
}

job "manual" {
  targets = [target.vllm.server]
  load    = load.steady

  window {
    manual {
      duration = "300ms"
    }
  }
}

job "gated" {
  targets = [target.vllm.gated]
  load    = load.steady
  repeat  = 2

  window {
    tokens {
      threshold = 3
      phase     = "decode"
      steps     = 6
    }
  }

  collect {
    delete_remote = true
  }
}

job "launched" {
  targets = [target.embedded.own]
  load    = load.steady

  window {
    steps {
      count = 5
    }
  }
}
