# profjob starts the server itself, with the gate, since the window is one by tokens.

variable "command" {
  type        = list(string)
  description = "The server's command line, without anything about profiling"
}

variable "env" {
  type    = map(string)
  default = {}
}

variable "endpoint" {
  type = string
}

target "vllm" "server" {
  endpoints = [var.endpoint]

  launch {
    command       = var.command
    env           = var.env
    ready_timeout = "5m"
  }
}

load "steady" {
  concurrency   = 4
  input_tokens  = 32
  output_tokens = 64
}

job "decode" {
  targets = [target.vllm.server]
  load    = load.steady
  repeat  = 2

  window {
    tokens {
      threshold = 3
      steps     = 4
      phase     = "decode"
    }
    timeout  = "2m"
    attempts = 1
  }

  record {
    shapes = true
  }
}
