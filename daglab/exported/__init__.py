"""Exports later: what there is on record, whether it is still there, renewing links, taking away what is over."""
