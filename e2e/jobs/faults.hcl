# A run through a proxy that misbehaves.

variable "endpoint" {
  type = string
}

variable "trace_dir" {
  type = string
}

target "vllm" "server" {
  endpoints = [var.endpoint]
  trace_dir = var.trace_dir
}

load "steady" {
  concurrency   = 2
  input_tokens  = 16
  output_tokens = 32
}

job "faults" {
  targets = [target.vllm.server]
  load    = load.steady

  window {
    steps {
      count = 4
    }
    timeout  = "20s"
    attempts = 2
  }

  retry {
    attempts = 2
    initial  = "50ms"
  }
}
