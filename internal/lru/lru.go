// Package lru is a map of bounded size: the entry that was used longest ago makes
// room for a new one.
package lru

import (
	"container/list"
	"iter"
)

// Map is a map of bounded size. It must be made with [New], and is not safe for
// concurrent use.
type Map[K comparable, V any] struct {
	// InUse says of a value that it must not be dropped, so that there may be more
	// entries as long as more are in use. The default, nil, is that none are.
	InUse func(V) bool
	// Dropped is called with each value that was dropped to make room. The default,
	// nil, is nothing.
	Dropped func(V)

	max    int
	places map[K]*list.Element // of *entry[K, V]
	order  list.List           // used last first
}

type entry[K comparable, V any] struct {
	key   K
	value V
}

// New returns an empty map of at most max entries.
func New[K comparable, V any](max int) *Map[K, V] {
	return &Map[K, V]{max: max, places: map[K]*list.Element{}}
}

// Len returns the number of entries.
func (m *Map[K, V]) Len() int { return len(m.places) }

// Get returns the value of key, which counts as a use.
func (m *Map[K, V]) Get(key K) (value V, ok bool) {
	at := m.places[key]
	if at == nil {
		return value, false
	}
	m.order.MoveToFront(at)
	return at.Value.(*entry[K, V]).value, true
}

// Put sets the value of key, which counts as a use, and drops what there is no
// more room for.
func (m *Map[K, V]) Put(key K, value V) {
	if at := m.places[key]; at != nil {
		at.Value.(*entry[K, V]).value = value
		m.order.MoveToFront(at)
		return
	}
	m.places[key] = m.order.PushFront(&entry[K, V]{key, value})
	m.Trim()
}

// Trim drops what there is no more room for, since it is not in use any more.
func (m *Map[K, V]) Trim() {
	for at := m.order.Back(); at != nil && at != m.order.Front() && len(m.places) > m.max; {
		e, next := at.Value.(*entry[K, V]), at.Prev()
		if m.InUse == nil || !m.InUse(e.value) {
			m.order.Remove(at)
			delete(m.places, e.key)
			if m.Dropped != nil {
				m.Dropped(e.value)
			}
		}
		at = next
	}
}

// Oldest returns the entry that was used longest ago, which counts as no use.
func (m *Map[K, V]) Oldest() (key K, value V, ok bool) {
	at := m.order.Back()
	if at == nil {
		return key, value, false
	}
	e := at.Value.(*entry[K, V])
	return e.key, e.value, true
}

// Delete takes key out.
func (m *Map[K, V]) Delete(key K) {
	if at := m.places[key]; at != nil {
		m.order.Remove(at)
		delete(m.places, key)
	}
}

// All returns the entries, those used last first. It counts as no use. The map
// must not be changed meanwhile.
func (m *Map[K, V]) All() iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		for at := m.order.Front(); at != nil; at = at.Next() {
			if e := at.Value.(*entry[K, V]); !yield(e.key, e.value) {
				return
			}
		}
	}
}

// Backward is as All, but those used longest ago come first.
func (m *Map[K, V]) Backward() iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		for at := m.order.Back(); at != nil; at = at.Prev() {
			if e := at.Value.(*entry[K, V]); !yield(e.key, e.value) {
				return
			}
		}
	}
}
