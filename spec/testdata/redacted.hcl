
variable "token" {
  sensitive = true
  default   = "(sensitive)"
}
variable "map" {
  sensitive = true
  default   = { a = "(sensitive)", b = "(sensitive)"


  }
}
variable "from_file" {
  sensitive = true
  default   = trimspace(file("sub/default.txt"))
}
variable "open" {
  default = "open"
}
variable "given" {
  sensitive = true
}
variable "loose" {
  sensitive = false
  default   = "loose"
}
locals {
  plain   = "not-secret"
  twice   = "(sensitive)"
  secret  = sensitive("(sensitive)")
  secret2 = sensitive(local.twice)
  part    = sensitive(jsondecode(file("part.json")).token)
  raw     = file("raw.txt")
  derived = sensitive(upper(local.raw))
  open    = file("open.txt")
  env     = sensitive(env("TOKEN", "(sensitive)"))
  same    = file("same.txt")
  again   = file("./open.txt")
}
target "embedded" "e" {
  auth {
    bearer = local.secret
  }
}
job "j" {
  targets = [target.embedded.e]
  window {
    tokens {}
  }
}
