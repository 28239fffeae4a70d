package fanout

import "time"

// account is for how long a party has held others back. Time in which it holds
// back several counts once.
type account struct {
	held  int // waits for the party that are under way
	since time.Time
	spent time.Duration // before since
}

// begin notes that somebody waits for the party.
func (a *account) begin(now time.Time) {
	if a.held++; a.held == 1 {
		a.since = now
	}
}

// end notes that somebody does not wait any more.
func (a *account) end(now time.Time) {
	if a.held--; a.held == 0 {
		a.spent += now.Sub(a.since)
	}
}

// left returns for how long the party may go on to hold others back, in a group
// that has been at work for some time.
func (a *account) left(now time.Time, patience, atWork time.Duration) time.Duration {
	spent := a.spent
	if a.held > 0 {
		spent += now.Sub(a.since)
	}
	return patience + atWork/8 - spent
}

// left returns for how long a party may go on to hold others back.
func (g *Group) left(party int, now time.Time) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.parties[party].left(now, g.limits.Patience, now.Sub(g.began))
}

// behind says whether a party has held others back for so long that it shares
// nothing for the time being: it would be left behind again soon.
func (g *Group) behind(party int, now time.Time) bool {
	return g.left(party, now) < g.limits.Patience/4
}

// charge notes that some parties are being waited for, until the function that it
// returns is called.
func (g *Group) charge(parties []int, now time.Time) (end func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, p := range parties {
		g.parties[p].begin(now)
	}
	return func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		now := time.Now()
		for _, p := range parties {
			g.parties[p].end(now)
		}
	}
}
