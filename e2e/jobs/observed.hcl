# One server without a gate, one job for each window by tokens of a list: the record
# options are those that the server was launched with.

variable "endpoint" {
  type = string
}

variable "trace_dir" {
  type = string
}

variable "shapes" {
  type    = bool
  default = false
}

variable "windows" {
  type = map(object({
    load      = optional(string, "bursty")
    steps     = optional(number, 5)
    threshold = optional(number, 1)
    phase     = optional(string, "any")
    warmup    = optional(number, 1)
  }))
  default = {
    first = {}
  }
}

target "vllm" "server" {
  endpoints = [var.endpoint]
  trace_dir = var.trace_dir

  gate {
    enabled = false
  }
}

# Prompts of all lengths among decodes.
load "bursty" {
  concurrency = 6
  input_tokens = {
    min = 3
    max = 96
  }
  output_tokens = {
    min = 4
    max = 40
  }
}

# Many requests that decode for long.
load "wide" {
  concurrency = 70
  input_tokens = {
    min = 3
    max = 12
  }
  output_tokens = {
    min = 100
    max = 300
  }
}

# Requests that come by chance: some into an idle server, some beside others.
load "thin" {
  rate = 8
  input_tokens = {
    min = 3
    max = 96
  }
  output_tokens = {
    min = 1
    max = 12
  }
}

job "tokens" {
  for_each = var.windows
  targets  = [target.vllm.server]
  load     = each.value.load == "wide" ? load.wide : each.value.load == "thin" ? load.thin : load.bursty

  # So that windows open at different moments of the same load.
  warmup {
    requests = each.value.warmup
    timeout  = "1m"
  }

  window {
    tokens {
      threshold = each.value.threshold
      steps     = each.value.steps
      phase     = each.value.phase
    }
    timeout  = "45s"
    attempts = 3
  }

  record {
    shapes = var.shapes
  }
}
