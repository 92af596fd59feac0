# A vLLM server that runs already, profiled for N engine steps under a steady load.
#
#   profjob env examples/vllm.hcl --server-version 0.32.0      what to set on the server
#   profjob run examples/vllm.hcl --var endpoint=http://10.0.0.7:8000 --var trace_dir=/var/tmp/profiles

variable "endpoint" {
  type        = string
  default     = "http://127.0.0.1:8000"
  description = "API server to profile"
}

variable "trace_dir" {
  type        = string
  default     = "/var/tmp/profiles"
  description = "Directory where the server writes its traces"
}

variable "steps" {
  type    = number
  default = 5
}

target "vllm" "server" {
  endpoints = [var.endpoint]
  trace_dir = var.trace_dir
}

load "steady" {
  concurrency   = 4
  input_tokens  = 32
  output_tokens = 128
}

job "decode" {
  targets = [target.vllm.server]
  load    = load.steady

  warmup {
    until {
      running = 4
      stable  = "1s"
    }
    requests = 4
    timeout  = "2m"
  }

  window {
    steps {
      count = var.steps
    }
    timeout = "2m"
  }
}
