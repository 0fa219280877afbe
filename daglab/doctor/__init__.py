"""The environment of a project: what is wrong in it, mending what is safe to mend, and a report for whoever helps."""
