# One server with the gate, one job for each window of a list: the record options
# and the windows change from job to job, the server stays as it is.

variable "endpoint" {
  type = string
}

variable "secret" {
  type      = string
  sensitive = true
}

variable "windows" {
  type = map(object({
    kind      = optional(string, "tokens")
    steps     = optional(number, 5)
    threshold = optional(number, 1)
    phase     = optional(string, "any")
    delay     = optional(number, 0)
    record    = optional(list(string), [])
  }))
  default = {
    first = {}
  }
}

variable "ranks" {
  type    = number
  default = 1
}

variable "concurrency" {
  type    = number
  default = 6
}

target "vllm" "server" {
  endpoints = [var.endpoint]

  files {
    from = "gate"
  }

  gate {
    secret = var.secret
  }
}

load "bursty" {
  concurrency = var.concurrency
  input_tokens = {
    min = 8
    max = 96
  }
  output_tokens = {
    min = 4
    max = 32
  }
}

# Requests of one token: every engine step is a prefill.
load "prompts" {
  concurrency = 2
  input_tokens = {
    min = 64
    max = 96
  }
  output_tokens = 1
}

job "tokens" {
  for_each = { for name, w in var.windows : name => w if w.kind == "tokens" }
  targets  = [target.vllm.server]
  load     = each.value.phase == "prefill" ? load.prompts : load.bursty

  window {
    tokens {
      threshold = each.value.threshold
      steps     = each.value.steps
      phase     = each.value.phase
    }
    timeout  = "3m"
    attempts = 1
  }

  record {
    shapes = contains(each.value.record, "shapes")
    memory = contains(each.value.record, "memory")
    stack  = contains(each.value.record, "stack")
    flops  = contains(each.value.record, "flops")
  }

  collect {
    delete_remote = true
    expect {
      ranks = var.ranks
    }
  }
}

job "steps" {
  for_each = { for name, w in var.windows : name => w if w.kind == "steps" }
  targets  = [target.vllm.server]
  load     = load.bursty

  window {
    steps {
      count = each.value.steps
      delay = each.value.delay
    }
    timeout  = "3m"
    attempts = 1
  }
}

job "manual" {
  for_each = { for name, w in var.windows : name => w if w.kind == "manual" }
  targets  = [target.vllm.server]
  load     = load.bursty

  window {
    manual {
      duration = "1s"
    }
    timeout  = "3m"
    attempts = 1
  }
}
