profjob { required_version = ">= 0.1.0" }

variable "endpoint" {
  type        = string
  default     = "http://127.0.0.1:8000"
  description = "API server to profile"
}

variable "token" {
  type      = string
  sensitive = true
  default   = env("TOKEN")

  validation {
    condition     = length(var.token) > 3
    error_message = "The token is too short."
  }
}

locals {
  running = load.steady.concurrency
  others  = ["${var.endpoint}/", "http://127.0.0.1:8001/prefix/"]
}

target "vllm" "server" {
  endpoints = distinct([for e in local.others : trimsuffix(e, "/")])
  trace_dir = "/var/tmp/profiles" # where the server writes
  version   = "0.32.0"
  dialect   = "flags"
  ranks     = "8"
  labels    = { host = hostname() }

  files {
    from = "local"
  }
  auth {
    bearer = var.token
  }
  launch {
    command       = ["vllm", "serve", ""]
    ready_timeout = duration("300s")
    env = {
      PLAIN  = 1
      SECRET = "x-${var.token}"
    }
  }
}

load "steady" {
  concurrency   = 64
  input_tokens  = 256
  output_tokens = { min = 128, max = 512 }
  endpoint      = "http://proxy:8080"
  model         = "m"
  api           = "chat"
  seed          = 18446744073709551615
}

job "decode-64" {
  targets = [target.vllm.server]
  load    = load.steady # runs from warmup until the window is over
  repeat  = 3

  warmup {
    until {
      running = local.running
      stable  = "3s"
    }
    requests = 200
    duration = "30s"
    timeout  = "2m"
  }

  window {
    tokens {
      threshold     = 64
      steps         = 6
      phase         = "decode"
      at_most       = 128
      skip_requests = 2
      all           = true
    }
    timeout  = "6m"
    attempts = 4
    evidence = "annotation"
  }

  record {
    shapes     = true
    memory     = true
    stack      = true
    flops      = true
    activities = ["cpu", "device"]
  }

  retry {
    attempts   = 5
    initial    = "1s"
    max        = "1m"
    multiplier = 1.5
  }

  limits {
    min_free_disk  = "10GiB"
    max_trace_size = "20GB"
  }

  collect {
    expect {
      ranks = 8
    }
    delete_remote = true
    keep_original = false
    timeout       = "20m"
  }

  archive {
    path   = "./runs"
    format = "tar.zst"
    keep {
      last  = 30
      daily = 14
    }
  }
}
