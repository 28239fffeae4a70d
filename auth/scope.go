package auth

import (
	"maps"
	"slices"
	"strings"
)

const (
	maxScopeEntries = 64 // entries of a scope string that are read
	maxAction       = 32 // bytes of an action
)

// Scope is an immutable set of actions on repositories: what a token permits. Actions are merged per
// repository and sorted. One repository comes first, because some token servers look at the first scope
// only; the others follow in order of their names. The zero value is the empty scope.
//
// The form is that of the distribution project's "Token Scope Documentation".
type Scope struct {
	grants []grant // one for each repository, never changed
}

// grant is the actions on one repository.
type grant struct {
	repository string
	actions    []string // sorted, at least one
}

// Pull is the scope to read from repository.
func Pull(repository string) Scope { return newScope(repository, "pull") }

// Push is the scope to write to repository, and to read from it: registries want both for an upload.
func Push(repository string) Scope { return newScope(repository, "pull", "push") }

func newScope(repository string, actions ...string) Scope {
	if repository == "" {
		return Scope{}
	}
	return Scope{grants: []grant{{repository: repository, actions: actions}}}
}

// ParseScope reads a space-separated scope string, as a challenge has it. The order of its entries and of
// their actions does not count, and entries that are no actions on a repository are ignored. At most 64
// entries are read. It never fails.
func ParseScope(s string) Scope {
	sets := map[string][]string{}
	entries := strings.Fields(s)
	for _, entry := range entries[:min(len(entries), maxScopeEntries)] {
		rest, ok := strings.CutPrefix(entry, "repository:")
		i := strings.LastIndexByte(rest, ':')
		if !ok || i <= 0 {
			continue
		}
		for action := range strings.SplitSeq(rest[i+1:], ",") {
			if validAction(action) {
				sets[rest[:i]] = append(sets[rest[:i]], action)
			}
		}
	}
	return build("", sets)
}

// validAction reports whether an action is a lower-case word or "*".
func validAction(action string) bool {
	word := strings.Trim(action, "abcdefghijklmnopqrstuvwxyz") == ""
	return action == "*" || action != "" && len(action) <= maxAction && word
}

// build makes a scope of actions by repository, with first at the front if it is there.
func build(first string, sets map[string][]string) Scope {
	var s Scope
	for _, repository := range slices.Sorted(maps.Keys(sets)) {
		actions := slices.Compact(slices.Sorted(slices.Values(sets[repository])))
		if len(actions) == 0 {
			continue
		}
		g := grant{repository: repository, actions: actions}
		if repository == first {
			s.grants = slices.Insert(s.grants, 0, g)
			continue
		}
		s.grants = append(s.grants, g)
	}
	return s
}

// sets gives the actions by repository, for a new scope to be made of.
func (s Scope) sets() map[string][]string {
	sets := make(map[string][]string, len(s.grants))
	for _, g := range s.grants {
		sets[g.repository] = slices.Clone(g.actions)
	}
	return sets
}

func (s Scope) first() string {
	if len(s.grants) == 0 {
		return ""
	}
	return s.grants[0].repository
}

// actions gives the actions on repository, nil when there are none.
func (s Scope) actions(repository string) []string {
	for _, g := range s.grants {
		if g.repository == repository {
			return g.actions
		}
	}
	return nil
}

// Union returns what is in s or in t. The first repository of s stays first.
func (s Scope) Union(t Scope) Scope {
	if s.IsZero() {
		return t
	}
	sets := s.sets()
	for _, g := range t.grants {
		sets[g.repository] = append(sets[g.repository], g.actions...)
	}
	return build(s.first(), sets)
}

// Minus returns what is in s and not in t. The first repository of s stays first if anything is left of it.
// A "*" in t takes every action away; a "*" in s is taken away by "*" alone.
func (s Scope) Minus(t Scope) Scope {
	sets := s.sets()
	for repository, actions := range sets {
		sets[repository] = slices.DeleteFunc(actions, func(action string) bool {
			return permits(t.actions(repository), action)
		})
	}
	return build(s.first(), sets)
}

// Contains reports whether everything in t is in s. The action "*" stands for all actions.
func (s Scope) Contains(t Scope) bool { return t.Minus(s).IsZero() }

func permits(actions []string, action string) bool {
	return slices.Contains(actions, action) || slices.Contains(actions, "*")
}

// IsZero reports whether s is empty.
func (s Scope) IsZero() bool { return len(s.grants) == 0 }

// Repositories returns the names of the repositories, the first one first.
func (s Scope) Repositories() []string {
	names := make([]string, 0, len(s.grants))
	for _, g := range s.grants {
		names = append(names, g.repository)
	}
	return names
}

// Params returns the scope parameters of a token request, one for each repository.
func (s Scope) Params() []string {
	params := make([]string, 0, len(s.grants))
	for _, g := range s.grants {
		params = append(params, "repository:"+g.repository+":"+strings.Join(g.actions, ","))
	}
	return params
}

// String returns the scope in its canonical form: Params, joined by spaces. Scopes with the same string are
// the same.
func (s Scope) String() string { return strings.Join(s.Params(), " ") }

// only returns the part of s that is about repository.
func (s Scope) only(repository string) Scope {
	return build("", map[string][]string{repository: s.actions(repository)})
}

// without returns the part of s that is about other repositories.
func (s Scope) without(repositories ...string) Scope {
	sets := s.sets()
	for _, repository := range repositories {
		delete(sets, repository)
	}
	return build(s.first(), sets)
}
