"""How things stand in figures: what `.daglab/events/` tells, counted exactly."""
