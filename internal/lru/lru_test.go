package lru

import (
	"slices"
	"testing"
)

// keys returns the keys, those used last first.
func keys(m *Map[string, bool]) []string {
	var out []string
	for k := range m.All() {
		out = append(out, k)
	}
	return out
}

func TestMap(t *testing.T) {
	inUse := func(used bool) bool { return used }
	for _, tt := range []struct {
		name  string
		inUse func(bool) bool
		do    func(m *Map[string, bool])
		want  []string
	}{
		{"room", nil, func(m *Map[string, bool]) { m.Put("a", false); m.Put("b", false) }, []string{"b", "a"}},
		{"oldest goes", nil, func(m *Map[string, bool]) { m.Put("a", true); m.Put("b", true); m.Put("c", true); m.Put("d", true) }, []string{"d", "c", "b"}},
		{"get is a use", nil, func(m *Map[string, bool]) {
			m.Put("a", false)
			m.Put("b", false)
			m.Put("c", false)
			if _, ok := m.Get("a"); !ok {
				panic("a is not there")
			}
			m.Put("d", false)
		}, []string{"d", "a", "c"}},
		{"put again is a use", nil, func(m *Map[string, bool]) {
			m.Put("a", false)
			m.Put("b", false)
			m.Put("c", false)
			m.Put("a", true)
			m.Put("d", false)
		}, []string{"d", "a", "c"}},
		{"in use stays", inUse, func(m *Map[string, bool]) { m.Put("a", true); m.Put("b", false); m.Put("c", false); m.Put("d", false) }, []string{"d", "c", "a"}},
		{"all in use", inUse, func(m *Map[string, bool]) { m.Put("a", true); m.Put("b", true); m.Put("c", true); m.Put("d", false) }, []string{"d", "c", "b", "a"}},
		{"in use no more", inUse, func(m *Map[string, bool]) {
			for _, k := range []string{"a", "b", "c", "d", "e"} {
				m.Put(k, true)
			}
			m.Put("b", false)
			m.Put("d", false)
			m.Trim()
		}, []string{"d", "e", "c", "a"}},
		{"deleted", nil, func(m *Map[string, bool]) { m.Put("a", false); m.Put("b", false); m.Delete("a"); m.Delete("none") }, []string{"b"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := New[string, bool](3)
			m.InUse = tt.inUse
			tt.do(m)
			if got := keys(m); !slices.Equal(got, tt.want) || m.Len() != len(tt.want) {
				t.Errorf("%v, %d of them, want %v", got, m.Len(), tt.want)
			}
		})
	}
}

func TestGet(t *testing.T) {
	m := New[string, int](1)
	dropped := 0
	m.Dropped = func(v int) { dropped += v }
	m.Put("a", 1)
	m.Put("a", 2)
	if v, ok := m.Get("a"); v != 2 || !ok {
		t.Error(v, ok)
	}
	m.Put("b", 3)
	if v, ok := m.Get("a"); v != 0 || ok {
		t.Error(v, ok)
	}
	if dropped != 2 {
		t.Errorf("dropped %d", dropped)
	}
	if k, v, ok := m.Oldest(); k != "b" || v != 3 || !ok {
		t.Error(k, v, ok)
	}
	for range m.All() {
		break
	}
	m.Delete("b")
	if _, _, ok := m.Oldest(); ok {
		t.Error("an empty map has an entry")
	}
}
