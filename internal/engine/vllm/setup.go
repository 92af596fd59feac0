package vllm

import (
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"profjob/internal/engine"
)

// SetupLaunch says what a launch of vLLM needs so that its profiler records what
// is asked for: environment variables up to 0.12, arguments from 0.13 on. The
// request's Env is the whole environment that the server will have, what it
// inherits included, since variables of it reach the profiler up to 0.15.
//
// What the user has set already stays, with a note; where it contradicts what is
// asked for, and where the version cannot give what is asked for, the error
// names both.
func SetupLaunch(r engine.SetupRequest) (engine.Setup, error) {
	if r.NoProfiler {
		return engine.Setup{}, nil
	}
	if r.Version == "" {
		return engine.Setup{}, errors.New("set up the launch: the version of vLLM is not known: set version = \"…\" in the target")
	}
	if !path.IsAbs(r.TraceDir) {
		return engine.Setup{}, fmt.Errorf("set up the launch: trace_dir %q is not an absolute path", r.TraceDir)
	}
	settings, err := settingsFor(r)
	if err != nil {
		return engine.Setup{}, fmt.Errorf("set up the launch: %w", err)
	}
	user, err := readUserConfig(r.Command)
	if err != nil {
		return engine.Setup{}, fmt.Errorf("set up the launch: %w", err)
	}
	t := traitsOf(r.Version)
	w := writer{request: r, traits: t, user: user, out: engine.Setup{Dialect: t.dialect, Notes: slices.Clone(t.notes)}}
	if err := w.write(settings); err != nil {
		return engine.Setup{}, fmt.Errorf("set up the launch of vLLM %s: %w", r.Version, err)
	}
	return w.out, nil
}

// writer turns settings into a Setup.
type writer struct {
	request engine.SetupRequest
	traits  traits
	user    userConfig
	out     engine.Setup
	kept    []string // what the user has set to the value that is wanted
}

func (w *writer) write(settings []setting) error {
	if err := w.checkCUDA(); err != nil {
		return err
	}
	err := w.writeForm(settings)
	if err != nil {
		return err
	}
	if len(w.kept) > 0 {
		w.note("left as it is set: %s", strings.Join(w.kept, ", "))
	}
	if slices.ContainsFunc(settings, func(s setting) bool { return s.key == keyActivities && s.text(argumentBools) == `["CUDA"]` }) {
		w.note("activities: \"device\" was written as CUDA; on an XPU host set --profiler-config yourself")
	}
	return nil
}

func (w *writer) writeForm(settings []setting) error {
	switch {
	case w.traits.dialect == DialectEnvironment && w.user.values != nil:
		return fmt.Errorf("launch.command has %s, which vLLM knows from 0.13.0 on", configFlag)
	case w.traits.dialect == DialectEnvironment, w.traits.dialect == DialectBoth && w.user.values == nil && w.usesEnvironment():
		return w.writeEnvironment(settings)
	}
	return w.writeArguments(settings)
}

// writeEnvironment sets the variables that are not set yet.
func (w *writer) writeEnvironment(settings []setting) error {
	w.out.Env = map[string]string{}
	for _, s := range settings {
		if s.variable == "" || !w.traits.knowsVariable(s.variable) {
			if err := w.cannot(s); err != nil {
				return err
			}
			continue
		}
		taken, err := w.takenFromEnvironment(s)
		if err != nil {
			return err
		}
		if !taken {
			w.out.Env[s.variable] = s.text(environmentBools)
		}
	}
	// Without an annotation of its own, the scopes are the best evidence there is.
	if _, set := w.request.Env[envScopes]; !set && w.traits.evidence == evidenceStructure && w.traits.knowsVariable(envScopes) {
		w.out.Env[envScopes] = "1"
	}
	return nil
}

// writeArguments adds --profiler-config, or what is missing of it.
func (w *writer) writeArguments(settings []setting) error {
	if err := w.user.checkKeys(w.traits); err != nil {
		return err
	}
	var missing []setting
	for _, s := range settings {
		if !w.traits.knowsKey(s.key) {
			if err := w.cannot(s); err != nil {
				return err
			}
			continue
		}
		taken, err := w.takenFromUser(s)
		if err != nil {
			return err
		}
		if !taken {
			missing = append(missing, s)
		}
	}
	if w.traits.dialect != DialectBoth {
		w.noteIgnoredEnvironment()
	}
	if len(missing) == 0 || w.user.whole {
		return nil
	}
	if ok, err := w.appendable(); !ok {
		return err
	}
	if w.user.values == nil {
		w.out.Args = []string{configFlag, profilerConfigJSON(missing)}
		return nil
	}
	for _, s := range missing {
		w.out.Args = append(w.out.Args, fmt.Sprintf("%s.%s=%s", configFlag, s.key, s.text(argumentBools)))
	}
	return nil
}

// cannot is an error if what this version does not know was asked for.
func (w *writer) cannot(s setting) error {
	since, ok := keySince(s.key)
	if v, known := variableSince(s.variable); known {
		since, ok = v, true
	}
	switch {
	case s.key == keyProfiler:
		return nil // the environment's directory alone means torch
	case s.key == keyStack && s.asked:
		return nil // this version does nothing else, see below
	case s.asked && ok:
		return fmt.Errorf("%s = %s: this version cannot be told, vLLM can from %s on", s.name, s.text(argumentBools), since)
	case s.asked:
		return fmt.Errorf("%s = %s: this version cannot be told", s.name, s.text(argumentBools))
	case s.key == keyStack:
		// torch.profiler.profile(with_stack=True) up to 0.10.1 (vllm/v1/worker/gpu_worker.py).
		w.note("this version always records stacks; vLLM can be told not to from %s on", since)
	}
	return nil
}

// takenFromUser tells whether the user has set s, so that it is not to be
// written again. Up to 0.15 the environment beats the arguments.
func (w *writer) takenFromUser(s setting) (bool, error) {
	if w.traits.dialect == DialectBoth && s.variable != "" {
		taken, err := w.takenFromEnvironment(s)
		if taken || err != nil {
			return taken, err
		}
	}
	value, set := w.user.values[s.key]
	if !set && w.user.whole {
		return w.leftOut(s)
	}
	if !set {
		return false, nil
	}
	return true, w.check(s, fmt.Sprintf("%s.%s=%s", configFlag, s.key, compactJSON(value)), "launch.command", s.readJSON(value))
}

// leftOut: the user's JSON stays whole, so what it does not say is vLLM's default.
func (w *writer) leftOut(s setting) (bool, error) {
	if s.matches(s.standard) {
		return true, nil
	}
	return true, w.check(s, fmt.Sprintf("%s without %s", configFlag, s.key), "launch.command", s.standard)
}

func (w *writer) takenFromEnvironment(s setting) (bool, error) {
	text, set := w.request.Env[s.variable]
	if !set {
		return false, nil
	}
	return true, w.check(s, s.variable+"="+text, "launch.env", s.readVariable(text, w.traits))
}

// check compares what the user has set with what is wanted.
func (w *writer) check(s setting, what, where string, value any) error {
	switch {
	case s.matches(value):
		w.kept = append(w.kept, what)
	case s.asked:
		return fmt.Errorf("%s has %s, but %s = %s is asked for: take one of them back", where, what, s.name, s.text(argumentBools))
	default:
		w.note("%s has %s: left as it is, so that traces hold more than %s = %s asks for", where, what, s.name, s.text(argumentBools))
	}
	return nil
}

func (w *writer) usesEnvironment() bool {
	return slices.ContainsFunc(profilerVariables(), func(name string) bool { _, set := w.request.Env[name]; return set })
}

// checkCUDA: VLLM_TORCH_CUDA_PROFILE turns the torch profiler off; from 0.13 to
// 0.15 it does so even as "0" (vllm/config/profiler.py).
func (w *writer) checkCUDA() error {
	text, set := w.request.Env[envCUDA]
	if !set || !w.traits.knowsVariable(envCUDA) || w.traits.dialect == DialectEnvironment && text == "0" {
		return nil
	}
	return fmt.Errorf("launch.env has %s=%s, which turns the torch profiler off: remove it", envCUDA, text)
}

func (w *writer) noteIgnoredEnvironment() {
	var ignored []string
	for _, name := range profilerVariables() {
		if _, set := w.request.Env[name]; set {
			ignored = append(ignored, name)
		}
	}
	if len(ignored) > 0 {
		w.note("vLLM ignores %s from 0.16.0 on", strings.Join(ignored, ", "))
	}
}

// appendable tells whether arguments at the end of the command reach the
// server: those after `sh -c SCRIPT` do only if the script passes them on.
func (w *writer) appendable() (bool, error) {
	script, ok := shellScript(w.request.Command)
	switch {
	case !ok, strings.Contains(script, "$@"), strings.Contains(script, "$*"):
		return true, nil
	case strings.Contains(script, configFlag):
		w.note("launch.command runs a script that has %s: it was not looked at", configFlag)
		return false, nil
	}
	return false, fmt.Errorf("launch.command runs a script with %s -c: end its command with \"$@\" and the list with one more word, or write the command without a shell, since %s has to be appended", filepath.Base(w.request.Command[0]), configFlag)
}

// shellScript is the SCRIPT of a command like `bash -c SCRIPT`.
func shellScript(command []string) (string, bool) {
	if len(command) == 0 || !slices.Contains([]string{"sh", "bash", "dash", "zsh", "ksh"}, filepath.Base(command[0])) {
		return "", false
	}
	i := slices.IndexFunc(command, func(a string) bool {
		return len(a) > 1 && a[0] == '-' && a[1] != '-' && strings.HasSuffix(a, "c")
	})
	if i < 0 || i+1 == len(command) {
		return "", false
	}
	return command[i+1], true
}

func (w *writer) note(format string, args ...any) {
	w.out.Notes = append(w.out.Notes, fmt.Sprintf(format, args...))
}

// profilerVariables are all variables of the profiler, whatever the version.
func profilerVariables() []string {
	var names []string
	for _, c := range changes {
		names = append(names, c.env...)
	}
	return slices.DeleteFunc(names, func(name string) bool { return name == envScopes })
}
