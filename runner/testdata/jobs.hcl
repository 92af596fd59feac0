variable "token" {
  type      = string
  sensitive = true
}

variable "endpoint" {
  type = string
}

target "vllm" "server" {
  endpoints = [var.endpoint, "http://10.0.0.2:8000"]
  trace_dir = "/var/tmp/profiles"
  version   = "0.15.1"

  auth {
    bearer = var.token
  }

  launch {
    command       = ["vllm", "serve", "tiny", "--port", "8000"]
    env           = { HF_TOKEN = "hf-${var.token}", OMP_NUM_THREADS = "2" }
    ready_timeout = "3m"
  }
}

target "vllm" "other" {
  endpoints = ["http://10.0.0.9:8000"]
  trace_dir = "traces"
}

target "embedded" "own" {
  dialect      = "vllm-0.15"
  max_num_seqs = 8
  seed         = 9007199254740993
}

load "closed" {
  concurrency   = 64
  input_tokens  = 256
  output_tokens = { min = 16, max = 512 }
}

load "open" {
  rate       = 2.5
  burstiness = 4
  dataset    = "prompts.jsonl"
  endpoint   = "http://proxy:8080"
  model      = "m"
  api        = "chat"
  seed       = 18446744073709551615
}

job "least" {
  targets = [target.embedded.own]

  window {
    manual {
      duration = "2s"
    }
  }
}

job "full" {
  targets = [target.vllm.server, target.vllm.other]
  load    = load.open
  repeat  = 2

  warmup {
    until {
      running = 64
      stable  = "3s"
    }
    requests = 200
    duration = "30s"
    timeout  = "2m"
  }

  window {
    steps {
      count = 5
      delay = 10
    }
    timeout  = "1m"
    attempts = 7
    evidence = "scope"
  }

  record {
    shapes     = true
    memory     = true
    stack      = true
    flops      = true
    activities = ["cpu", "device"]
  }

  retry {
    attempts   = 2
    initial    = "250ms"
    max        = "4s"
    multiplier = 3
  }

  limits {
    min_free_disk  = "3GiB"
    max_trace_size = "20GiB"
  }

  collect {
    expect {
      ranks = 8
    }
    delete_remote = true
    timeout       = "20m"
    keep_original = false
  }

  archive {
    path   = "./kept"
    format = "tar.zst"
  }
}

job "open" {
  targets = [target.vllm.other]

  window {
    manual {
      until = "stopped"
    }
  }
}

job "each" {
  for_each = toset(["a", "b"])
  targets  = [target.embedded.own]
  load     = load.closed

  window {
    steps {
      count = 3
    }
  }
}
