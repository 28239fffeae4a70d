package mount

// WorthAwaiting says whether a blob that another repository of the host is getting
// is worth waiting for: it may be mounted from there then, or be found.
func (e Evidence) WorthAwaiting(repository string, p Policy) bool {
	mounts, seen := e.traits.Known(MountsFrom)
	discovers, found := e.traits.Known(Discovers)
	switch {
	case p.NoMounts:
		return false
	case (mounts || !seen) && e.Allows(repository):
		return true
	}
	return discovers && found && !p.NoDiscovery
}
