"""From what is asked for to runs: plans, launches, following, ending."""
