package spec

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// reference is what a traversal in an expression refers to: var.x, local.x,
// target.vllm.server, load.steady, or every one of a kind where the expression
// takes the kind as a whole.
type reference struct {
	root      string
	addresses []string
	at        hcl.Range
}

// nameCount is how many names after the root make an address.
var nameCount = map[string]int{"var": 1, "local": 1, "target": 2, "load": 1}

// declaredAddresses are all that can be referred to with a root.
func (l *loader) declaredAddresses(root string) []string {
	switch root {
	case "var":
		return l.variables.order
	case "local":
		return l.locals.order
	case "target":
		return l.targets.order
	case "load":
		return l.loads.order
	}
	return nil
}

func (l *loader) isDeclared(address string) bool {
	return l.variables.has(address) || l.locals.has(address) || l.targets.has(address) || l.loads.has(address)
}

// refer finds out what a traversal refers to. If it is nothing that there is, it
// returns the diagnostic that says so.
func (l *loader) refer(traversal hcl.Traversal) (reference, *hcl.Diagnostic) {
	root := traversal.RootName()
	ref := reference{root: root, at: traversal.SourceRange()}
	all := l.declaredAddresses(root)
	prefix, names := root, leadingNames(traversal[1:], nameCount[root])
	for _, name := range names {
		prefix += "." + name
	}
	if len(names) == nameCount[root] {
		if !l.isDeclared(prefix) {
			return ref, noSuchThing(ref.at, prefix, all)
		}
		ref.addresses = []string{prefix}
		return ref, nil
	}
	for _, address := range all {
		if strings.HasPrefix(address, prefix+".") {
			ref.addresses = append(ref.addresses, address)
		}
	}
	if len(names) > 0 && len(ref.addresses) == 0 {
		return ref, noSuchThing(ref.at, prefix, all)
	}
	return ref, nil
}

// leadingNames are the first names of a traversal, at most n: .a.b or ["a"]["b"].
func leadingNames(traversal hcl.Traversal, n int) []string {
	var names []string
	for _, step := range traversal {
		if len(names) == n {
			break
		}
		switch step := step.(type) {
		case hcl.TraverseAttr:
			names = append(names, step.Name)
		case hcl.TraverseIndex:
			if step.Key.Type() != cty.String || !step.Key.IsKnown() || step.Key.IsNull() {
				return names
			}
			names = append(names, step.Key.AsString())
		default:
			return names
		}
	}
	return names
}

func noSuchThing(at hcl.Range, address string, declared []string) *hcl.Diagnostic {
	root, name, _ := strings.Cut(address, ".")
	kind := map[string]string{"var": "variable", "local": "local value", "target": "target", "load": "load"}[root]
	sentence, instead := "", ""
	if near := nearest(name, withoutPrefix(declared, root+".")); near != "" {
		instead = root + "." + near
		sentence = fmt.Sprintf(" Did you mean %q?", instead)
	} else if len(declared) == 0 {
		sentence = fmt.Sprintf(" The file declares no %s.", kind)
	} else if len(declared) <= mostListed {
		sentence = " There is: " + quotedList(declared) + "."
	}
	diag := &hcl.Diagnostic{
		Severity: hcl.DiagError,
		Summary:  "No such " + kind,
		Detail:   fmt.Sprintf("There is no %s.%s", address, sentence),
		Subject:  &at,
	}
	if instead != "" {
		diag.Extra = suggestion(instead)
	}
	return diag
}

func withoutPrefix(list []string, prefix string) []string {
	short := make([]string, len(list))
	for i, s := range list {
		short[i] = strings.TrimPrefix(s, prefix)
	}
	return short
}

// node is something that refers to others and can be referred to.
type node struct {
	address string
	// deps are the nodes that it refers to, with the place of the reference.
	deps []dependency
	// evaluate gives the node's value once those of its deps are known.
	evaluate func() cty.Value
	// inCycle is set when the node cannot be evaluated since it needs itself.
	inCycle bool
}

type dependency struct {
	address string
	at      hcl.Range
}

// evaluateReferable evaluates locals, targets and loads, each after what it refers to.
func (l *loader) evaluateReferable() {
	nodes, order := l.makeNodes()
	for _, n := range sortNodes(nodes, order, l.report) {
		value := n.evaluate()
		if n.inCycle {
			value = cty.DynamicVal
		}
		l.values[n.address] = value
	}
}

func (l *loader) makeNodes() (nodes map[string]*node, order []string) {
	nodes = map[string]*node{}
	for address, local := range l.locals.byName {
		nodes[address] = &node{
			address:  address,
			deps:     l.dependencies(local.item.Expr),
			evaluate: func() cty.Value { return l.evaluateLocal(local.item) },
		}
	}
	for address, target := range l.targets.byName {
		nodes[address] = &node{
			address:  address,
			deps:     l.dependencies(bodyExpressions(target.item.Body)...),
			evaluate: func() cty.Value { return l.decodeTarget(target.item) },
		}
	}
	for address, load := range l.loads.byName {
		nodes[address] = &node{
			address:  address,
			deps:     l.dependencies(bodyExpressions(load.item.Body)...),
			evaluate: func() cty.Value { return l.decodeLoad(load.item) },
		}
	}
	return nodes, slices.Concat(l.locals.order, l.targets.order, l.loads.order)
}

// dependencies are what the expressions refer to, but for variables, which are
// known by then. What does not exist is left to the evaluation to report.
func (l *loader) dependencies(exprs ...hclsyntax.Expression) []dependency {
	var deps []dependency
	for _, expr := range exprs {
		for _, traversal := range expr.Variables() {
			if root := traversal.RootName(); root == "var" || nameCount[root] == 0 {
				continue
			}
			ref, _ := l.refer(traversal)
			for _, address := range ref.addresses {
				deps = append(deps, dependency{address: address, at: ref.at})
			}
		}
	}
	return deps
}

// bodyExpressions are all expressions in a body, in the order of the text.
func bodyExpressions(body *hclsyntax.Body) []hclsyntax.Expression {
	var exprs []hclsyntax.Expression
	for _, attr := range sortedAttributes(body) {
		exprs = append(exprs, attr.Expr)
	}
	for _, block := range body.Blocks {
		exprs = append(exprs, bodyExpressions(block.Body)...)
	}
	return exprs
}

// sortNodes puts every node behind those that it depends on. A cycle is
// reported link by link and cut where it was found. It keeps a stack of its own:
// a file can have a chain of references longer than the goroutine's would bear.
func sortNodes(nodes map[string]*node, order []string, report *reporter) []*node {
	type frame struct {
		node *node
		next int // index into deps
		via  hcl.Range
	}
	var sorted []*node
	const (
		open = 1 + iota
		done
	)
	state := map[string]int{}
	for _, root := range order {
		if state[root] != 0 {
			continue
		}
		stack := []frame{{node: nodes[root]}}
		state[root] = open
		for len(stack) > 0 {
			top := &stack[len(stack)-1]
			if top.next == len(top.node.deps) {
				state[top.node.address] = done
				sorted = append(sorted, top.node)
				stack = stack[:len(stack)-1]
				continue
			}
			dep := top.node.deps[top.next]
			top.next++
			switch state[dep.address] {
			case 0:
				state[dep.address] = open
				stack = append(stack, frame{node: nodes[dep.address], via: dep.at})
			case open:
				start := slices.IndexFunc(stack, func(f frame) bool { return f.node.address == dep.address })
				links, fresh := []string{}, false
				for _, f := range stack[start:] {
					links = append(links, f.node.address)
					fresh = fresh || !f.node.inCycle
					f.node.inCycle = true
				}
				if fresh {
					reportCycle(report, append(links, dep.address), dep.at)
				}
			}
		}
	}
	return sorted
}

func reportCycle(report *reporter, links []string, at hcl.Range) {
	const longest = 12
	if len(links) > longest {
		links = slices.Concat(links[:longest/2], []string{"…"}, links[len(links)-longest/2:])
	}
	if len(links) == 2 {
		report.errorAt(at, "Reference to itself", "%s refers to itself.", links[0])
		return
	}
	report.errorAt(at, "Cycle of references", "These refer to each other, so that none can be evaluated first: %s.", strings.Join(links, " → "))
}
